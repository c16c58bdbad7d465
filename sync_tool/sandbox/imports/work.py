"""What an import does: first it says what it would do, then it does all of that in one commit.

Source of order and texts: get-convex/convex-backend, ``crates/application/src/snapshot_import/mod.rs`` and
``confirmation.rs``, ``crates/database/src/bootstrap_model/{import_facing,table}.rs``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from sync_tool.encoding.ids import decode_id
from sync_tool.encoding.values import Json, Value
from sync_tool.sandbox.database.documents import new_id, next_time, whole_document
from sync_tool.sandbox.database.store import Table
from sync_tool.sandbox.database.transaction import EVERYTHING, Transaction
from sync_tool.sandbox.database.writing import WriteTransaction
from sync_tool.sandbox.faults import FunctionError
from sync_tool.sandbox.imports import records
from sync_tool.sandbox.imports.reading import ImportFault, UploadedTable
from sync_tool.sandbox.imports.records import Record

REPLACE: Final = "Replace"

_ROWS_BETWEEN_LOOKS: Final = 500
_RUNS_ON: Final = "Once confirmed, the import runs in the background, whether or not its caller waits for it."


def survey(db: Transaction, mode: str, tables: list[UploadedTable]) -> tuple[str, list[Record]]:
    """Read everything once; return a text that says what would happen, and a checkpoint for each table.

    Raises:
        ImportFault: a line is no JSON, or a table that must be empty is not.
    """
    checkpoints = []
    for table in sorted(tables, key=lambda table: table.name):
        count, missing = 0, False
        for json in table.rows():
            count += 1
            missing = missing or not isinstance(json, dict) or "_id" not in json
        existing = _row_count(db, table.name)
        if existing and mode != REPLACE:
            raise ImportFault(
                f"Table {table.name} already exists. Please choose a new table name or use replace/append modes."
            )
        checkpoints.append(
            {
                "component_path": None,
                "display_table_name": table.name,
                "tablet_id": None,
                "total_num_rows_to_write": count,
                "num_rows_written": 0,
                "existing_rows_in_table": existing,
                "existing_rows_to_delete": existing,
                "is_missing_id_field": missing,
            }
        )
    lines = [_change(checkpoint) for checkpoint in checkpoints]
    return "\n".join([*lines, _RUNS_ON]), checkpoints


def _change(checkpoint: Record) -> str:
    create, delete = checkpoint["total_num_rows_to_write"], checkpoint["existing_rows_to_delete"]
    return f"{checkpoint['display_table_name']}: create {create:,}, delete {delete:,}"


@dataclass(frozen=True)
class Swap:
    """One import that was confirmed.

    Attributes:
        import_id: of its document.
        mode: as its document spells it.
        tables: what was uploaded.
        look: raises if the work should stop; called every few hundred rows.
    """

    import_id: str
    mode: str
    tables: list[UploadedTable]
    look: Callable[[], None]

    def run(self, db: WriteTransaction) -> None:
        """Replace the tables and note that it is done, all in this transaction.

        Raises:
            ImportFault: something does not fit; nothing may be committed.
        """
        numbers = _table_numbers(db, self.tables)
        written = {}
        for table in self.tables:
            if self.mode != REPLACE and _row_count(db, table.name):
                raise ImportFault(
                    f"Table {table.name} already exists. Please choose a new table name or use replace/append modes."
                )
            home = db.replace_table(table.name, numbers[table.name])
            written[table.name] = self._fill(db, home, table.documents())
        db.note(EVERYTHING, b"")
        records.complete(db, self.import_id, written)

    def _fill(self, db: WriteTransaction, table: Table, documents: Iterator[Value]) -> int:
        count, moment = 0, db.creation_time
        for document in documents:
            if count % _ROWS_BETWEEN_LOOKS == 0:
                self.look()
            moment = next_time(moment)
            _insert(db, table, document, moment)
            count += 1
        db.forget()
        return count


def _insert(db: WriteTransaction, table: Table, document: dict[str, Value], moment: float) -> None:
    document_id = document.get("_id")
    if isinstance(document_id, str):
        _check_id(table, document_id)
    else:
        document_id = new_id(table.number)
    given = document.get("_creationTime", moment)
    if not isinstance(given, float):
        raise ImportFault(
            f"Provided creation time {moment!r} doesn't match '_creationTime' field in {document_id}: {given!r}"
        )
    try:
        db.put(table, whole_document(document, document_id, given))
    except FunctionError as error:
        raise ImportFault(error.message.removeprefix("Uncaught Error: ")) from None
    except sqlite3.IntegrityError:
        raise ImportFault(f'Objects in table "{table.name}" have duplicate _id fields') from None
    db.forget()


def _check_id(table: Table, text: str) -> None:
    try:
        number = decode_id(text).table_number
    except ValueError:
        raise ImportFault(f"invalid _id '{text}'") from None
    if number != table.number:
        raise ImportFault(
            f"_id {text} cannot be imported into '{table.name}' because it came from a different deployment and"
            " conflict with preexisting tables in this deployment. Try deleting preexisting tables or importing"
            " into an empty deployment."
        )


def _table_numbers(db: Transaction, tables: list[UploadedTable]) -> dict[str, int | None]:
    """Return which number each table will have: that of its first row's id, else none in particular."""
    numbers = {table.name: _number_of(table.rows()) for table in tables}
    named = {number: name for name, number in numbers.items() if number is not None}
    for existing in db.tables.values():
        wanted = named.get(existing.number)
        if wanted is not None and existing.name not in numbers:
            raise ImportFault(
                f"New table `{wanted}` has IDs that conflict with existing table `{existing.name}`. To delete all"
                " existing tables, import with `npx convex import --replace-all`."
            )
    return numbers


def _number_of(rows: Iterator[Json]) -> int | None:
    first = next(islice(rows, 1), None)
    document_id = first.get("_id") if isinstance(first, dict) else None
    try:
        return decode_id(document_id).table_number if isinstance(document_id, str) else None
    except ValueError:
        return None


def _row_count(db: Transaction, name: str) -> int:
    return db.row_count(name) if db.table(name) is not None else 0
