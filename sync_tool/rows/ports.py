"""What the parts of the tool ask of each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from sync_tool.rows.model import Names, Page, Position, Selection, SessionInfo


class Source(Protocol):
    """A place that messages are read from."""

    @property
    def names(self) -> Names:
        """How the place calls its table and fields."""

    @property
    def title(self) -> str:
        """What a person calls the place, such as ``prod tall-forest-123``."""

    @property
    def way(self) -> str:
        """How it is read, and why so, for those who ask."""

    def pages(self, selection: Selection, resume: Position | None = None) -> Iterator[Page]:
        """Yield the selected rows in session order: by session id, then creation time, then id.

        With `resume`, only those that stand after that position.

        Lazy: a few pages are held at a time, whatever the length of the history. Rows are numbered
        within their session (`Row.n`).

        Raises:
            UsageError: a session named in the selection does not exist.
        """

    def settled(self, selection: Selection) -> Selection:
        """Return the same selection with `active_after` replaced by the sessions it stands for."""

    def next_time(self, since: float) -> float | None:
        """Return the first creation time at or after `since`, ms since 1970; None if there is none."""

    def sessions(self, selection: Selection, *, count: bool) -> Iterator[SessionInfo]:
        """Yield the selected sessions in order; with `count` each message is read and counted."""

    def recent_sessions(self, limit: int) -> list[SessionInfo]:
        """Return the `limit` sessions with the newest messages, newest first, with their last human words."""

    def sample(self) -> Page:
        """Return a few rows, by which sizes can be judged."""

    def count(self) -> int | None:
        """Return the number of rows of the whole table if that can be known without reading them."""

    def close(self) -> None:
        """Give back connections and files."""


class Progress(Protocol):
    """Who is told how far a job is. The library's default tells nobody."""

    def begin(self, title: str, total: int | None) -> None:
        """The job starts; `total` is the number of rows to come, where it is known."""

    def advance(self, rows: int, size: int) -> None:
        """`rows` more rows are done, for which `size` bytes of documents were read."""

    def note(self, text: str) -> None:
        """Something a person should know; one line."""

    def detail(self, text: str) -> None:
        """Something a person may want to know who asked for more; one line."""


class _Silent:
    """Progress for programs that did not ask."""

    def begin(self, title: str, total: int | None) -> None:
        """Tell nobody."""

    def advance(self, rows: int, size: int) -> None:
        """Tell nobody."""

    def note(self, text: str) -> None:
        """Tell nobody."""

    def detail(self, text: str) -> None:
        """Tell nobody."""


SILENT: Final[Progress] = _Silent()

# The one loop: pages from a source through steps into a sink. Knows ports only.


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
