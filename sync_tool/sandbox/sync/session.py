"""WebSocket connection of one client.

Mutations of a connection run one after the other, actions in parallel. All stale queries run on one state, and one
version step reports them. A step follows every change of the query set or identity, every answered mutation or
action, and every commit that concerns a watched query.
Source: get-convex/convex-backend, ``crates/sync/src/{worker,state}.rs``, ``crates/model/src/session_requests``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from sync_tool.sandbox.database.engine import Change
from sync_tool.sandbox.faults import FunctionError, ServerError, bad_request, internal_error
from sync_tool.sandbox.functions.calls import Call, Outcome
from sync_tool.sandbox.instance import Instance
from sync_tool.sandbox.keys import is_admin
from sync_tool.sandbox.paths import parse_path
from sync_tool.sandbox.sync import wire
from sync_tool.sandbox.sync.live import LiveQueries, LiveQuery, digest_of


def run_once(instance: Instance, client: str, request_id: int, call: Call) -> bytes:
    """Run a mutation unless it was answered before, and return the answer; only in the writer's thread.

    A client that lost its connection repeats its requests. The transaction of the mutation stores the answer under the
    client's session (empty if there is none) and request id.
    """
    known = instance.engine.recall(client, request_id)
    if known is not None:
        return known
    redact = instance.options.redacts

    def answer(outcome: Outcome) -> bytes:
        return wire.response("Mutation", request_id, outcome, call.path.module, redact=redact)

    def record(connection: sqlite3.Connection, outcome: Outcome, ts: int) -> None:
        outcome.ts = ts
        row = (client, request_id, ts, answer(outcome))
        connection.execute("INSERT INTO requests VALUES (?, ?, ?, ?)", row)

    return answer(instance.caller.mutation(call, record if client else None))


Send = Callable[[bytes], Awaitable[None]]

MAX_STEP_BYTES: Final = 32 << 20  # The Python client accepts messages of at most 64 MiB

MAX_RESULT_JSON: Final = 60 << 20

_QUIET_SECONDS: Final = 15.0


class Session:
    """State of one connection; `send` sends a message to the client."""

    def __init__(self, instance: Instance, send: Send) -> None:
        self._instance = instance
        self._redact = instance.options.redacts
        self._send_raw = send
        self._sending = asyncio.Lock()
        self._last_sent = 0.0
        self._client = ""
        self._admin = False
        self._live = LiveQueries()
        self._sent = wire.Version()
        self._step_due = asyncio.Event()
        self._mutations: asyncio.Queue[wire.Mutation] = asyncio.Queue()
        self.identity = 0

    async def run(self, receive: Callable[[], Awaitable[str]]) -> None:
        """Serve the connection until `receive` raises or a task fails."""
        loop, watchers = asyncio.get_running_loop(), self._instance.engine.watchers

        def watch(change: Change) -> None:  # runs in the thread of the commit
            loop.call_soon_threadsafe(self._on_commit, change)

        watchers.add(watch)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive(receive, tasks))
                tasks.create_task(self._answer_mutations())
                tasks.create_task(self._report_steps())
                tasks.create_task(self._keep_alive())
        finally:
            watchers.discard(watch)

    async def _receive(self, receive: Callable[[], Awaitable[str]], tasks: asyncio.TaskGroup) -> None:
        while True:
            message = wire.read_message(await receive())
            match message:
                case wire.Connect():
                    self._client = message.session_id
                case wire.ModifyQuerySet():
                    self._live.modify(message)
                    self._step_due.set()
                case wire.Authenticate():
                    self._authenticate(message)
                case wire.Mutation():
                    self._mutations.put_nowait(message)
                case wire.Action():
                    tasks.create_task(self._answer_action(message))
                case wire.Event():
                    pass

    def _authenticate(self, message: wire.Authenticate) -> None:
        if message.base_version != self.identity:
            text = f"Base version {message.base_version} passed up doesn't match the current version {self.identity}"
            raise bad_request("BaseVersionMismatch", text)
        self._admin = is_admin(message.token, self._instance.key)
        self.identity += 1
        self._live.all_stale()
        self._step_due.set()

    def _on_commit(self, change: Change) -> None:
        if self._live.on_commit(change):
            self._step_due.set()

    async def _answer_mutations(self) -> None:
        while True:
            message = await self._mutations.get()
            call = Call(parse_path(message.udf_path), message.args, self._admin)
            answer = await self._instance.write(
                partial(run_once, self._instance, self._client, message.request_id, call)
            )
            await self._send(answer)
            self._step_due.set()

    async def _answer_action(self, message: wire.Action) -> None:
        call = Call(parse_path(message.udf_path), message.args, self._admin)
        outcome = await self._instance.act(lambda: self._instance.caller.action(call))
        await self._send(wire.response("Action", message.request_id, outcome, call.path.module, redact=self._redact))
        self._step_due.set()

    async def _report_steps(self) -> None:
        while True:
            await self._step_due.wait()
            self._step_due.clear()
            await self._report_step()

    async def _report_step(self) -> None:
        """Run all stale queries on one state and send the results."""
        query_set, identity, admin = self._live.version, self.identity, self._admin
        removed, self._live.removed = self._live.removed, []
        queries = self._live.start_run()
        results, ts = await self._instance.read(lambda: self._run_all(queries, admin=admin))
        self._live.end_run(ts)
        if self._live.any_stale:
            self._step_due.set()
        modifications = [wire.query_removed(query_id) for query_id in removed]
        modifications += [body for query, body in results if body and query.query_id in self._live.queries]
        end = wire.Version(query_set, identity, max(ts, self._sent.ts))
        for part in _parts(modifications):
            await self._send(wire.transition(self._sent, end, part))
            self._sent = end

    def _run_all(self, queries: list[LiveQuery], *, admin: bool) -> tuple[list[tuple[LiveQuery, bytes]], int]:
        """Run queries on the newest state; an unchanged result is empty."""

        def run(connection: sqlite3.Connection) -> list[tuple[LiveQuery, bytes]]:
            return [(query, self._run_query(query, connection, admin=admin)) for query in queries]

        return self._instance.engine.view(run)

    def _run_query(self, query: LiveQuery, connection: sqlite3.Connection, *, admin: bool) -> bytes:
        outcome = self._instance.caller.query(Call(query.path, query.args, admin), connection)
        query.ranges = outcome.ranges
        body = wire.query_result(query.query_id, outcome, query.path.module, redact=self._redact)
        digest = digest_of(outcome, body)
        if digest == query.digest:
            return b""
        query.digest = digest
        if len(body) > MAX_RESULT_JSON:
            failed = Outcome(failure=FunctionError(f"Function {query.path} return value is too large as JSON"))
            body = wire.query_result(query.query_id, failed, query.path.module, redact=self._redact)
        return body

    async def _keep_alive(self) -> None:
        loop = asyncio.get_running_loop()
        self._last_sent = loop.time()
        while True:
            rest = self._last_sent + _QUIET_SECONDS - loop.time()
            if rest <= 0:
                await self._send(wire.PING)
            await asyncio.sleep(max(rest, 0.01))

    async def _send(self, message: bytes) -> None:
        async with self._sending:
            await self._send_raw(message)
            self._last_sent = asyncio.get_running_loop().time()


def _parts(modifications: list[bytes]) -> list[list[bytes]]:
    """Split modifications into messages below the size limit; there is at least one, also without content."""
    parts: list[list[bytes]] = [[]]
    size = 0
    for modification in modifications:
        if parts[-1] and size + len(modification) > MAX_STEP_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(modification)
        size += len(modification)
    return parts


_log = logging.getLogger(__name__)


def sync_routes(instance: Instance) -> list[WebSocketRoute]:
    """Return the routes of the Python and of the JavaScript client, whose path has its version."""

    async def endpoint(socket: WebSocket) -> None:
        await _serve(instance, socket)

    return [WebSocketRoute("/api/sync", endpoint), WebSocketRoute("/api/{version}/sync", endpoint)]


async def _serve(instance: Instance, socket: WebSocket) -> None:
    await socket.accept()
    session = Session(instance, socket.send_bytes)
    running = session.run(_delayed(socket.receive_text, instance.options.latency))
    (end,) = await asyncio.gather(running, return_exceptions=True)
    for error in _leaves(end):
        if isinstance(error, ServerError):
            await _part(socket, session, error)
        elif not isinstance(error, WebSocketDisconnect):
            _log.error("sync", exc_info=error)
            await _part(socket, session, internal_error())


async def _part(socket: WebSocket, session: Session, error: ServerError) -> None:
    """Send the reason, if the protocol has a message for it, and close."""
    words = wire.closing_message(error, session.identity)
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # already closed
        if words is not None:
            await socket.send_bytes(words)
        await socket.close(wire.close_code(error), error.code)


def _leaves(error: BaseException | None) -> list[BaseException]:
    """Return the errors inside groups of errors."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [] if error is None else [error]


def _delayed(receive: Callable[[], Awaitable[str]], latency: float) -> Callable[[], Awaitable[str]]:
    """Delay each message by `latency` seconds without delaying those after it."""
    if not latency:
        return receive
    arrived: asyncio.Queue[tuple[float, str | WebSocketDisconnect]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    async def fill() -> None:
        try:
            while True:
                text = await receive()
                arrived.put_nowait((loop.time() + latency, text))
        except WebSocketDisconnect as end:
            arrived.put_nowait((0.0, end))

    filling = loop.create_task(fill())

    async def take() -> str:
        due, message = await arrived.get()
        await asyncio.sleep(max(0.0, due - loop.time()))
        if isinstance(message, WebSocketDisconnect):
            await filling
            raise message
        return message

    return take
