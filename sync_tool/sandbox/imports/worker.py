"""The one worker that parses and performs imports, in the background and again after a restart."""

from __future__ import annotations

import logging
import tempfile
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import BinaryIO, Final, cast

from sync_tool.sandbox.database.engine import Engine
from sync_tool.sandbox.imports import records
from sync_tool.sandbox.imports.reading import ImportFault, uploaded_tables
from sync_tool.sandbox.imports.records import Record
from sync_tool.sandbox.imports.work import Swap, survey

_FAULT: Final = "Hit an error while importing:\n{}"
_SPOOL_BYTES: Final = 16 << 20

_log = logging.getLogger(__name__)


class _Stopped(Exception):
    """The import was cancelled, or the sandbox is closing."""


class Importer:
    """Takes imports through their states, one at a time.

    Args:
        engine: the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pool = ThreadPoolExecutor(1, "importer")
        self._closing = threading.Event()
        self._cancelled: set[str] = set()
        engine.write(records.prepare)
        for record in engine.read(records.unfinished)[0]:
            self._enqueue(record["_id"])

    def finish_upload(self, token: str, form: Record, mode: str) -> str:
        """Make an import of an upload, have it parsed, and return its id."""
        import_id, _ = self._engine.write(lambda db: records.finish_upload(db, token, form, mode))
        self._enqueue(import_id)
        return import_id

    def perform(self, import_id: str) -> None:
        """Let an import begin that waits for confirmation; nothing happens to any other."""
        if self._engine.write(lambda db: records.confirm(db, import_id))[0]:
            self._enqueue(import_id)

    def cancel(self, import_id: str) -> None:
        """End an import that has not ended; one at work stops within some hundred rows.

        Raises:
            ServerError: 400, it has ended; 404, there is none.
        """
        self._cancelled.add(import_id)
        self._engine.write(lambda db: records.cancel(db, import_id))

    def close(self) -> None:
        """Stop what is at work; the next start goes on with it."""
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
            self._engine.write(swap.run)

    def _look(self, import_id: str) -> None:
        if self._closing.is_set() or import_id in self._cancelled:
            raise _Stopped
