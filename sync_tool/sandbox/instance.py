"""One running sandbox: file, key, functions and threads."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from sync_tool.encoding import canonical
from sync_tool.encoding.ids import decode_id, encode_id
from sync_tool.encoding.values import Value
from sync_tool.sandbox import limits
from sync_tool.sandbox.database.cursors import Cursors
from sync_tool.sandbox.database.documents import new_id
from sync_tool.sandbox.database.engine import Engine, Snapshots
from sync_tool.sandbox.database.schema import chat_schema
from sync_tool.sandbox.database.store import Store, Table
from sync_tool.sandbox.database.writing import WriteTransaction
from sync_tool.sandbox.faults import FunctionError, ServerError
from sync_tool.sandbox.functions import convex_msgs, examples, system
from sync_tool.sandbox.functions.calls import Caller
from sync_tool.sandbox.functions.registry import Facts, Function, Kind
from sync_tool.sandbox.imports import records
from sync_tool.sandbox.imports.worker import Importer
from sync_tool.sandbox.keys import KEY_VARIABLE, new_key
from sync_tool.sandbox.options import SandboxOptions

T = TypeVar("T")

_READERS: Final = 1  # More would be slower: the threads compete for the interpreter lock

_ACTIONS: Final = 16


class Instance:
    """State behind the HTTP and WebSocket API.

    Attributes:
        options: settings.
        key: admin key.
        url: address, once known.
        caller: runs functions.
        snapshots: earlier states that are still readable.
        importer: performs snapshot imports.
    """

    def __init__(self, options: SandboxOptions) -> None:
        self.options = options
        self.url = ""
        self._folder = tempfile.TemporaryDirectory(prefix="convex-sandbox-") if options.data is None else None
        path = Path(self._folder.name, "data.sqlite") if self._folder else options.data
        self._store = Store(path or Path(), durable=options.data is not None)
        self.key = self._settle_key()
        schema = chat_schema(options.naming, options.schema)
        self.engine = Engine(self._store, schema, write_rate=options.write_rate, slow_rows=options.slow_rows)
        if options.load is not None:
            load_rows(self.engine, options.naming.table, options.load)
        cursors = Cursors(self._store.secret, options.name)
        self.caller = Caller(self.engine, Facts(options, schema, cursors, _deployed(options)), _SYSTEM)
        self.snapshots = Snapshots(self.engine)
        self.importer = Importer(self.engine)
        self._permits = _permits(options.max_calls)
        self._readers = ThreadPoolExecutor(_READERS, "reader")
        self._writer = ThreadPoolExecutor(1, "writer")
        self._actions = ThreadPoolExecutor(_ACTIONS, "action")

    async def read(self, run: Callable[[], T]) -> T:
        """Run a read outside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    async def write(self, run: Callable[[], T]) -> T:
        """Run a write after all earlier writes."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, run)

    async def act(self, run: Callable[[], T]) -> T:
        """Run an action, which may wait for reads and writes."""
        return await asyncio.get_running_loop().run_in_executor(self._actions, run)

    @asynccontextmanager
    async def permit(self, kind: Kind) -> AsyncIterator[None]:
        """Wait until one more call of this kind may run; raise ServerError 429 if that takes too long."""
        permits = self._permits.get(kind)
        if permits is None:
            yield
            return
        try:
            await asyncio.wait_for(permits.acquire(), limits.PERMIT_SECONDS[kind])
        except TimeoutError:
            text = "Too many concurrent requests, backoff and try again."
            raise ServerError(429, "TooManyConcurrentRequests", text) from None
        try:
            yield
        finally:
            permits.release()

    def thread_for(self, kind: Kind) -> Callable[[Callable[[], T]], Awaitable[T]]:
        """Return the runner for a kind of function."""
        if kind == "Query":
            return self.read
        return self.write if kind == "Mutation" else self.act

    def close(self) -> None:
        """Wait for running work, and close the file."""
        self.caller.facts.closing.set()
        self.importer.close()
        self._actions.shutdown()
        self._readers.shutdown()
        self._writer.shutdown()
        self.snapshots.close()
        self._store.close()
        if self._folder is not None:
            self._folder.cleanup()

    def _settle_key(self) -> str:
        """Return the key of the environment, else of the file, else a new one."""
        given = os.environ.get(KEY_VARIABLE)
        if given:
            return given
        name = f"key:{self.options.type}:{self.options.name}"
        key = self._store.get(name)
        if key is None:
            key = new_key(self.options)
            self._store.set(name, key)
        return key


_SYSTEM: Final[dict[str, Function]] = {**system.FUNCTIONS, **records.FUNCTIONS}


def _permits(max_calls: int | None) -> dict[Kind, asyncio.Semaphore]:
    kinds: tuple[Kind, ...] = ("Query", "Mutation", "Action")
    return {} if max_calls is None else {kind: asyncio.Semaphore(max_calls) for kind in kinds}


def _deployed(options: SandboxOptions) -> dict[str, Function]:
    return {**(convex_msgs.FUNCTIONS if options.functions else {}), **(examples.FUNCTIONS if options.examples else {})}


class BadRowError(Exception):
    """A line of the file cannot be loaded."""


def load_rows(engine: Engine, table: str, path: Path) -> None:
    """Load a canonical JSONL file into a table if it is empty: all rows or none."""
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
    """Give an ``_id`` of another deployment this table's number."""
    document: dict[str, Value] = dict(row)
    document.setdefault("_id", new_id(table.number))
    document_id = decode_id(document["_id"])
    if document_id.table_number != table.number:
        document["_id"] = encode_id(document_id._replace(table_number=table.number))
    return document
