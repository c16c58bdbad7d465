"""A file as a source of messages."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sync_tool.encoding.order import sort_key
from sync_tool.errors import UsageError
from sync_tool.files.formats import format_of
from sync_tool.model import Names, Page, Position, Selection, SessionInfo
from sync_tool.rowreader import numbered
from sync_tool.selecting import after, filtered, session_filter, sessions_of, unknown_session
from sync_tool.spool import in_session_order


class MessageFile:
    """A JSONL or Parquet file of rows, in whatever order.

    Args:
        path: the file; its suffix names the format.
        names: how the session and message fields are called in JSONL (Parquet says so itself).

    Raises:
        UsageError: no such file, or a format that cannot be read.
    """

    def __init__(self, path: Path, names: Names | None = None) -> None:
        self.path = path
        self._format = format_of(path)
        if self._format == "md":
            raise UsageError(f"{path}: a transcript cannot be read back; use JSONL or Parquet.")
        if not path.is_file():
            raise UsageError(f"cannot read {path}: {'it is a folder' if path.is_dir() else 'there is no such file'}.")
        self._asked_names = names or Names()

    def __repr__(self) -> str:
        return f"<MessageFile {self.path}>"

    @property
    def title(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def way(self) -> str:
        """Files are read from the start to the end."""
        return f"reading the file {self.path}"

    @cached_property
    def names(self) -> Names:
        """How the table and its fields are called."""
        if self._format != "parquet":
            return self._asked_names
        from sync_tool.files.parquet import read_parquet

        return read_parquet(self.path)[0]

    def pages(self, selection: Selection, resume: Position | None = None) -> Iterator[Page]:
        """Yield the selected rows in session order (`sync_tool.ports.Source`)."""
        if not selection.settled:
            self._require(selection.sessions)
        selection = self.settled(selection)
        found: Iterable[Page] = filtered(self._stored(), selection)
        return numbered(after(found if self._in_order else in_session_order(found, self.names), resume))

    def next_time(self, since: float) -> float | None:
        """Return the first creation time at or after `since`; None if there is none."""
        times = (row.time for page in self._stored() for row in page.rows if row.time >= since)
        return min(times, default=None)

    def sessions(self, selection: Selection, *, count: bool = False) -> Iterator[SessionInfo]:
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
        return next(self._stored(), Page([], 0))

    def count(self) -> int | None:
        """Return the number of rows where the file says it (Parquet)."""
        if self._format != "parquet":
            return None
        from sync_tool.files.parquet import count_rows

        return count_rows(self.path)

    def close(self) -> None:
        """Nothing stays open between readings."""

    def _stored(self) -> Iterator[Page]:
        if self._format == "parquet":
            from sync_tool.files.parquet import read_parquet

            return read_parquet(self.path)[1]
        from sync_tool.files.jsonl import read_jsonl

        return read_jsonl(self.path, self.names)

    @cached_property
    def _in_order(self) -> bool:
        """True if the rows already stand in session order, as in every file that `export` writes."""
        last: tuple[Any, ...] = (b"",)
        for page in self._stored():
            for row in page.rows:
                key = row.position.key()
                if key < last:
                    return False
                last = key
        return True

    def settled(self, selection: Selection) -> Selection:
        """Return the same selection with `active_after` replaced by the sessions it stands for."""
        if selection.active_after is None:
            return selection
        since = selection.active_after
        chosen = session_filter(selection)
        active = {
            row.session
            for page in self._stored()
            for row in page.rows
            if row.time >= since and isinstance(row.session, str) and chosen(row.session)
        }
        return replace(selection, active_after=None, sessions=tuple(active), settled=True, nothing=not active)

    def _require(self, sessions: Iterable[str]) -> None:
        missing = set(sessions)
        if not missing:
            return
        seen: set[str] = set()
        for page in self._stored():
            seen.update(row.session for row in page.rows if isinstance(row.session, str))
        for session in sorted(missing - seen):
            raise unknown_session(session, seen)
