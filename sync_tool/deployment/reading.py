"""From a selection to reads through a door: which, how many at once, and their pages in session order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from sync_tool.deployment.functions import FunctionsDoor
from sync_tool.deployment.http import Patience, Throttle
from sync_tool.deployment.ranges import KeyRange, TimeRange, key_ranges, resumed
from sync_tool.deployment.system import SystemDoor
from sync_tool.errors import FunctionFailed
from sync_tool.parallel.ordered import Piece, map_in_order
from sync_tool.rows.model import Names, Page, Position, Selection
from sync_tool.rows.reading import numbered
from sync_tool.rows.selection import after, filtered, session_filter, unknown_session
from sync_tool.rows.sorting import in_session_order

Door = FunctionsDoor | SystemDoor

_ROWS_A_PIECE: Final = 8000
"""Two pages: of shorter pieces, more end in the middle of a page, which costs a whole call."""


class Reader:
    """One reading of a table.

    Args:
        door: the way to read.
        names: how the table and its fields are called.
        patience: calls at a time, bytes a second.
        count: asks for the table's row count; None where nobody knows.
    """

    def __init__(self, door: Door, names: Names, patience: Patience, count: Callable[[], int | None]) -> None:
        self._door = door
        self._names = names
        self._workers = patience.readers
        self._throttle = Throttle(patience.bytes_per_second)
        self._count = count

    def pages(
        self, selection: Selection, resume: Position | None = None, *, missing_ok: bool = False
    ) -> Iterator[Page]:
        """Yield the selected rows in session order, numbered; with `resume`, those after that position."""
        return numbered(after(filtered(self._pages(selection, resume, missing_ok=missing_ok), selection), resume))

    def _pages(self, selection: Selection, resume: Position | None, *, missing_ok: bool) -> Iterator[Page]:
        if selection.active_after is not None:
            resolved = yield from self._resolve(selection, missing_ok=missing_ok)
            if resolved is None:
                return
            selection, missing_ok = resolved, True  # a session that has gone since is no mistake of the caller's
        if selection.sessions:
            if not missing_ok:
                self._require(selection.sessions)
            yield from self._ranges(resumed(key_ranges(selection), resume))
        elif selection.windowed:
            window = partial(self._door.by_time, TimeRange(selection.after, selection.before))
            yield from in_session_order(filtered(self._read([window]), selection), self._names)
        else:
            ranges = resumed(key_ranges(selection), resume)
            yield from self._ranges([piece for where in ranges for piece in self._cut(where)])

    def by_time(self, where: TimeRange) -> Iterator[Page]:
        """Yield the rows of all sessions in the order of their creation."""
        return self._read([partial(self._door.by_time, where)])

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
        """Find the sessions that have a message since `active_after`; yields what that reads, without rows."""
        if selection.active_after is None:
            return selection
        if not missing_ok:
            self._require(selection.sessions)
        chosen = session_filter(selection)
        active: set[str] = set()
        for page in self._read([partial(self._door.by_time, TimeRange(after=selection.active_after))]):
            active.update(row.session for row in page.rows if isinstance(row.session, str) and chosen(row.session))
            yield Page([], page.bytes)
        return replace(selection, active_after=None, sessions=tuple(active)) if active else None

    def _ranges(self, ranges: Iterable[KeyRange]) -> Iterator[Page]:
        return self._read([partial(self._door.pages, where) for where in ranges])

    def _read(self, pieces: Sequence[Piece[Page]]) -> Iterator[Page]:
        return map_in_order([partial(self._throttled, piece) for piece in pieces], self._workers)

    def _throttled(self, piece: Piece[Page]) -> Iterator[Page]:
        for page in piece():
            self._throttle.wait(page.bytes)
            yield page
            del page  # while the next one is read, this one is only held by whoever still needs it

    def _cut(self, where: KeyRange) -> list[KeyRange]:
        """Cut a large range into pieces for several workers."""
        rows = self._count() if self._workers > 1 else None
        if rows is None or rows < 2 * _ROWS_A_PIECE:
            return [where]
        try:
            return self._door.pieces(where, rows // _ROWS_A_PIECE)
        except FunctionFailed:  # too slow for that, or an older function: one reader will do
            return [where]

    def _require(self, sessions: Sequence[str]) -> None:
        """Refuse a session that does not exist before anything is written."""

        def check(session: str) -> Iterator[Page]:
            require_session(self._door, session)
            return iter(())

        for _ in map_in_order([partial(check, session) for session in sorted(set(sessions))], self._workers):
            pass


def require_session(door: Door, session: str) -> None:
    """See that a session holds at least one message.

    Raises:
        UsageError: it does not; names the ids most like it.
    """
    if not door.has_session(session):
        raise unknown_session(session, door.neighbours(session))
