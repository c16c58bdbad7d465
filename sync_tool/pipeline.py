"""The one loop: pages from a source through steps into a sink. Knows ports only."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from sync_tool.model import Page
from sync_tool.ports import Progress

_AHEAD: Final = 2
_POLL_SECONDS: Final = 0.1


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
        sink.write(page)
        totals.rows += len(page.rows)
        totals.sessions += sum(row.n == 1 for row in page.rows)
        totals.read_bytes += page.bytes
        progress.advance(len(page.rows), page.bytes)
    sink.finish()
    return totals


@contextmanager
def ahead(pages: Iterator[Page]) -> Iterator[Iterator[Page]]:
    """Read `pages` in a thread of its own, at most two pages ahead of who takes them.

    Errors of the reader are raised where the pages are taken. Leaving the block stops the reader.
    """
    channel: queue.Queue[Page | BaseException | None] = queue.Queue(_AHEAD)
    stopped = threading.Event()

    def put(item: Page | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                channel.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    reader = threading.Thread(target=_read, args=(pages, put), daemon=True)
    reader.start()
    try:
        yield _taken(channel)
    finally:
        stopped.set()


def _read(pages: Iterator[Page], put: Callable[[Page | BaseException | None], bool]) -> None:
    try:
        for page in pages:
            if not put(page):
                return
    except BaseException as error:  # noqa: BLE001  # handed to the other thread, whatever it is
        put(error)
        return
    put(None)


def _taken(channel: queue.Queue[Page | BaseException | None]) -> Iterator[Page]:
    while True:
        item = channel.get()
        if item is None:
            return
        if isinstance(item, BaseException):
            raise item
        yield item
