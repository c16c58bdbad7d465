"""How many rows to ask for: less after a refusal, slowly more again while all goes well."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from sync_tool.errors import FunctionFailed

T = TypeVar("T")

MAX_ROWS: Final = 4096
DEFAULT_ROWS: Final = 1000
_GOOD_PAGES_BEFORE_MORE: Final = 8


class Pace:
    """The page size of a door's readers, in whatever threads.

    Args:
        rows: how many to ask for at first, and at most; without it, more and more while all goes well.

    A deployment refuses a page that is too large or takes too long by failing the function, and in
    production all it says is "Server Error". So every failure without a code of its own halves the page,
    down to one row; only then is it what it seems.
    """

    def __init__(self, rows: int | None = None) -> None:
        self.rows = DEFAULT_ROWS if rows is None else min(rows, MAX_ROWS)
        self._most = MAX_ROWS if rows is None else self.rows
        self._good = 0
        self._lock = threading.Lock()

    def call(self, ask: Callable[[int], T]) -> T:
        """Call `ask` with a number of rows until it is not refused.

        Raises:
            FunctionFailed: refused even for one row, or for a reason that fewer rows cannot change.
        """
        while True:
            rows = self.rows
            try:
                answer = ask(rows)
            except FunctionFailed as error:
                self.refused(rows, error)
                continue
            self.went_well()
            return answer

    def refused(self, rows: int, error: FunctionFailed) -> None:
        """A call for so many rows failed: ask for half of them; another reader may have gone further down meanwhile.

        Raises:
            FunctionFailed: `error` itself, where fewer rows cannot help.
        """
        if rows == 1 or not _may_be_size(error):
            raise error
        with self._lock:
            self.rows = max(1, min(self.rows, rows // 2))
            self._good = 0

    def went_well(self) -> None:
        """A call succeeded: after several in a row, ask for more again."""
        with self._lock:
            self._good += 1
            if self._good >= _GOOD_PAGES_BEFORE_MORE and self.rows < self._most:
                self.rows = min(self._most, self.rows * 2)
                self._good = 0


def _may_be_size(error: FunctionFailed) -> bool:
    """Tell whether fewer rows could help: not where the function said something of its own (ConvexError data)."""
    return error.data is None and "Could not find" not in error.message and "not found" not in error.message
