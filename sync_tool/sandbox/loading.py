"""Fills an empty table with rows from a file, keeping their ids and times, as an import into Convex does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from sync_tool.encoding import canonical
from sync_tool.encoding.ids import decode_id, encode_id
from sync_tool.encoding.values import Value
from sync_tool.sandbox.documents import new_id
from sync_tool.sandbox.engine import Engine
from sync_tool.sandbox.faults import FunctionError
from sync_tool.sandbox.store import Table
from sync_tool.sandbox.writing import WriteTransaction

_ROWS_A_COMMIT: Final = 50_000


class BadRowError(Exception):
    """A line of the file cannot be loaded."""


def load_rows(engine: Engine, table: str, path: Path) -> int:
    """Put the rows of a canonical JSONL file into a table if it is empty; return how many.

    Raises:
        BadRowError: a line is not a row; earlier ones may have been loaded.
    """
    if engine.read(lambda db: db.row_count(table))[0]:
        return 0
    count = 0
    with path.open("rb") as file:
        lines = enumerate(file, 1)
        while chunk := list(islice(lines, _ROWS_A_COMMIT)):
            engine.write(partial(_put_all, name=table, path=path, lines=chunk))
            count += len(chunk)
    return count


def _put_all(db: WriteTransaction, name: str, path: Path, lines: Sequence[tuple[int, bytes]]) -> None:
    table = db.table(name) or db.new_table(name)
    for number, line in lines:
        try:
            document = _document(table, canonical.loads(line))
            db.put(table, document)
        except (ValueError, KeyError, FunctionError) as error:
            raise BadRowError(f"{path}, line {number}: {error}") from None
        db.forget_limits()


def _document(table: Table, row: Value) -> dict[str, Value]:
    """Bring an ``_id`` of another deployment to this table's number; the rest of it stays."""
    document: dict[str, Value] = dict(row)
    document.setdefault("_id", new_id(table.number))
    document_id = decode_id(document["_id"])
    if document_id.table_number != table.number:
        document["_id"] = encode_id(document_id._replace(table_number=table.number))
    return document
