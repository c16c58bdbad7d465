"""Fills an empty table with rows from a file, keeping their ids and times, as an import into Convex does."""

from __future__ import annotations

from pathlib import Path

from sync_tool.encoding import canonical
from sync_tool.encoding.ids import decode_id, encode_id
from sync_tool.encoding.values import Value
from sync_tool.sandbox.database.documents import new_id
from sync_tool.sandbox.database.engine import Engine
from sync_tool.sandbox.database.store import Table
from sync_tool.sandbox.database.writing import WriteTransaction
from sync_tool.sandbox.faults import FunctionError


class BadRowError(Exception):
    """A line of the file cannot be loaded."""


def load_rows(engine: Engine, table: str, path: Path) -> None:
    """Put the rows of a canonical JSONL file into a table if it is empty: all of them or none.

    Raises:
        BadRowError: a line is not a row.
    """
    if engine.read(lambda db: db.row_count(table))[0] == 0:
        engine.write(lambda db: _put_all(db, table, path))


def _put_all(db: WriteTransaction, name: str, path: Path) -> None:
    table = db.table(name) or db.new_table(name)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                db.put(table, _document(table, canonical.loads(line)))
            except (ValueError, KeyError, TypeError, FunctionError) as error:
                raise BadRowError(f"{path}, line {number}: {error}") from None
            db.forget()


def _document(table: Table, row: Value) -> dict[str, Value]:
    """Bring an ``_id`` of another deployment to this table's number; the rest of it stays."""
    document: dict[str, Value] = dict(row)
    document.setdefault("_id", new_id(table.number))
    document_id = decode_id(document["_id"])
    if document_id.table_number != table.number:
        document["_id"] = encode_id(document_id._replace(table_number=table.number))
    return document
