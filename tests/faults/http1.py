"""As much of HTTP/1.1 as a proxy needs that passes every byte on as it came."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer: its head with the empty line, and its body as it was on the wire."""

    head: bytes
    body: bytes = b""
    to_end: bool = False
    """True if only the end of the connection ended the body."""

    @property
    def first_line(self) -> list[str]:
        """Method, path, version; or version, status, reason."""
        return self.head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)

    @property
    def closes(self) -> bool:
        """True if the connection ends after this message."""
        if self.to_end or b"HTTP/1.0" in self.head.split(b"\r\n", 1)[0]:
            return True
        return "close" in self.header("connection")

    @property
    def upgrades(self) -> bool:
        """True if this asks for another protocol on the same connection."""
        return "upgrade" in self.header("connection")

    def header(self, name: str) -> str:
        """Return a header's values in lower case, joined; empty without it."""
        lines = (line.partition(b":") for line in self.head.split(b"\r\n")[1:])
        wanted = name.encode()
        return ",".join(value.strip().decode("latin-1").lower() for key, _, value in lines if key.lower() == wanted)


async def read_request(reader: asyncio.StreamReader) -> Message | None:
    """Read one request; None if the client is done."""
    try:
        head = await reader.readuntil(_END)
    except asyncio.IncompleteReadError:
        return None
    return await _whole(reader, head, to_end=False)


async def read_answer(reader: asyncio.StreamReader, method: str) -> Message:
    """Read the answer to a request of this method; interim answers are left out."""
    while True:
        head = await reader.readuntil(_END)
        status = int(head.split(b" ", 2)[1])
        if status == 101 or status >= 200:
            break
    if method == "HEAD" or status in (101, 204, 304):
        return Message(head)
    return await _whole(reader, head, to_end=True)


async def _whole(reader: asyncio.StreamReader, head: bytes, *, to_end: bool) -> Message:
    message = Message(head)
    if "chunked" in message.header("transfer-encoding"):
        return Message(head, await _chunks(reader))
    length = message.header("content-length")
    if length:
        return Message(head, await reader.readexactly(int(length)))
    return Message(head, await reader.read(), to_end=True) if to_end else message


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """Read a chunked body with its sizes and trailers."""
    raw = bytearray()
    while True:
        line = await reader.readuntil(b"\r\n")
        raw += line
        size = int(line.split(b";")[0], 16)
        if size == 0:
            break
        raw += await reader.readexactly(size + 2)
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        raw += line
    return bytes(raw + b"\r\n")
