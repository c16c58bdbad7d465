"""The older pair of streaming export: a walk through one moment, and the change log after one.

Other than a backend, the sandbox forgets a table that an import replaced: a walk at a moment before that does not
find its rows.
Source: get-convex/convex-backend, ``crates/database/src/database.rs``, ``list_snapshot`` and ``document_deltas``.
"""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from sync_tool.encoding.ids import DocumentId, encode_id
from sync_tool.sandbox.changes import Revision, log_after, table_at
from sync_tool.sandbox.faults import bad_request
from sync_tool.sandbox.store import Table

_SNAPSHOT_ROWS: Final = 1024
_DELTA_ROWS: Final = 128
_OLDEST_SNAPSHOT_NS: Final = 5 * 86_400 * 10**9


class Walk(NamedTuple):
    """Where a walk stands: behind a document of a table."""

    tablet: str
    id: str


class SnapshotPage(NamedTuple):
    """A page of the walk; None as the cursor ends it."""

    revisions: list[Revision]
    snapshot: int
    cursor: Walk | None


class DeltasPage(NamedTuple):
    """A page of the change log."""

    revisions: list[Revision]
    cursor: int
    has_more: bool


def list_snapshot(
    connection: sqlite3.Connection, latest: int, snapshot: int | None, cursor: Walk | None, targets: dict[str, Table]
) -> SnapshotPage:
    """Return a page of the documents that the tables held at one moment, table by table, by id.

    Args:
        connection: has the newest state open.
        latest: its timestamp.
        snapshot: the moment; None for the newest.
        cursor: of the page before.
        targets: the tables asked for, by tablet.

    Raises:
        ServerError: 400, the moment lies ahead, or too far back.
    """
    snapshot = latest if snapshot is None else snapshot
    if snapshot > latest:
        raise bad_request("SnapshotTooNew", f"Snapshot value {snapshot} is in the future.")
    if latest - snapshot > _OLDEST_SNAPSHOT_NS:
        raise bad_request("SnapshotTooOld", f"Snapshot value {snapshot} is too far in the past.")
    left = sorted(tablet for tablet in targets if cursor is None or tablet >= cursor.tablet)
    if not left:
        return SnapshotPage([], snapshot, None)
    table = targets[left[0]]
    after_id = cursor.id if cursor is not None and cursor.tablet == table.tablet else ""
    revisions: list[Revision] = []
    for revision in table_at(connection, table, snapshot, after_id):
        revisions.append(revision)
        if len(revisions) >= _SNAPSHOT_ROWS:
            return SnapshotPage(revisions, snapshot, Walk(table.tablet, revision.id))
    following = Walk(left[1], encode_id(DocumentId(targets[left[1]].number, bytes(16)))) if left[1:] else None
    return SnapshotPage(revisions, snapshot, following)


def document_deltas(
    connection: sqlite3.Connection, latest: int, oldest: int, cursor: int, targets: dict[str, Table]
) -> DeltasPage:
    """Return a page of what was committed after a moment, whole commits.

    Args:
        connection: has the newest state open.
        latest: its timestamp.
        oldest: the earliest moment whose changes are still kept.
        cursor: the moment.
        targets: the tables asked for, by tablet.

    Raises:
        ServerError: 400, what follows the moment is no longer kept.
    """
    if cursor < oldest:
        raise bad_request(
            "InvalidWindowToReadDocuments",
            f"Trying to synchronize from timestamp {cursor + 1}, which is older than the database's retention window."
            " Please perform a full sync of the connector.",
        )
    chosen = {table.number for table in targets.values()}
    revisions: list[Revision] = []
    end: int | None = None
    for read, revision in enumerate(log_after(connection, cursor, None), 1):
        if end is not None and end < revision.ts:
            return DeltasPage(revisions, end, True)
        if revision.table_number in chosen:
            revisions.append(revision)
        if end is None and read >= _DELTA_ROWS:
            end = revision.ts
    return DeltasPage(revisions, latest if end is None else end, False)
