"""Worker that parses and performs imports in the background, and resumes them after a restart.

Source of order and texts: get-convex/convex-backend, ``crates/application/src/snapshot_import/mod.rs`` and
``confirmation.rs``, ``crates/database/src/bootstrap_model/{import_facing,table}.rs``.
"""

from __future__ import annotations

import logging
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import BinaryIO, Final, cast

from sync_tool.encoding.ids import decode_id
from sync_tool.encoding.values import Json, Value
from sync_tool.sandbox.database.documents import new_id, next_time, whole_document
from sync_tool.sandbox.database.engine import Engine
from sync_tool.sandbox.database.store import Table
from sync_tool.sandbox.database.transaction import EVERYTHING, Transaction
from sync_tool.sandbox.database.writing import WriteTransaction
from sync_tool.sandbox.faults import FunctionError
from sync_tool.sandbox.imports import records
from sync_tool.sandbox.imports.reading import ImportFault, UploadedTable, uploaded_tables
from sync_tool.sandbox.imports.records import Record

_FAULT: Final = "Hit an error while importing:\n{}"
_SPOOL_BYTES: Final = 16 << 20

_log = logging.getLogger(__name__)


class _Stopped(Exception):
    """The import was cancelled, or the sandbox is closing."""


class Importer:
    """Performs imports, one at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pool = ThreadPoolExecutor(1, "importer")
        self._closing = threading.Event()
        self._cancelled: set[str] = set()
        engine.write(records.prepare)
        engine.write(lambda db: db.drop_hidden())
        for record in engine.read(records.unfinished)[0]:
            self._enqueue(record["_id"])

    def finish_upload(self, token: str, form: Record, mode: str) -> str:
        """Make an import of an upload, start to parse it, and return its id."""
        import_id, _ = self._engine.write(lambda db: records.finish_upload(db, token, form, mode))
        self._enqueue(import_id)
        return import_id

    def perform(self, import_id: str) -> None:
        """Start an import that waits for confirmation."""
        if self._engine.write(lambda db: records.confirm(db, import_id))[0]:
            self._enqueue(import_id)

    def cancel(self, import_id: str) -> None:
        """Cancel an import that has not ended; a running one stops within some hundred rows."""
        self._cancelled.add(import_id)
        self._engine.write(lambda db: records.cancel(db, import_id))

    def close(self) -> None:
        """Stop the running import; the next start resumes it."""
        self._closing.set()
        self._pool.shutdown(cancel_futures=True)

    def _enqueue(self, import_id: str) -> None:
        self._pool.submit(self._work, import_id).add_done_callback(partial(self._ended, import_id))

    def _ended(self, import_id: str, work: Future[None]) -> None:
        error = None if work.cancelled() else work.exception()
        if error is None or isinstance(error, _Stopped):
            return
        text = str(error)
        if not isinstance(error, ImportFault):
            _log.error("import %s", import_id, exc_info=error)
            text = "Your request couldn't be completed. Try again later."
        self._engine.write(lambda db: records.fail(db, import_id, _FAULT.format(text)))

    def _work(self, import_id: str) -> None:
        self._look(import_id)
        with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as spooled:
            file = cast("BinaryIO", spooled)
            record, _ = self._engine.read(lambda db: records.must_find(db, import_id))
            if record["state"]["state"] not in ("uploaded", "in_progress"):
                return
            self._engine.read(lambda db: records.copy_upload(db, import_id, file))
            tables = uploaded_tables(record["format"], file)
            if record["state"]["state"] == "uploaded":
                (message, checkpoints), _ = self._engine.read(lambda db: survey(db, record["mode"], tables))
                self._engine.write(lambda db: records.await_confirmation(db, import_id, message, checkpoints))
                return
            swap = Swap(import_id, record["mode"], tables, partial(self._look, import_id))
            swap.run(self._engine)

    def _look(self, import_id: str) -> None:
        if self._closing.is_set() or import_id in self._cancelled:
            raise _Stopped


REPLACE: Final = "Replace"

_ROWS_PER_COMMIT: Final = 500
_RUNS_ON: Final = "Once confirmed, the import runs in the background, whether or not its caller waits for it."


def survey(db: Transaction, mode: str, tables: list[UploadedTable]) -> tuple[str, list[Record]]:
    """Read all rows once; return a text with the plan, and a checkpoint for each table."""
    checkpoints = []
    for table in sorted(tables, key=lambda table: table.name):
        count, missing = 0, False
        for json in table.rows():
            count += 1
            missing = missing or not isinstance(json, dict) or "_id" not in json
        existing = _check_empty(db, table.name, mode)
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
    """Confirmed import; `look` raises to stop the work.

    Like the backend, it fills hidden tables while others write, and then puts them in place in one commit, whatever the
    old tables hold by then.
    """

    import_id: str
    mode: str
    tables: list[UploadedTable]
    look: Callable[[], None]

    def run(self, engine: Engine) -> None:
        """Replace the tables and record the end of the import."""
        done = False
        try:
            hidden, _ = engine.write(self._begin)
            written = {table.name: self._fill(engine, table, upload) for table, upload in hidden}
            self.look()
            engine.write(lambda db: self._end(db, [table for table, _ in hidden], written))
            done = True
        finally:
            if not done:
                engine.write(lambda db: db.drop_hidden())

    def _begin(self, db: WriteTransaction) -> list[tuple[Table, UploadedTable]]:
        numbers = _table_numbers(db, self.tables)
        for table in self.tables:
            _check_empty(db, table.name, self.mode)
        return [(db.hide_table(table.name, numbers[table.name]), table) for table in self.tables]

    def _fill(self, engine: Engine, table: Table, upload: UploadedTable) -> int:
        documents, count, moment = upload.documents(), 0, 0.0
        while batch := list(islice(documents, _ROWS_PER_COMMIT)):
            self.look()
            moment, _ = engine.write(partial(_insert_all, table=table, documents=batch, moment=moment))
            count += len(batch)
        return count

    def _end(self, db: WriteTransaction, tables: list[Table], written: dict[str, int]) -> None:
        for table in tables:
            db.show_table(table)
        db.note(EVERYTHING, b"")
        records.complete(db, self.import_id, written)


def _insert_all(db: WriteTransaction, table: Table, documents: list[Value], moment: float) -> float:
    """Insert documents and return the last creation time; those without one get times after `moment`."""
    moment = max(moment, db.creation_time)
    for document in documents:
        moment = next_time(moment)
        _insert(db, table, document, moment)
    return moment


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
    """Return the number in the first row's id of each table, or None."""
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


def _check_empty(db: Transaction, name: str, mode: str) -> int:
    """Return the number of rows of a table that may be imported into."""
    count = db.row_count(name) if db.table(name) is not None else 0
    if count and mode != REPLACE:
        raise ImportFault(f"Table {name} already exists. Please choose a new table name or use replace/append modes.")
    return count
