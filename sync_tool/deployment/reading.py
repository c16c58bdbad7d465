"""A selection read from a deployment: which ranges, several at a time, in session order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from sync_tool.deployment.functions import FunctionsReader
from sync_tool.deployment.ranges import KeyRange, TimeRange, key_ranges, resumed
from sync_tool.deployment.rates import Patience, Throttle
from sync_tool.deployment.system import SystemReader
from sync_tool.errors import FunctionFailed
from sync_tool.parallel.ordered import Piece, map_in_order
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Names, Position, Selection
from sync_tool.rows.reading import empty_page, numbered
from sync_tool.rows.selection import after, filtered, session_filter, unknown_session
from sync_tool.rows.sorting import in_session_order

Reader = FunctionsReader | SystemReader

# Rows of one chunk: two pages. Shorter chunks end more often in the middle of a page, which costs a whole call.
_ROWS_A_CHUNK: Final = 8000


class SelectionReader:
    """Reads selections of one table.

    Args:
        reader: of the table.
        names: of the table and its fields.
        patience: calls at a time, bytes a second.
        count: returns the table's row count; None if it is unknown.
    """

    def __init__(self, reader: Reader, names: Names, patience: Patience, count: Callable[[], int | None]) -> None:
        self._reader = reader
        self._names = names
        self._workers = patience.readers
        self._throttle = Throttle(patience.bytes_per_second)
        self._count = count

    def pages(
        self, selection: Selection, resume: Position | None = None, *, missing_ok: bool = False
    ) -> Iterator[Page]:
        """Yield the selected rows in session order, numbered; with `resume`, those after that position."""
        return numbered(self._pages(selection, resume, missing_ok=missing_ok))

    def _pages(self, selection: Selection, resume: Position | None, *, missing_ok: bool) -> Iterator[Page]:
        if selection.active_after is not None:
            resolved = yield from self._resolve(selection, missing_ok=missing_ok)
            if resolved is None:
                return
            selection, missing_ok = resolved, True  # a session that has gone since is no mistake of the caller's
        if selection.sessions:
            yield from self._named(selection, resume, missing_ok=missing_ok)
        elif selection.windowed:
            window = partial(self._reader.by_time, TimeRange(selection.after, selection.before))
            pages = _without_excluded(self._read([window]), selection)
            yield from after(in_session_order(pages, self._names), resume)
        else:
            ranges = resumed(key_ranges(selection), resume)
            pages = self._ranges([chunk for where in ranges for chunk in self._split(where)])
            yield from _without_excluded(pages, selection)

    def _named(self, selection: Selection, resume: Position | None, *, missing_ok: bool) -> Iterator[Page]:
        """Yield the rows of sessions given by their ids.

        Raises:
            UsageError: one of them does not exist; nothing was yielded.
        """
        named = set(selection.sessions)
        if not missing_ok and len(named) > 1:  # of one, the first page shows whether it exists
            self._require(named)
        chosen = session_filter(selection)
        ranges = [where for where in key_ranges(selection) if chosen(where.session)]
        found = 0
        for page in self._ranges(resumed(ranges, resume)):
            found += page.count
            yield page
        if not found and not missing_ok and len(named) == 1:
            self._require(named)

    def by_time(self, where: TimeRange) -> Iterator[Page]:
        """Yield the rows of all sessions in the order of their creation."""
        return self._read([partial(self._reader.by_time, where)])

    def resolve(self, selection: Selection) -> Selection | None:
        """Return the selection with `active_after` replaced by the ids of those sessions; None if there are none."""
        reading = self._resolve(selection, missing_ok=False)
        while True:
            try:
                next(reading)
            except StopIteration as found:
                resolved: Selection | None = found.value
                return resolved

    def _resolve(self, selection: Selection, *, missing_ok: bool) -> Generator[Page, None, Selection | None]:
        """Find the sessions that have a message since `active_after`; yields the pages read for that, without rows."""
        if selection.active_after is None:
            return selection
        if not missing_ok:
            self._require(selection.sessions)
        chosen = session_filter(selection)
        active: set[str] = set()
        for page in self._read([partial(self._reader.by_time, TimeRange(after=selection.active_after))]):
            active.update(row.session for row in page.rows if isinstance(row.session, str) and chosen(row.session))
            yield empty_page(page.bytes)
        return replace(selection, active_after=None, sessions=tuple(active)) if active else None

    def _ranges(self, ranges: Iterable[KeyRange]) -> Iterator[Page]:
        return self._read([partial(self._reader.pages, where) for where in ranges])

    def _read(self, reads: Sequence[Piece[Page]]) -> Iterator[Page]:
        return map_in_order([partial(self._throttled, read) for read in reads], self._workers)

    def _throttled(self, read: Piece[Page]) -> Iterator[Page]:
        for page in read():
            self._throttle.wait(page.bytes)
            yield page
            del page  # frees its memory while the next page is read

    def _split(self, where: KeyRange) -> list[KeyRange]:
        """Split a large range into chunks for several workers."""
        rows = self._count() if self._workers > 1 else None
        if rows is None or rows < 2 * _ROWS_A_CHUNK:
            return [where]
        try:
            return self._reader.chunks(where, rows // _ROWS_A_CHUNK)
        except FunctionFailed:  # too slow for that, or an older function: one worker reads all
            return [where]

    def _require(self, sessions: Iterable[str]) -> None:
        """Raise `UsageError` for a session that does not exist."""

        def check(session: str) -> Iterator[Page]:
            require_session(self._reader, session)
            return iter(())

        for _ in map_in_order([partial(check, session) for session in sorted(set(sessions))], self._workers):
            pass


def _without_excluded(pages: Iterable[Page], selection: Selection) -> Iterator[Page]:
    """Apply what a deployment cannot: globs and exclusions."""
    return filtered(pages, Selection(match=selection.match, exclude=selection.exclude))


def require_session(reader: Reader, session: str) -> None:
    """Check that a session holds at least one message.

    Raises:
        UsageError: it holds none; names the most similar ids.
    """
    if not reader.has_session(session):
        raise unknown_session(session, reader.neighbours(session))
