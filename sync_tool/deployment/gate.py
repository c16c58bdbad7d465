"""How much of the deployment's strength one run takes: calls at a time, and bytes a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_GOOD_ANSWERS_BEFORE_MORE: Final = 50


class Gate:
    """Lets so many calls through at a time; half as many after a 429, slowly more again while all goes well."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.limit = most
        self._inside = 0
        self._good = 0
        self._changed = threading.Condition()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Wait for a place and keep it for the block."""
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
        """The deployment said 429: halve."""
        with self._changed:
            self.limit = max(1, self.limit // 2)
            self._good = 0

    def went_well(self) -> None:
        """An answer came: after fifty in a row, one more call at a time, up to the first limit."""
        with self._changed:
            self._good += 1
            if self._good >= _GOOD_ANSWERS_BEFORE_MORE and self.limit < self._most:
                self.limit += 1
                self._good = 0
                self._changed.notify()


class Throttle:
    """Keeps an average of bytes a second over everything that passes through it."""

    def __init__(self, bytes_per_second: float | None) -> None:
        self._rate = bytes_per_second
        self._free_at = 0.0
        self._lock = threading.Lock()

    def wait(self, size: int) -> None:
        """Count `size` bytes, and wait until they fit into the rate."""
        if self._rate is None:
            return
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + size / self._rate
            pause = self._free_at - now
        time.sleep(pause)
