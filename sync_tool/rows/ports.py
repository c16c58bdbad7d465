"""The ports: contracts between commands, the places that rows come from, and the formats that they go into."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from sync_tool.rows.batch import Page
from sync_tool.rows.model import Names, Position, Selection, SessionInfo

Kind = TypeVar("Kind")


class Source(Protocol):
    """A place that rows are read from. tests/conformance proves each sentence of this contract on every source.

    Repeating: every method may be called any number of times; each call reads anew.

    Order: pages come in session order, that is by session id (as the deployment's index sorts values), then
    creation time, then id. Rows are numbered within their session from 1 (`Row.n`). Pages may be empty.

    Laziness: a few pages are held at a time, whatever the length of the history. A caller that wants no more
    closes the iterator, which returns connections and temporary files.

    Errors: a selection that cannot be met raises before the first row. Later `Unreachable`, `Refused` or
    `Damaged` may come between two pages. The rows before it are right and in order; the iterator is then at its
    end, and the call can be repeated, or continued with the position of the last row.

    Closing: the one that opened a source closes it, once all iterators are closed. A second `close` does nothing.
    """

    @property
    def names(self) -> Names:
        """Names of the table and its fields."""

    @property
    def title(self) -> str:
        """Short name for people, such as ``prod tall-forest-123``; one line without secrets."""

    @property
    def method(self) -> str:
        """How the source is read, and why so: one line for ``--verbose``."""

    @property
    def live(self) -> bool:
        """True where an app may write while rows are read, so that two readings may differ."""
        return False

    @property
    def partial(self) -> bool:
        """True if the source is known to hold only a selection of a table."""
        return False

    def pages(
        self, selection: Selection, resume: Position | None = None, *, missing_ok: bool = False
    ) -> Iterator[Page]:
        """Yield the selected rows in session order; with `resume`, only those after that position.

        Raises:
            UsageError: a session named in the selection does not exist, unless `missing_ok`.
        """

    def resolve(self, selection: Selection) -> Selection | None:
        """Return the selection with `active_after` replaced by the ids of those sessions; None if there are none."""

    def next_time(self, since: float) -> float | None:
        """Return the first creation time at or after `since`, ms since 1970; None if there is none."""

    def list_sessions(self, selection: Selection, *, count: bool = False) -> Iterator[SessionInfo]:
        """Yield the selected sessions in order; with `count` every message is read and counted."""

    def recent_sessions(self, limit: int) -> list[SessionInfo]:
        """Return the `limit` sessions with the newest messages, newest first, with their last human words."""

    def sample(self) -> Page:
        """Return a few rows, for estimates of size; an empty page where there are none."""

    def count(self) -> int | None:
        """Return the number of rows of the whole table if it is known without reading them."""

    def capability(self, kind: type[Kind]) -> Kind | None:
        """Return this source as `kind`, for work that only some sources can do; None if it cannot do that work."""
        return self if isinstance(self, kind) else None

    def close(self) -> None:
        """Close connections and files."""


class Writer(Protocol):
    """Rows on their way into one format. tests/conformance proves each sentence of this contract on every format.

    Pages come in session order, numbered, each once. Nothing is complete before `finish`, which is called once,
    after the last page. `close` is called last, also after an error; a second `close` does nothing. The stream
    belongs to the caller, who publishes it only after `finish`: after a kill or a closed pipe there is no file
    under the final name, or the complete one. An error of the stream passes through unchanged.
    """

    def write(self, page: Page) -> None:
        """Append the rows of a page."""

    def finish(self) -> None:
        """Write the end of the format."""

    def close(self) -> None:
        """Release what the writer holds, finished or not."""


class Progress(Protocol):
    """Receiver of progress and notes. No method may raise; without one the library prints nothing."""

    def begin(self, title: str, total: int | None) -> None:
        """Start a job of `total` rows, where their number is known."""

    def advance(self, rows: int, size: int) -> None:
        """Count `rows` more rows as done, for which `size` bytes of documents were read."""

    def note(self, text: str) -> None:
        """Show a line that everybody should read."""

    def detail(self, text: str) -> None:
        """Show a line for ``--verbose``."""


class _Silent:
    """Progress that shows nothing."""

    def begin(self, title: str, total: int | None) -> None: ...
    def advance(self, rows: int, size: int) -> None: ...
    def note(self, text: str) -> None: ...
    def detail(self, text: str) -> None: ...


SILENT: Final[Progress] = _Silent()


@dataclass(slots=True)
class Totals:
    """Sums over the pages that were written."""

    rows: int = 0
    sessions: int = 0
    read_bytes: int = 0


def run(pages: Iterable[Page], writer: Writer, progress: Progress) -> Totals:
    """Write all pages, finish the writer, and return the totals."""
    totals = Totals()
    for page in pages:
        totals.rows += page.count
        totals.sessions += page.begun
        totals.read_bytes += page.bytes
        writer.write(page)
        progress.advance(page.count, page.bytes)
    writer.finish()
    return totals
