"""Starts a sandbox, reports when it is ready, and stops it cleanly."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from sync_tool.sandbox.http.app import http_app
from sync_tool.sandbox.instance import Instance
from sync_tool.sandbox.options import SandboxOptions

MAX_FRAME_BYTES: Final = 1 << 20


class FragmentingProtocol(WebSocketsSansIOProtocol):
    """Sends ``bytes`` as text, at most 1 MiB a frame.

    The Python client drops a connection at a frame of more than 16 MiB, and the sync protocol has no binary messages.
    ASGI has no fragments, so this class replaces a method of uvicorn's protocol.
    """

    async def send(self, message: Any) -> None:
        """Send one ASGI message."""
        data = message.get("bytes") if message["type"] == "websocket.send" else None
        if not isinstance(data, bytes):
            await super().send(message)
            return
        for start in range(0, len(data), MAX_FRAME_BYTES):
            await self.writable.wait()
            if self.disconnected or self.close_sent:
                raise ClientDisconnected
            self._send_frame(data, start)

    def _send_frame(self, data: bytes, start: int) -> None:
        end = start + MAX_FRAME_BYTES
        send = self.conn.send_continuation if start else self.conn.send_text
        try:
            send(data[start:end], fin=end >= len(data))
        except InvalidState:
            raise ClientDisconnected from None
        self.transport.write(b"".join(self.conn.data_to_send()))


HOST: Final = "127.0.0.1"

_GOODBYE_SECONDS: Final = 2
_MAX_MESSAGE_BYTES: Final = 64 << 20
_PING_SECONDS: Final = 5.0
_SILENT_SECONDS: Final = 120.0  # A client that answers no ping for this long is dropped


class PortTakenError(Exception):
    """Another program listens on the port."""


class _Server(uvicorn.Server):
    """Stops on a signal without ending the process by the same signal."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.should_exit = True


def serve(options: SandboxOptions, make_app: Callable[[Instance], Starlette] = http_app) -> None:
    """Run a sandbox until SIGINT or SIGTERM (or, `with_parent`, until standard input is closed).

    Raises:
        PortTakenError: the port is in use.
        NotASandboxError: the data file has other contents.
        BadRowError: the file to load has a line that is not a row.
    """
    listener = _listen(options.port)
    instance = Instance(options)
    try:
        instance.url = f"http://{HOST}:{listener.getsockname()[1]}"
        if options.env_file is not None:
            write_env_file(options.env_file, instance)
        asyncio.run(_run(instance, listener, make_app(instance)))
    finally:
        instance.close()
        listener.close()


async def _run(instance: Instance, listener: socket.socket, app: Starlette) -> None:
    level = "info" if instance.options.verbose else "warning"
    logging.basicConfig(stream=sys.stderr, level=level.upper(), format="%(message)s")
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level=level,
        access_log=instance.options.verbose,
        lifespan="off",
        ws=FragmentingProtocol,
        ws_max_size=_MAX_MESSAGE_BYTES,
        ws_ping_interval=_PING_SECONDS,
        ws_ping_timeout=_SILENT_SECONDS,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=_GOODBYE_SECONDS,
        timeout_keep_alive=60,
    )
    server = _Server(config)
    if instance.options.with_parent:
        threading.Thread(target=_watch_parent, args=(server,), daemon=True).start()
    running = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not running.done():
        await asyncio.sleep(0.001)
    if server.started:
        _report_ready(instance)
    await running


def _report_ready(instance: Instance) -> None:
    file = instance.options.env_file
    where = f"key: {instance.key}" if file is None else f"key in {file}"
    sys.stdout.write(f"sandbox ready at {instance.url}  ({where})\n")
    sys.stdout.flush()


def _watch_parent(server: _Server) -> None:
    while os.read(0, 4096):
        pass
    server.should_exit = True


def _listen(port: int) -> socket.socket:
    # asyncio sets TCP_NODELAY only on sockets with a protocol number; without it every answer waits 40 ms for the
    # client's delayed acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise PortTakenError(f"port {port} is in use: {error.strerror}") from None
    return listener


def write_env_file(path: Path, instance: Instance) -> None:
    """Write address and key as the variables that Convex's tools read, readable by the owner only."""
    if instance.options.is_cloud:
        # Clients ask the provisioning host for the address of a cloud key; the sandbox answers that, too.
        lines = f"CONVEX_DEPLOY_KEY='{instance.key}'\nCONVEX_PROVISION_HOST={instance.url}\nCONVEX_URL={instance.url}\n"
    else:
        lines = f"CONVEX_SELF_HOSTED_URL={instance.url}\nCONVEX_SELF_HOSTED_ADMIN_KEY='{instance.key}'\n"
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)
