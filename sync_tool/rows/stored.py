"""What everything that rows are stored in has in common as a source of messages."""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

from sync_tool.encoding.order import sort_key
from sync_tool.rows.model import Names, Page, Position, Selection, SessionInfo
from sync_tool.rows.ports import Source
from sync_tool.rows.reading import numbered
from sync_tool.rows.selection import after, filtered, session_filter, sessions_of, unknown_session
from sync_tool.rows.sorting import InOrder, in_session_order

_SORTING_TAKES: Final = 2.5
"""Bytes of temporary files for each byte of rows: the rows, and SQLite's sorting of them (measured: 2.4)."""


class StoredRows(Source, ABC):
    """Stored rows in any order, which come out in session order."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.title}>"

    @property
    @abstractmethod
    def title(self) -> str:
        """What a person calls the place."""

    @property
    @abstractmethod
    def method(self) -> str:
        """How it is read."""

    @property
    @abstractmethod
    def names(self) -> Names:
        """How the table and its fields are called."""

    @abstractmethod
    def stored(self) -> Iterator[Page]:
        """Yield all rows in the order in which they lie there."""

    @abstractmethod
    def unpacked_bytes(self) -> int:
        """Return about how many bytes the rows are, unpacked, without reading them."""

    def pieces(self) -> Iterator[Any] | None:
        """Return the rows cut into pieces, in the order in which they lie there; None where that cannot be done."""
        return None

    def count(self) -> int | None:
        """Return the number of rows where that is written somewhere."""
        return None

    def close(self) -> None:
        """Do nothing: most places hold nothing open between readings."""

    def pages(
        self, selection: Selection, resume: Position | None = None, *, missing_ok: bool = False
    ) -> Iterator[Page]:
        """Yield the selected rows in session order (`Source`)."""
        if not missing_ok:
            self._require(selection.sessions)
        resolved = self.resolve(selection)
        if resolved is None:
            return iter(())
        found: Iterable[Page] = filtered(self.stored(), resolved)
        ordered = found if self._in_order else in_session_order(found, self.names)
        return numbered(after(self._once(ordered), resume))

    def temporary_bytes(self) -> int:
        """Return about how much room in the temporary folder `pages` needs for sorting; 0 where all is in order."""
        return 0 if self._in_order else round(self.unpacked_bytes() * _SORTING_TAKES)

    def next_time(self, since: float) -> float | None:
        """Return the first creation time at or after `since`; None if there is none."""
        times = (row.time for page in self.stored() for row in page.rows if row.time >= since)
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
        """Return a few rows, by which sizes can be judged."""
        return next(self.stored(), Page([], 0))

    def resolve(self, selection: Selection) -> Selection | None:
        """Return the selection with `active_after` replaced by the ids of those sessions; None if there are none."""
        if selection.active_after is None:
            return selection
        since = selection.active_after
        chosen = session_filter(selection)
        active = {
            row.session
            for page in self.stored()
            for row in page.rows
            if row.time >= since and isinstance(row.session, str) and chosen(row.session)
        }
        return replace(selection, active_after=None, sessions=tuple(active)) if active else None

    def _once(self, pages: Iterable[Page]) -> Iterable[Page]:
        """Leave out of pages in session order what counts only once."""
        return pages

    @cached_property
    def _in_order(self) -> bool:
        """True if the rows already stand in session order, as in every file that `export` writes."""
        order = InOrder()
        return all(order.goes_on(page) for page in self.stored())

    def _require(self, sessions: Iterable[str]) -> None:
        missing = set(sessions)
        if not missing:
            return
        seen: set[str] = set()
        for page in self.stored():
            seen.update(row.session for row in page.rows if isinstance(row.session, str))
        for session in sorted(missing - seen):
            raise unknown_session(session, seen)
