"""A reverse proxy that breaks requests by a plan.

By hand: ``PYTHONPATH=tests python -m faults.proxy --target http://127.0.0.1:3210 --port 0 --seed 7 --rate 0.2 -v``.
Every byte passes unchanged but the Host header, which names the target. Answers are gathered whole first.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import re
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from faults.http1 import Message, read_answer, read_request
from faults.plan import HTTP_FAULTS, Fault, Plan

_HEAD_LIMIT = 1 << 20
_DRIPS = 20
_DRIP_SECONDS = 0.02
_REASONS = {200: "OK", 408: "Request Timeout", 429: "Too Many Requests", 502: "Bad Gateway"}

Tell = Callable[[int, Message, Fault | None], None]


class Proxy:
    """Stands between clients and a target.

    Args:
        target: base URL; http or https.
        plan: what goes wrong.
        tell: called for every request: when it arrives, or just before its fault is injected.
    """

    def __init__(self, target: str, plan: Plan, tell: Tell) -> None:
        parts = urlsplit(target)
        self._tls = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port or (443 if self._tls else 80)
        self._netloc = parts.netloc.encode()
        self._plan = plan
        self._tell = tell
        self._count = 0

    async def client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side ends it."""
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):  # cancelled: the proxy ends
            while request := await read_request(reader):
                if not await self._request(request, reader, writer):
                    break
            await _close(writer)
        writer.close()

    async def _request(self, request: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request, or not; return whether the connection stays."""
        self._count += 1
        number, fault = self._count, self._plan.fault(self._count)
        if fault is None or not fault.reaches:
            self._tell(number, request, fault)
        if fault is not None and not fault.reaches:
            return await _inject(fault, request, Message(b""), reader, writer)
        upstream = await asyncio.open_connection(self._host, self._port, ssl=self._tls, limit=_HEAD_LIMIT)
        try:
            answer = await self._ask(request, *upstream)
            if fault is not None:
                self._tell(number, request, fault)
            if answer.first_line[1] == "101" and (fault is None or fault.how == "cut-socket"):
                writer.write(answer.head)
                await _tunnel((reader, writer), upstream, fault)
                return False
            return await _inject(fault, request, answer, reader, writer)
        except (OSError, asyncio.IncompleteReadError):  # the target's end is passed on as such
            _reset(writer)
            return False
        finally:
            await _close(upstream[1])

    async def _ask(self, request: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Message:
        head = re.sub(rb"(?im)^(host:[ \t]*)[^\r\n]*", rb"\g<1>" + self._netloc, request.head, count=1)
        writer.write(head + request.body)
        await writer.drain()
        return await read_answer(reader, request.first_line[0])


async def _inject(
    fault: Fault | None,
    request: Message,
    answer: Message,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> bool:
    """Do what the fault says; return whether the connection stays."""
    half = len(answer.body) // 2
    stays = not (request.closes or answer.closes)
    match fault and fault.how:
        case "reset":
            _reset(writer)
            return False
        case "answer":
            await _send(writer, _made(fault))
        case "stall":
            await reader.read()  # until the client gives up
            return False
        case "stall-half":
            await _send(writer, answer.head + answer.body[:half])
            await reader.read()
            return False
        case "truncate":
            await _send(writer, answer.head + answer.body[:half])
            return False
        case "drip":
            await _drip(writer, answer.head + answer.body)
        case _:
            await _send(writer, answer.head + answer.body)
    return stays


def _made(fault: Fault | None) -> bytes:
    assert fault is not None
    first = f"HTTP/1.1 {fault.status} {_REASONS.get(fault.status, 'Injected')}"
    return "\r\n".join([first, *fault.headers, f"Content-Length: {len(fault.body)}", "\r\n"]).encode() + fault.body


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


async def _drip(writer: asyncio.StreamWriter, data: bytes) -> None:
    size = max(1, -(-len(data) // _DRIPS))
    for start in range(0, len(data), size):
        await _send(writer, data[start : start + size])
        await asyncio.sleep(_DRIP_SECONDS)


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _tunnel(client: Streams, target: Streams, fault: Fault | None) -> None:
    """Pass bytes both ways until one side ends, or until the fault cuts both."""
    ways = [
        asyncio.create_task(_pass_on(client[0], target[1], None)),
        asyncio.create_task(_pass_on(target[0], client[1], fault.pieces if fault else None)),
    ]
    done, pending = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    for way in pending:
        way.cancel()
    await asyncio.gather(*ways, return_exceptions=True)
    if fault is not None and any(way.exception() is None and way.result() for way in done):
        _reset(client[1])
        _reset(target[1])


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pieces: int | None) -> bool:
    """Return True once `pieces` have passed, False at the end of the stream."""
    while data := await reader.read(1 << 16):
        await _send(writer, data)
        if pieces is not None:
            pieces -= 1
            if pieces == 0:
                return True
    return False


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST, not FIN."""
    raw = writer.get_extra_info("socket")
    with suppress(OSError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def main() -> None:
    """Run a proxy until it is stopped."""
    parser = argparse.ArgumentParser(prog="python -m faults.proxy", description="A proxy that breaks requests.")
    parser.add_argument("--target", required=True, metavar="URL")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--plan", default="", help="a list such as '3:502 4:stall 6+:empty'")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--kinds", default=",".join(HTTP_FAULTS), help="faults to draw from")
    parser.add_argument("-v", "--verbose", action="store_true", help="log injected faults on standard error")
    parser.add_argument("--with-parent", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    try:
        listed = Plan.of(given.plan)
        plan = listed if given.plan else Plan.random(given.seed, given.rate, tuple(given.kinds.split(",")))
    except ValueError as error:
        parser.error(str(error))
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(given.target, given.port, plan, given.verbose, given.with_parent))


async def _serve(target: str, port: int, plan: Plan, verbose: bool, with_parent: bool) -> None:
    def tell(number: int, request: Message, fault: Fault | None) -> None:
        method, path = request.first_line[:2]
        if verbose and fault is not None:
            print(f"request {number} {method} {path}: {fault.name}", file=sys.stderr, flush=True)
        if with_parent:
            same = hashlib.blake2b(request.body, digest_size=8, key=path.encode()[:64]).hexdigest()
            print(number, method, path, same, fault.name if fault else "-", flush=True)

    proxy = Proxy(target, plan, tell)
    server = await asyncio.start_server(proxy.client, "127.0.0.1", port, limit=_HEAD_LIMIT)
    print(f"proxy ready at http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    if with_parent:
        await _answer_parent()
    else:
        await server.serve_forever()


async def _answer_parent() -> None:
    """Echo the parent's lines, so that it knows that all before has been told; end when it does."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        print(line.decode(), end="", flush=True)


if __name__ == "__main__":
    main()
