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
                if rows == 1 or not _may_be_size(error):
                    raise
                self._shrink(rows)
                continue
            self._grow()
            return answer

    def _shrink(self, refused: int) -> None:
        """Ask for half of what was refused; another reader may have gone further down meanwhile."""
        with self._lock:
            self.rows = max(1, min(self.rows, refused // 2))
            self._good = 0

    def _grow(self) -> None:
        with self._lock:
            self._good += 1
            if self._good >= _GOOD_PAGES_BEFORE_MORE and self.rows < self._most:
                self.rows = min(self._most, self.rows * 2)
                self._good = 0


def _may_be_size(error: FunctionFailed) -> bool:
    """Tell whether fewer rows could help: not where the function said something of its own (ConvexError data)."""
    return error.data is None and "Could not find" not in error.message and "not found" not in error.message
