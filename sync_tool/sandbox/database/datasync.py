"""Change log and earlier states of tables, and the pages of a data sync made from them.

The newest version of a document is in ``documents``; earlier versions and deletions are in ``revisions``, each with
the number of its commit. Source of the order of reads: get-convex/convex-backend,
``crates/table_iteration/src/data_sync.rs``; of truncates: ``crates/streaming_export/src/lib.rs``.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import chain, groupby
from operator import attrgetter, itemgetter
from typing import Any, Final, NamedTuple

import msgspec

from sync_tool.sandbox import limits
from sync_tool.sandbox.database.store import Table
from sync_tool.sandbox.database.transaction import after, key_of
from sync_tool.sandbox.faults import bad_request

_LOG: Final = """
SELECT commit_number, ts, slot, NULL, body
FROM documents INDEXED BY documents_by_commit JOIN commits ON number = commit_number WHERE {where}
UNION ALL
SELECT commit_number, ts, slot, id, body
FROM revisions JOIN commits ON number = commit_number WHERE {where}
ORDER BY commit_number
"""

_NOW: Final = """
SELECT entries.key, commit_number, body
FROM entries CROSS JOIN documents ON slot = ? AND documents.key = home
WHERE index_number = ? AND entries.key >= ? AND commit_number <= ? ORDER BY entries.key
"""

_BEFORE: Final = """
SELECT id, commit_number, body FROM revisions INDEXED BY revisions_by_id
WHERE slot = ? AND id > ? AND commit_number <= ? ORDER BY id, commit_number
"""


class _Named(msgspec.Struct, rename={"id": "_id"}):
    id: str


_named = msgspec.json.Decoder(_Named).decode


class Revision(NamedTuple):
    """One version of a document."""

    ts: int  # Commit time in nanoseconds since the epoch
    slot: int
    id: str
    body: bytes | None  # Canonical ``convex_encoded_json``; None for a deletion


def log_after(connection: sqlite3.Connection, ts: int, table: Table | None) -> Iterator[Revision]:
    """Yield all versions committed after `ts`, commit by commit, of one table or of all."""
    only = "" if table is None else f" AND slot = {table.slot}"
    query = _LOG.format(where=f"commit_number > {_commit_at(connection, ts)}{only}")
    for _, committed, number, document_id, body in connection.execute(query):
        yield Revision(committed, number, document_id or _named(body).id, body)


def table_at(connection: sqlite3.Connection, table: Table, ts: int, after_id: str) -> Iterator[Revision]:
    """Yield the documents of a table at `ts` whose id follows `after_id`, in order of ids."""
    number, moments = _commit_at(connection, ts), _Moments(connection)
    start = after(key_of([after_id])) if after_id else b""
    now = connection.execute(_NOW, (table.slot, table.by_id, start, number))
    before = connection.execute(_BEFORE, (table.slot, after_id, number))
    first = before.fetchone()
    if first is None:  # no document was ever replaced or deleted
        for key, commit, body in now:
            yield Revision(moments[commit], table.slot, _id_of(key), body)
        return
    versions_of = groupby(merge(chain([first], before), _by_name(now), key=itemgetter(0, 1)), itemgetter(0))
    for document_id, versions in versions_of:
        *_, (_, commit, body) = versions
        if body is not None:
            yield Revision(moments[commit], table.slot, document_id, body)


def _by_name(rows: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    return ((_id_of(key), *rest) for key, *rest in rows)


def _id_of(key: bytes) -> str:
    """Return the id in a key of the index on ids: the bytes between the type and the end mark (`key_of`)."""
    return key[1:-1].decode()


class _Moments(dict[int, int]):
    """Timestamps of commits by number; each is read once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__()
        self._connection = connection

    def __missing__(self, number: int) -> int:
        (ts,) = self._connection.execute("SELECT ts FROM commits WHERE number = ?", (number,)).fetchone()
        self[number] = found = int(ts)
        return found


def _commit_at(connection: sqlite3.Connection, ts: int) -> int:
    """Return the number of the last commit at or before `ts`; 0 if there is none."""
    row = connection.execute("SELECT number FROM commits WHERE ts <= ? ORDER BY number DESC LIMIT 1", (ts,)).fetchone()
    return int(row[0]) if row else 0


INVALID: Final = "InvalidDataSyncCursor"

# A table is read by id only at a moment this recent; otherwise the sync first catches up with commits.
_FRESH_NS: Final = 30 * 10**9


class Position(msgspec.Struct, frozen=True):
    """Progress of a data sync, as its cursor holds it."""

    sync_id: str
    synced_ts: int  # The pages so far are consistent with this timestamp
    synced: dict[str, str]  # Tables read to their end: tablet to name
    current: str | None  # Tablet of the table being read; None once all were read
    current_id: str = ""  # Last id sent of that table

    @property
    def tracked(self) -> set[str]:
        """Tablets that the sync has started."""
        return {*self.synced, *([] if self.current is None else [self.current])}

    def captures(self, revision: Revision, tablet: str | None) -> bool:
        """Return whether the sync already covers the document of a revision."""
        return tablet in self.synced or (tablet == self.current is not None and revision.id <= self.current_id)


@dataclass(frozen=True)
class SyncPage:
    """Page of a data sync."""

    revisions: list[Revision]
    truncated: list[str]  # Names of the tables that start on this page
    position: Position
    latest: int
    targets: dict[str, Table]

    @property
    def status(self) -> dict[str, object]:
        """Value of ``status`` in the answer."""
        if self.position.current is not None:
            return {"type": "snapshotting"}
        kind = "upToDate" if self.position.synced_ts == self.latest else "stale"
        return {"type": kind, "snapshotTs": self.position.synced_ts}


class DataSync:
    """Data sync on one state of the database.

    Args:
        connection: connection with that state open.
        latest: timestamp of the state.
        oldest: earliest timestamp whose changes are still kept.
        targets: selected tables, by tablet.
        page_rows: maximum number of documents on a page.
    """

    def __init__(
        self, connection: sqlite3.Connection, latest: int, oldest: int, targets: dict[str, Table], page_rows: int
    ) -> None:
        self._connection = connection
        self._latest = latest
        self._oldest = oldest
        self._targets = targets
        self._page_rows = page_rows
        self._tablets = {table.slot: tablet for tablet, table in targets.items()}

    def page(self, position: Position | None, client: str) -> SyncPage:
        """Return the page after a position, or the first page; `client` is the prefix of a new sync's id."""
        before = set() if position is None else position.tracked
        if position is None:
            position = self._next_table(Position(f"{client}{uuid.uuid4()}", self._latest, {}, None))
        else:
            position = self._reconciled(position)
        if position.synced_ts > self._latest:
            raise bad_request(INVALID, "data sync cursor is ahead of the deployment's latest timestamp")
        self._require_kept(position.synced_ts)
        fresh = self._latest - position.synced_ts < _FRESH_NS
        if position.current is not None and fresh:
            revisions, position = self._by_id(position)
        else:
            revisions, position = self._by_ts(position)
        entered = sorted(position.tracked - before)
        truncated = [self._targets[tablet].name for tablet in entered]
        return SyncPage(revisions, truncated, position, self._latest, self._targets)

    def since(self, ts: int, sync_id: str) -> Position:
        """Return the position of a sync that has all changes up to `ts`."""
        if ts > self._latest:
            raise bad_request(INVALID, "document_deltas cursor is ahead of the deployment's latest timestamp")
        self._require_kept(ts)
        return Position(sync_id, ts, {tablet: table.name for tablet, table in self._targets.items()}, None)

    def _require_kept(self, ts: int) -> None:
        if ts < self._oldest:
            raise bad_request(
                "DataSyncCursorExpired",
                "The cursor is outside the deployment's data retention window and can no longer be resumed. Restart"
                " the sync from scratch by calling /data/sync without a cursor.",
            )

    def _by_id(self, position: Position) -> tuple[list[Revision], Position]:
        """Read on in the current table, in order of ids."""
        table = self._targets[position.current or ""]
        revisions: list[Revision] = []
        size = 0
        for revision in table_at(self._connection, table, position.synced_ts, position.current_id):
            revisions.append(revision)
            size += len(revision.body or b"")
            if size >= limits.STREAM_PAGE_BYTES or len(revisions) >= self._page_rows:
                return revisions, msgspec.structs.replace(position, current_id=revision.id)
        synced = {**position.synced, table.tablet: table.name}
        return revisions, self._next_table(msgspec.structs.replace(position, synced=synced))

    def _by_ts(self, position: Position) -> tuple[list[Revision], Position]:
        """Read whole commits after the position; include only documents that the sync already covers."""
        only = next(iter(self._targets.values())) if len(self._targets) == 1 else None
        log = log_after(self._connection, position.synced_ts, only)
        revisions, ts = self._commits(position, log)
        return revisions, msgspec.structs.replace(position, synced_ts=ts)

    def _commits(self, position: Position, log: Iterator[Revision]) -> tuple[list[Revision], int]:
        given: list[Revision] = []
        size = read = 0
        synced: int | None = None
        for ts, commit in groupby(log, attrgetter("ts")):
            full = len(given) >= self._page_rows or size >= limits.STREAM_PAGE_BYTES
            if synced is not None and (full or read >= limits.STREAM_ROWS_READ):
                return given, synced
            batch = []
            for revision in commit:
                read += 1
                if position.captures(revision, self._tablets.get(revision.slot)):
                    batch.append(revision)
                if read >= limits.STREAM_ROWS_READ and synced is not None:
                    return given, synced  # a commit is never split
            given += batch
            size += sum(len(revision.body or b"") for revision in batch)
            synced = ts
        return given, self._latest

    def _reconciled(self, position: Position) -> Position:
        """Drop tables that are no longer selected or no longer exist."""
        kept = {tablet: name for tablet, name in position.synced.items() if tablet in self._targets}
        position = msgspec.structs.replace(position, synced=kept)
        if position.current in self._targets:
            return position
        return self._next_table(position)

    def _next_table(self, position: Position) -> Position:
        left = sorted(set(self._targets) - set(position.synced))
        current = left[0] if left else None
        return msgspec.structs.replace(position, current=current, current_id="")
