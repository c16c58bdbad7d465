"""What a read will cost, said before it is large, and a cap that it may not pass."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Final

from sync_tool.deployment.deployment import Deployment
from sync_tool.errors import UsageError
from sync_tool.model import Page
from sync_tool.ports import Source
from sync_tool.text import size

_FREE_MONTH: Final = 1_000_000_000
"""Database bandwidth that Convex's Free plan includes a month, in bytes."""
_FREE_READ: Final = 200_000_000
"""What may be read without being asked where that plan may be in force."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """How much a read will be."""

    rows: int
    bytes: int

    def __str__(self) -> str:
        return f"about {_rounded(self.rows):,} rows, {size(self.bytes)}"


def read_cap(source: Source, asked: int | None) -> int | None:
    """Return how many bytes may be read: what was asked, else 200 MB on a cloud plan without streaming."""
    if asked is not None:
        return asked
    if isinstance(source, Deployment) and source.identity.cloud and not source.may_stream:
        return _FREE_READ
    return None


def peeked(pages: Iterator[Page]) -> tuple[Page | None, Iterator[Page]]:
    """Return the first page, if there is one, and all pages."""
    first = next(pages, None)
    return first, iter(()) if first is None else chain((first,), pages)


def estimate_all(source: Source, first: Page) -> Estimate | None:
    """Say what reading the whole table will be, judging by its first page; None where the count is unknown."""
    rows = source.count()
    if rows is None:
        return None
    mean = first.bytes / len(first.rows) if first.rows else 0.0
    return Estimate(rows, round(rows * mean))


def capped(pages: Iterator[Page], cap: int | None, estimate: Estimate | None) -> Iterator[Page]:
    """Pass pages on until the cap would be passed.

    Raises:
        UsageError: the estimate, or what has been read so far, is more than `cap` bytes.
    """
    read = 0
    for page in pages:
        read += page.bytes
        if cap is not None and max(read, estimate.bytes if estimate else 0) > cap:
            raise _too_much(max(read, estimate.bytes if estimate else 0), cap, first=read == page.bytes)
        yield page


def _too_much(count: int, cap: int, *, first: bool) -> UsageError:
    share = f"{count / _FREE_MONTH:.0%}".replace("%", " %")
    why = f"is {share} of the Free plan's 1 GB a month, and the app may stop answering when it is used up."
    month = datetime.now(UTC).strftime("%Y-%m-01")
    done = "nothing was read but one page." if first else f"stopped after {size(count)}; nothing was written."
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
