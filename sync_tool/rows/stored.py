"""Rows in a file, an archive or another store as a source of messages."""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

from sync_tool.encoding.order import sort_key
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Names, Position, Selection, SessionInfo
from sync_tool.rows.ports import Source
from sync_tool.rows.reading import empty_page, numbered
from sync_tool.rows.selection import after, filtered, sessions_of, unknown_session
from sync_tool.rows.sorting import InOrder, in_session_order

# Bytes of temporary files for each byte of rows: the rows, and SQLite's sorting of them (measured: 2.4).
_SORTING_TAKES: Final = 2.5


class StoredRows(Source, ABC):
    """Rows stored in any order, read in session order (`sync_tool.rows.ports.Source`)."""

    held_bytes = 8 << 20
    """Bytes of selected rows that are held in memory instead of reading them again."""

    on_sort: Callable[[int], None] | None = None
    """Called before sorting, with the bytes of the temporary folder that it takes at most, about."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.title}>"

    @property
    @abstractmethod
    def title(self) -> str:
        """Name of the place for people."""

    @property
    @abstractmethod
    def method(self) -> str:
        """How the rows are read, for people."""

    @property
    @abstractmethod
    def names(self) -> Names:
        """Names of the table and its fields."""

    @abstractmethod
    def stored(self) -> Iterator[Page]:
        """Yield all rows in stored order."""

    @abstractmethod
    def unpacked_bytes(self) -> int:
        """Return the approximate size of the uncompressed rows without reading them."""

    def chunks(self) -> Iterator[Any] | None:
        """Return the rows as chunks in stored order (`sync_tool.files.chunks`); None if they cannot be divided."""
        return None

    def count(self) -> int | None:
        """Return the number of rows if it is recorded somewhere."""
        return None

    def close(self) -> None:
        """Do nothing: most places hold nothing open between readings."""

    def pages(
        self, selection: Selection, resume: Position | None = None, *, missing_ok: bool = False
    ) -> Iterator[Page]:
        """Yield the selected rows in session order (`Source`).

        A selection is read once if the selected rows take at most a few MB; else once more, like everything.
        """
        return numbered(after(self._once(self._ordered(selection, missing_ok=missing_ok)), resume))

    def _ordered(self, selection: Selection, *, missing_ok: bool) -> Iterable[Page]:
        if selection.everything:
            in_order = self._in_order
            found: Iterable[Page] = self._checked(self.stored())
        elif self.__dict__.get("_in_order") and not selection.sessions and selection.active_after is None:
            return filtered(self.stored(), selection)
        else:
            scan = _Scan(self._checked(self.stored()), selection, self.held_bytes)
            if scan.all_in_order is not None:
                self._in_order = scan.all_in_order
            if not missing_ok:
                scan.require(selection.sessions)
            resolved, in_order = scan.resolve(selection), scan.in_order
            if resolved is None:
                return ()
            found = filtered(self.stored() if scan.held is None else iter(scan.held), resolved)
        if in_order:
            return found
        if self.on_sort is not None:
            self.on_sort(round(self.unpacked_bytes() * _SORTING_TAKES))
        return in_session_order(found, self.names)

    def next_time(self, since: float) -> float | None:
        """Return the first creation time at or after `since`; None if there is none."""
        times = (time for page in self.stored() for time in page.batch.times if time >= since)
        return min(times, default=None)

    def list_sessions(self, selection: Selection, *, count: bool = False) -> Iterator[SessionInfo]:
        """Yield the selected sessions in order."""
        for info in sessions_of(self.pages(selection)):
            yield info if count else replace(info, count=None)

    def recent_sessions(self, limit: int) -> list[SessionInfo]:
        """Return the `limit` sessions with the newest messages, newest first, with their last human words."""
        found: dict[bytes, SessionInfo] = {}
        for page in self.pages(Selection()):
            for row in page.rows:
                info = found.setdefault(sort_key(row.session), SessionInfo(row.session))
                words = row.text if row.type == "human" else info.words
                found[sort_key(row.session)] = replace(info, last=row.time, words=words)
        return heapq.nlargest(limit, found.values(), key=lambda info: info.last or 0.0)

    def sample(self) -> Page:
        """Return a few rows, to estimate sizes."""
        return next(self.stored(), empty_page())

    def resolve(self, selection: Selection) -> Selection | None:
        """Return the selection with `active_after` replaced by the ids of those sessions; None if there are none."""
        return (
            _Scan(self.stored(), selection, 0).resolve(selection) if selection.active_after is not None else selection
        )

    def _checked(self, pages: Iterable[Page]) -> Iterable[Page]:
        """Check all rows while they are read; does nothing unless a subclass has something to check."""
        return pages

    def _once(self, pages: Iterable[Page]) -> Iterable[Page]:
        """Skip repeated rows of pages in session order; a subclass knows which are repeated."""
        return pages

    @cached_property
    def _in_order(self) -> bool:
        """Whether the rows are stored in session order, as in every file that `export` writes."""
        order = InOrder()
        return all(order.add(page) for page in self.stored())


class _Scan:
    """One reading of stored rows for a selection.

    Args:
        pages: all rows.
        selection: which of them.
        most: bytes of selected rows to hold in memory at most.
    """

    def __init__(self, pages: Iterable[Page], selection: Selection, most: int) -> None:
        self.held: list[Page] | None = []
        """The rows that `selection` selects without `active_after`; None if there are more than `most` bytes."""
        self.in_order = True
        """Whether these rows are stored in session order."""
        self.all_in_order: bool | None = True if selection.windowed and not selection.sessions else None
        """The same of all rows; checked for windows only, since a folder by months reads one after the other."""
        self._met: set[str] = set()
        self._active: set[str] = set()
        order = InOrder()
        size = 0
        window = Selection(after=selection.after, before=selection.before)
        for page in filtered(self._of_sessions(pages, selection), window):
            self.in_order = order.add(page) and self.in_order
            size += len(page.batch.lines()) if self.held is not None and page.count else 0
            if size > most:
                self.held = None
            if self.held is not None:
                page.batch = page.batch.packed()
                self.held.append(page)

    def _of_sessions(self, pages: Iterable[Page], selection: Selection) -> Iterator[Page]:
        """Yield the rows of the selected sessions, and note which sessions were active."""
        since = selection.active_after
        sessions = replace(selection, active_after=None, after=None, before=None)
        for page in filtered(self._noted(pages, selection), sessions):
            if since is not None:
                heads = zip(page.batch.sessions, page.batch.times, strict=True)
                self._active.update(session for session, time in heads if time >= since and isinstance(session, str))
            yield page

    def _noted(self, pages: Iterable[Page], selection: Selection) -> Iterator[Page]:
        """Note what is needed of all rows."""
        order = InOrder()
        for page in pages:
            if selection.sessions:
                self._met.update(session for session in page.batch.sessions if isinstance(session, str))
            if self.all_in_order:
                self.all_in_order = order.add(page)
            yield page

    def require(self, sessions: Iterable[str]) -> None:
        """Raise a UsageError if one of these sessions was not met."""
        for session in sorted(set(sessions) - self._met):
            raise unknown_session(session, self._met)

    def resolve(self, selection: Selection) -> Selection | None:
        """Return the selection with `active_after` replaced by the ids of those sessions; None if there are none."""
        if selection.active_after is None:
            return selection
        return replace(selection, active_after=None, sessions=tuple(self._active)) if self._active else None
