"""The one loop: pages from a source through steps into a sink. Knows ports only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from sync_tool.model import Page
from sync_tool.ports import Progress


class Sink(Protocol):
    """Takes pages in order."""

    def write(self, page: Page) -> None:
        """Append the rows of a page."""

    def finish(self) -> None:
        """All pages have been written."""


@dataclass(slots=True)
class Totals:
    """What went through."""

    rows: int = 0
    sessions: int = 0
    read_bytes: int = 0


def run(pages: Iterable[Page], sink: Sink, progress: Progress) -> Totals:
    """Write all pages into the sink and return what went through."""
    totals = Totals()
    for page in pages:
        totals.rows += page.count
        totals.sessions += page.begun
        totals.read_bytes += page.bytes
        sink.write(page)
        progress.advance(page.count, page.bytes)
    sink.finish()
    return totals
