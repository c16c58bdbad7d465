"""Function calls over HTTP.

Source: get-convex/convex-backend, ``crates/local_backend/src/public_api.rs``.
"""

from __future__ import annotations

import base64
import binascii
import sqlite3
from functools import partial
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response

from sync_tool.sandbox.faults import FunctionError, bad_request, internal_error
from sync_tool.sandbox.functions.calls import Call, Outcome
from sync_tool.sandbox.functions.registry import Kind
from sync_tool.sandbox.functions.results import CLEAN, check_format
from sync_tool.sandbox.http.requests import (
    BatchBody,
    CallAtBody,
    CallBody,
    Handler,
    RunBody,
    client_of,
    json_bytes,
    json_response,
    outcome_bytes,
    positional,
    read_body,
    token_of,
)
from sync_tool.sandbox.instance import Instance
from sync_tool.sandbox.keys import is_admin, must_be_admin
from sync_tool.sandbox.paths import FunctionPath, parse_path


class FunctionApi:
    """Handlers that run functions of one instance."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._caller = instance.caller

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers of POST requests by path."""
        return {
            "/api/query": partial(self._typed, "Query"),
            "/api/mutation": partial(self._typed, "Mutation"),
            "/api/action": partial(self._typed, "Action"),
            "/api/function": self.function,
            "/api/run/{path:path}": self.run_path,
            "/api/query_ts": self.query_ts,
            "/api/query_at_ts": self.query_at_ts,
            "/api/query_batch": self.query_batch,
        }

    async def function(self, request: Request) -> Response:
        """POST /api/function: any kind of function, for admins."""
        token, client = token_of(request), client_of(request)
        body = await read_body(request, CallBody)
        admin = is_admin(token, self._instance.key)
        must_be_admin(admin, self._instance.options.name)
        call = Call(parse_path(body.path), positional(body.args), admin)
        return await self._any_kind(call, body.format or client.default_format)

    async def run_path(self, request: Request) -> Response:
        """POST /api/run/module/function."""
        token = token_of(request)
        client_of(request)
        body = await read_body(request, RunBody)
        admin = is_admin(token, self._instance.key)
        segments = _segments(request)
        if len(segments) < 2:
            text = "Path or function name not provided in path, e.g. /api/run/messages/list"
            raise bad_request("MissingIdentifier", text)
        path = parse_path("/".join(segments[:-1]) + ":" + segments[-1])
        return await self._any_kind(Call(path, positional(body.args), admin), body.format or CLEAN)

    async def query_ts(self, _request: Request) -> Response:
        """POST /api/query_ts: the newest timestamp, which then stays readable for a while."""
        ts = await self._instance.read(self._instance.snapshots.newest)
        return json_response({"ts": base64.b64encode(ts.to_bytes(8, "little")).decode()})

    async def query_at_ts(self, request: Request) -> Response:
        """POST /api/query_at_ts: a query on the state at a timestamp."""
        token, client = token_of(request), client_of(request)
        body = await read_body(request, CallAtBody)
        call = self._call(body, is_admin_token=is_admin(token, self._instance.key))
        ts, format_name = _timestamp(body.ts), body.format or client.default_format

        def at_ts() -> bytes:
            run = partial(self._caller.query, call)
            return self._encode(self._instance.snapshots.read_at(ts, run), format_name, call.path)

        return json_bytes(await self._instance.read(at_ts))

    async def query_batch(self, request: Request) -> Response:
        """POST /api/query_batch: several queries on one state."""
        token, client = token_of(request), client_of(request)
        body = await read_body(request, BatchBody)
        admin = is_admin(token, self._instance.key)
        calls: list[tuple[Call, str]] = []
        for query in body.queries:
            format_name = query.format or client.default_format
            check_format(format_name)
            calls.append((self._call(query, is_admin_token=admin), format_name))

        def batch() -> bytes:
            snapshots = self._instance.snapshots
            results = snapshots.read_at(snapshots.newest(), partial(self._run_batch, calls))
            return b'{"results":[' + b",".join(results) + b"]}"

        return json_bytes(await self._instance.read(batch))

    async def _typed(self, kind: Kind, request: Request) -> Response:
        token, client = token_of(request), client_of(request)
        body = await read_body(request, CallBody)
        path = parse_path(body.path)
        admin = is_admin(token, self._instance.key)
        call = Call(path, positional(body.args), admin, json_bytes=len(memoryview(body.args)))
        return await self._answer(call, kind, body.format or client.default_format)

    async def _any_kind(self, call: Call, format_name: str) -> Response:
        try:
            kind = self._caller.kind_of(call)
        except FunctionError as failure:
            return json_bytes(self._encode(Outcome(failure=failure), format_name, call.path))
        return await self._answer(call, kind, format_name)

    async def _answer(self, call: Call, kind: Kind, format_name: str) -> Response:
        def run() -> bytes:
            return self._encode(self._caller.run(call, kind), format_name, call.path)

        async with self._instance.permit(kind):
            return json_bytes(await self._instance.thread_for(kind)(run))

    def _run_batch(self, calls: list[tuple[Call, str]], connection: sqlite3.Connection) -> list[bytes]:
        return [
            self._encode(self._caller.query(call, connection), format_name, call.path) for call, format_name in calls
        ]

    def _encode(self, outcome: Outcome, format_name: str, path: FunctionPath) -> bytes:
        return outcome_bytes(outcome, format_name, path.module, redact=self._instance.options.redacts)

    def _call(self, body: CallBody, *, is_admin_token: bool) -> Call:
        return Call(parse_path(body.path), positional(body.args), is_admin_token)


def _segments(request: Request) -> list[str]:
    """Return the percent-decoded parts of the path after ``/api/run/``."""
    raw: bytes = request.scope["raw_path"]
    try:
        return [unquote(part, errors="strict") for part in raw.decode("ascii").split("/")[3:]]
    except UnicodeDecodeError:
        raise bad_request("MissingIdentifier", "Path is not valid UTF-8") from None


def _timestamp(text: str) -> int:
    """Read a timestamp: base64 of eight little-endian bytes; any other text is the backend's 500."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        data = b""
    if len(data) != 8:
        raise internal_error()
    return int.from_bytes(data, "little")
