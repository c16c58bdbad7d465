"""One running sandbox: its file, its key, its functions, and the threads that run them."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from sync_tool.sandbox.database.cursors import Cursors
from sync_tool.sandbox.database.engine import Engine
from sync_tool.sandbox.database.loading import load_rows
from sync_tool.sandbox.database.schema import chat_schema
from sync_tool.sandbox.database.snapshots import Snapshots
from sync_tool.sandbox.database.store import Store
from sync_tool.sandbox.functions import (
    convex_msgs,
    convex_msgs_writing,
    examples,
    langchain_db,
    system_cli,
    system_frontend,
    system_imports,
)
from sync_tool.sandbox.functions.calls import Caller
from sync_tool.sandbox.functions.registry import Facts, Function, Kind
from sync_tool.sandbox.imports.worker import Importer
from sync_tool.sandbox.keys import KEY_VARIABLE, new_key
from sync_tool.sandbox.options import SandboxOptions
from sync_tool.sandbox.sync.hub import Hub

T = TypeVar("T")

_READERS: Final = 1
"""More would be slower: SQLite's rows pass the interpreter lock back and forth between the threads."""

_ACTIONS: Final = 16


class Instance:
    """Everything behind the HTTP and WebSocket border.

    Attributes:
        options: how it was started.
        key: its admin key.
        url: where it listens; set once that is known.
        caller: runs functions.
        snapshots: old states that can still be read.
        hub: tells connections of commits.
        importer: takes snapshot imports through their states.
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
        self.caller = Caller(self.engine, Facts(options, schema, cursors, _deployed(options)), SYSTEM)
        self.snapshots = Snapshots(self.engine)
        self.hub = Hub(self.engine)
        self.importer = Importer(self.engine)
        self._readers = ThreadPoolExecutor(_READERS, "reader")
        self._writer = ThreadPoolExecutor(1, "writer")
        self._actions = ThreadPoolExecutor(_ACTIONS, "action")

    async def read(self, run: Callable[[], T]) -> T:
        """Run something that reads, beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    async def write(self, run: Callable[[], T]) -> T:
        """Run something that writes, after the writes asked for earlier."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, run)

    async def act(self, run: Callable[[], T]) -> T:
        """Run an action, which may wait for reads and writes."""
        return await asyncio.get_running_loop().run_in_executor(self._actions, run)

    def thread_for(self, kind: Kind) -> Callable[[Callable[[], T]], Awaitable[T]]:
        """Return which of the three runs a function of this kind."""
        if kind == "Query":
            return self.read
        return self.write if kind == "Mutation" else self.act

    def close(self) -> None:
        """Wait for what is running, and close the file."""
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
        """Return the key from the environment, or the one kept in the file, or a new one."""
        given = os.environ.get(KEY_VARIABLE)
        if given:
            return given
        name = f"key:{self.options.type}:{self.options.name}"
        key = self._store.get(name)
        if key is None:
            key = new_key(self.options)
            self._store.set(name, key)
        return key


SYSTEM: Final[dict[str, Function]] = {
    **system_cli.FUNCTIONS,
    **system_frontend.FUNCTIONS,
    **system_imports.FUNCTIONS,
}


def _deployed(options: SandboxOptions) -> dict[str, Function]:
    ours = {**convex_msgs.FUNCTIONS, **convex_msgs_writing.FUNCTIONS, **langchain_db.FUNCTIONS}
    return {**(ours if options.functions else {}), **(examples.FUNCTIONS if options.examples else {})}
