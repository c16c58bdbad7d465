"""Documents with the state of each import, and the uploaded bytes; both survive a restart."""

from __future__ import annotations

import os
import secrets
import time
from typing import Any, BinaryIO, Final

from sync_tool.encoding import canonical
from sync_tool.encoding.ids import DocumentId, encode_id
from sync_tool.encoding.validators import document_id
from sync_tool.sandbox.database.transaction import IMPORTS, Interval, Transaction, after
from sync_tool.sandbox.database.writing import WriteTransaction
from sync_tool.sandbox.faults import ServerError, bad_request
from sync_tool.sandbox.functions.registry import Function, internal_query

Record = dict[str, Any]  # Document of ``_snapshot_imports``

_TABLE_NUMBER: Final = 31
_LISTED: Final = 20

_DDL: Final = (
    "CREATE TABLE IF NOT EXISTS uploads (token TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS upload_parts (number INTEGER PRIMARY KEY, token TEXT NOT NULL, data BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS imports (number INTEGER PRIMARY KEY, id TEXT UNIQUE, upload TEXT, body BLOB NOT NULL)",
)


def prepare(db: WriteTransaction) -> None:
    """Create the tables, also in a file of an earlier version."""
    for statement in _DDL:
        db.connection.execute(statement)


def start_upload(db: WriteTransaction) -> str:
    """Return the token of a new upload."""
    token = secrets.token_hex(16)
    db.connection.execute("INSERT INTO uploads VALUES (?)", (token,))
    return token


def add_part(db: WriteTransaction, token: str, data: bytes) -> None:
    """Append a part in order of arrival, as storage on a local disk does."""
    _must_know(db, token)
    db.connection.execute("INSERT INTO upload_parts (token, data) VALUES (?, ?)", (token, data))


def finish_upload(db: WriteTransaction, token: str, form: Record, mode: str) -> str:
    """Make an import of an upload and return its id."""
    _must_know(db, token)
    db.connection.execute("DELETE FROM uploads WHERE token = ?", (token,))
    record: Record = {
        "_id": encode_id(DocumentId(_TABLE_NUMBER, os.urandom(16))),
        "_creationTime": time.time_ns() / 1e6,
        "state": {"state": "uploaded"},
        "format": form,
        "mode": mode,
        "member_id": None,
        "checkpoints": None,
        "requestor": {"type": "snapshotImport"},
    }
    row = (record["_id"], token, canonical.dumps(record))
    db.connection.execute("INSERT INTO imports (id, upload, body) VALUES (?, ?, ?)", row)
    _note(db, record)
    return str(record["_id"])


def copy_upload(db: Transaction, import_id: str, file: BinaryIO) -> None:
    """Write the uploaded bytes of an import to a file."""
    parts = db.connection.execute(
        "SELECT data FROM upload_parts JOIN imports ON upload = token WHERE id = ? ORDER BY upload_parts.number",
        (import_id,),
    )
    file.writelines(data for (data,) in parts)


def find(db: Transaction, import_id: str) -> Record | None:
    """Return an import, or None."""
    key = import_id.encode()
    db.ranges.append(Interval(IMPORTS, key, after(key)))
    row = db.connection.execute("SELECT body FROM imports WHERE id = ?", (import_id,)).fetchone()
    return None if row is None else canonical.loads(row[0])


def newest(db: Transaction) -> list[Record]:
    """Return the newest imports, newest first."""
    db.ranges.append(Interval(IMPORTS, b"", b"\xff"))
    rows = db.connection.execute("SELECT body FROM imports ORDER BY number DESC LIMIT ?", (_LISTED,))
    return [canonical.loads(body) for (body,) in rows]


def unfinished(db: Transaction) -> list[Record]:
    """Return the imports that the worker has to resume, oldest first."""
    rows = db.connection.execute("SELECT body FROM imports ORDER BY number")
    records = [canonical.loads(body) for (body,) in rows]
    return [record for record in records if record["state"]["state"] in ("uploaded", "in_progress")]


def await_confirmation(db: WriteTransaction, import_id: str, message: str, checkpoints: list[Record]) -> None:
    """Record the plan of an import, unless it was cancelled meanwhile."""
    record = must_find(db, import_id)
    if record["state"]["state"] != "uploaded":
        return
    record["checkpoints"] = checkpoints
    manual = any(checkpoint["existing_rows_to_delete"] for checkpoint in checkpoints)
    state = {
        "state": "waiting_for_confirmation",
        "message_to_confirm": message,
        "require_manual_confirmation": manual,
    }
    _save(db, record, state)


def confirm(db: WriteTransaction, import_id: str) -> bool:
    """Start an import that waits for confirmation; return whether it did."""
    record = must_find(db, import_id)
    if record["state"]["state"] != "waiting_for_confirmation":
        return False
    _save(db, record, {"state": "in_progress", "progress_message": "Importing", "checkpoint_messages": []})
    return True


def cancel(db: WriteTransaction, import_id: str) -> None:
    """Cancel an import that has not ended."""
    state = must_find(db, import_id)["state"]["state"]
    if state in ("completed", "failed"):
        raise bad_request("CannotCancelImport", f"Cannot cancel an import that has {state}")
    fail(db, import_id, "Import canceled")


def complete(db: WriteTransaction, import_id: str, written: dict[str, int]) -> None:
    """Record the rows written to each table."""
    record = must_find(db, import_id)
    for checkpoint in record["checkpoints"] or []:
        checkpoint["num_rows_written"] = written.get(checkpoint["display_table_name"], 0)
    total = sum(written.values())
    _save(db, record, {"state": "completed", "timestamp": time.time_ns(), "num_rows_written": total})
    _drop_upload(db, import_id)


def fail(db: WriteTransaction, import_id: str, message: str) -> None:
    """End an import without effect."""
    record = must_find(db, import_id)
    if record["state"]["state"] not in ("completed", "failed"):
        _save(db, record, {"state": "failed", "error_message": message})
        _drop_upload(db, import_id)


def must_find(db: Transaction, import_id: str) -> Record:
    """Return an import, or raise ServerError 404."""
    record = find(db, import_id)
    if record is None:
        raise ServerError(404, "ImportNotFound", f"import {import_id} not found")
    return record


def _must_know(db: Transaction, token: str) -> None:
    if db.connection.execute("SELECT 1 FROM uploads WHERE token = ?", (token,)).fetchone() is None:
        raise bad_request("InvalidUploadToken", "There is no upload of this token.")


def _save(db: WriteTransaction, record: Record, state: Record) -> None:
    record["state"] = state
    db.connection.execute("UPDATE imports SET body = ? WHERE id = ?", (canonical.dumps(record), record["_id"]))
    _note(db, record)


def _note(db: WriteTransaction, record: Record) -> None:
    db.note(IMPORTS, str(record["_id"]).encode())


def _drop_upload(db: WriteTransaction, import_id: str) -> None:
    db.connection.execute(
        "DELETE FROM upload_parts WHERE token = (SELECT upload FROM imports WHERE id = ?)", (import_id,)
    )


FUNCTIONS: Final[dict[str, Function]] = {
    "_system/cli/queryImport.js:default": internal_query(
        {"importId": document_id("_snapshot_imports")}, lambda ctx, args: find(ctx.db, args["importId"])
    ),
    "_system/cli/queryImport.js:list": internal_query({}, lambda ctx, _args: newest(ctx.db)),
}
