"""The estimate of a large read, and the cap on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sync_tool.errors import UsageError
from sync_tool.rows.batch import Page
from sync_tool.rows.ports import Source
from sync_tool.text import size

_FREE_MONTH: Final = 1_000_000_000
"""Database bandwidth that Convex's Free plan includes a month, in bytes."""
_FREE_READ: Final = 200_000_000
"""Cap without ``--max-read`` on a deployment that may be on that plan."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Size of a read."""

    rows: int
    bytes: int

    def __str__(self) -> str:
        return f"about {_rounded(self.rows):,} rows, {size(self.bytes)}"


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Cap:
    """Limit of the bytes to read."""

    bytes: int
    lifted: Callable[[], bool] = _never
    """Returns whether it does not apply after all; called only before the limit would stop a read."""


def read_cap(source: Source, given: int | None) -> Cap | None:
    """Return the limit of bytes to read: the given one, else 200 MB on a cloud plan without streaming."""
    if given is not None:
        return Cap(given)
    if not source.live:
        return None
    from sync_tool.deployment.deployment import Deployment

    deployment = source.capability(Deployment)
    if deployment is None or not deployment.identity.cloud:
        return None
    return Cap(_FREE_READ, lambda: deployment.may_stream)


def estimate_all(source: Source) -> Estimate | None:
    """Return the size of the whole table by a few of its rows; None where the count is unknown."""
    rows = source.count()
    if rows is None:
        return None
    sample = source.sample()
    mean = sample.bytes / sample.count if sample.count else 0.0
    return Estimate(rows, round(rows * mean))


class Meter:
    """Counts what a job reads, over all its readings, and stops it where that is too much.

    Args:
        cap: most bytes to read; None for no limit.
        estimate: what everything will be, where that is known before.

    Raises:
        UsageError: the estimate is more than the cap.
    """

    def __init__(self, cap: Cap | None, estimate: Estimate | None) -> None:
        self._cap = cap
        self._read = 0
        if estimate is not None:
            self._check(estimate.bytes, "nothing was read but one page.")

    def watch(self, pages: Iterator[Page]) -> Iterator[Page]:
        """Pass pages on until they are more than the cap.

        Raises:
            UsageError: they are.
        """
        for page in pages:
            self._read += page.bytes
            self._check(self._read, f"stopped after {size(self._read)}.")
            yield page

    def _check(self, read: int, done: str) -> None:
        if self._cap is None or read <= self._cap.bytes:
            return
        if self._cap.lifted():
            self._cap = None
            return
        raise _too_much(read, self._cap.bytes, done)


def _too_much(count: int, cap: int, done: str) -> UsageError:
    share = f"{count / _FREE_MONTH:.0%}".replace("%", " %")
    why = f"is {share} of the Free plan's 1 GB a month, and the app may stop answering when it is used up."
    month = datetime.now(UTC).strftime("%Y-%m-01")
    message = f"reading {size(count)} {why}" if cap == _FREE_READ else f"reading {size(count)} is more than --max-read."
    go_on = f"--max-read {_generous(count)}            smaller: --after {month}     {done}"
    return UsageError(message, hint=[("go on", go_on)])


def _generous(count: int) -> str:
    """Return a round size a little above `count`, as a value of ``--max-read``."""
    megabytes = max(1.0, count * 1.1 / 1_000_000)
    step = 10 ** math.floor(math.log10(megabytes)) / 2
    return f"{math.ceil(megabytes / step) * step:.0f}MB"


def _rounded(count: int) -> int:
    """Round to three significant digits."""
    return count if count < 1000 else round(count, 3 - len(str(count)))
