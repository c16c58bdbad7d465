"""Load on a deployment: calls at a time, bytes a second, rows a page, timeouts and retries."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from sync_tool.errors import FunctionFailed, UsageError

_GOOD_ANSWERS_BEFORE_MORE: Final = 50


class Gate:
    """Limits the calls at a time: halved after a 429, slowly raised again after good answers."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.limit = most
        self._inside = 0
        self._good = 0
        self._changed = threading.Condition()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Wait for a free call, and take it for the block."""
        with self._changed:
            while self._inside >= self.limit:
                self._changed.wait()
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify()

    def too_many(self) -> None:
        """Halve the limit, after a 429."""
        with self._changed:
            self.limit = max(1, self.limit // 2)
            self._good = 0

    def went_well(self) -> None:
        """Count a good answer: fifty in a row raise the limit by one, up to the first limit."""
        with self._changed:
            self._good += 1
            if self._good >= _GOOD_ANSWERS_BEFORE_MORE and self.limit < self._most:
                self.limit += 1
                self._good = 0
                self._changed.notify()


class Throttle:
    """Limits the average of bytes a second."""

    def __init__(self, bytes_per_second: float | None) -> None:
        self._rate = bytes_per_second
        self._free_at = 0.0
        self._lock = threading.Lock()

    def wait(self, size: int) -> None:
        """Count `size` bytes, and wait until the average is within the limit."""
        if self._rate is None:
            return
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + size / self._rate
            pause = self._free_at - now
        time.sleep(pause)


_MAX_TIMEOUT: Final = 86_400.0
# Calls at a time. The smallest deployments take 16 of each kind (https://docs.convex.dev, limits); the app needs the
# rest.
READERS: Final = 6
WRITERS: Final = 4


@dataclass(frozen=True, slots=True)
class Patience:
    """Timeouts in seconds, retries and limits of the load on a deployment.

    Raises:
        UsageError: a number out of range.
    """

    connect: float = 10.0
    read: float = 120.0
    attempts: int = 6
    concurrency: int | None = None
    """Calls at a time; None for 6 reading and 4 writing ones. Halved when the deployment reports too many."""
    bytes_per_second: float | None = None
    """Limit of the average of document bytes read in a second."""

    def __post_init__(self) -> None:
        for name in ("connect", "read"):
            if not 0 < getattr(self, name) <= _MAX_TIMEOUT:  # nor NaN
                raise UsageError(f"the timeout ({name}) must be more than 0 and at most {_MAX_TIMEOUT:,.0f} seconds.")
        for name, number in (("attempts", self.attempts), ("concurrency", self.concurrency)):
            if number is not None and number < 1:
                raise UsageError(f"{name} must be at least 1.")
        rate = self.bytes_per_second
        if rate is not None and not (math.isfinite(rate) and rate >= 1):
            raise UsageError("the rate must be at least 1 byte a second.", hint=[("like", "2MiB/s")])

    @property
    def readers(self) -> int:
        """Reading calls at a time."""
        return self.concurrency or READERS

    @property
    def writers(self) -> int:
        """Writing calls at a time."""
        return self.concurrency or WRITERS


T = TypeVar("T")

MAX_ROWS: Final = 4096
DEFAULT_ROWS: Final = 1000
_GOOD_PAGES_BEFORE_MORE: Final = 8


class Pace:
    """Page size in rows, shared by the threads of a reader.

    Args:
        rows: first and greatest size; None to begin with 1,000 and double after good pages.

    A deployment answers a page that is too large or too slow with a failed function, whose only message in
    production is "Server Error". So each failure without a code halves the page, down to one row.
    """

    def __init__(self, rows: int | None = None) -> None:
        self.rows = DEFAULT_ROWS if rows is None else min(rows, MAX_ROWS)
        self._most = MAX_ROWS if rows is None else self.rows
        self._good = 0
        self._lock = threading.Lock()

    def call(self, ask: Callable[[int], T]) -> T:
        """Call `ask` with a number of rows, and retry with fewer rows.

        Raises:
            FunctionFailed: failed for one row, or for a reason that fewer rows cannot change.
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
        """Halve the page size, after a call for `rows` rows failed; another thread may have lowered it further.

        Raises:
            FunctionFailed: `error` itself, where fewer rows cannot help.
        """
        if rows == 1 or not _may_be_size(error):
            raise error
        with self._lock:
            self.rows = max(1, min(self.rows, rows // 2))
            self._good = 0

    def went_well(self) -> None:
        """Count a good page: several in a row double the page size."""
        with self._lock:
            self._good += 1
            if self._good >= _GOOD_PAGES_BEFORE_MORE and self.rows < self._most:
                self.rows = min(self._most, self.rows * 2)
                self._good = 0


def _may_be_size(error: FunctionFailed) -> bool:
    """Return whether fewer rows could help: not where the function raised an error of its own (ConvexError)."""
    return error.data is None and "Could not find" not in error.message and "not found" not in error.message
