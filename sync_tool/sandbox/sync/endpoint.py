"""The WebSocket routes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from sync_tool.sandbox.faults import ServerError, internal_error
from sync_tool.sandbox.instance import Instance
from sync_tool.sandbox.sync import wire
from sync_tool.sandbox.sync.session import Session

_log = logging.getLogger(__name__)


def sync_routes(instance: Instance) -> list[WebSocketRoute]:
    """Return the routes: the Python client's, and that of JavaScript with its version in it."""

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
    """Say why, where the protocol has words for it, and close."""
    words = wire.last_words(error, session.identity)
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # it may be closed already
        if words is not None:
            await socket.send_bytes(words)
        await socket.close(wire.close_code(error), error.code)


def _leaves(error: BaseException | None) -> list[BaseException]:
    """Return what is inside groups of errors."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [] if error is None else [error]


def _delayed(receive: Callable[[], Awaitable[str]], latency: float) -> Callable[[], Awaitable[str]]:
    """Hand each message on `latency` seconds after it came, without holding up those behind it."""
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
