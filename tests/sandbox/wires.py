"""A raw connection that speaks the sync protocol, and a proxy that cuts connections."""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
import uuid
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

from .box import KEY, Running


class Wire:
    """One WebSocket connection, message by message."""

    def __init__(self, box: Running, path: str = "/api/sync", session: str = "") -> None:
        address = box.url.replace("http://", "ws://") + path
        self._connect = connect(address, max_size=None, compression=None, ping_interval=None)
        self._session = session or str(uuid.uuid4())
        self.version = {"querySet": 0, "identity": 0, "ts": "AAAAAAAAAAA="}

    def __enter__(self) -> Self:
        self.socket: ClientConnection = self._connect.__enter__()
        self.send("Connect", sessionId=self._session, connectionCount=0, lastCloseReason="InitialConnect", clientTs=0)
        return self

    def __exit__(self, *_: object) -> None:
        self._connect.__exit__(None, None, None)

    def send(self, kind: str, **fields: Any) -> None:
        """Send one message."""
        self.socket.send(json.dumps({"type": kind, **fields}))

    def receive(self) -> Any:
        """Receive one message."""
        return json.loads(self.socket.recv(timeout=10))

    def step(self) -> list[Any]:
        """Receive a Transition, check that it follows the last one, and return its modifications."""
        message = self.receive()
        assert message["type"] == "Transition", message
        assert message["startVersion"] == self.version
        assert number(message["endVersion"]["ts"]) >= number(self.version["ts"])
        self.version = message["endVersion"]
        modifications: list[Any] = message["modifications"]
        return modifications

    def add(self, query_id: int, path: str, args: Any = None) -> None:
        """Ask for a query to be watched."""
        self.modify({"type": "Add", "queryId": query_id, "udfPath": path, "args": [args or {}]})

    def modify(self, *modifications: Any) -> None:
        """Ask for a change of the query set."""
        base = self.version["querySet"]
        self.send("ModifyQuerySet", baseVersion=base, newVersion=int(base) + 1, modifications=modifications)

    def mutate(self, request_id: int, path: str, args: Any) -> Any:
        """Ask for a mutation and return the answer."""
        self.send("Mutation", requestId=request_id, udfPath=path, args=[args])
        return self.receive()

    def be_admin(self, key: str = KEY) -> None:
        """Show the admin key."""
        self.send("Authenticate", baseVersion=self.version["identity"], tokenType="Admin", value=key)


def number(ts: str) -> int:
    """Return a timestamp of the wire as a number."""
    return int.from_bytes(base64.b64decode(ts), "little")


class Proxy:
    """Passes bytes between a client and a server until it shall cut.

    Args:
        target: port of the server.
        cut_at: cut the connection, once, when the server's answer holds these bytes, and swallow them.
    """

    def __init__(self, target: int, cut_at: bytes = b"") -> None:
        self.target = target
        self.cuts = 0
        self._cut_at = cut_at
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break all connections without a word."""
        self.cuts += 1
        for one in self._open:
            _reset(one)
        self._open.clear()

    def close(self) -> None:
        """Cut, and take no more."""
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
            except ConnectionRefusedError:
                _reset(client)
                continue
            except OSError:
                return
            self._open += [client, server]
            threading.Thread(target=self._pass, args=(client, server, b""), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, self._cut_at), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, cut_at: bytes) -> None:
        try:
            while data := source.recv(65536):
                if cut_at and self.cuts == 0 and cut_at in data:
                    self.cut()
                    return
                sink.sendall(data)
        except OSError:
            pass
        _reset(sink)


def _reset(one: socket.socket) -> None:
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    one.close()
