"""Streaming export over HTTP: data sync, what turns an older cursor into one of its own, and whether any is allowed.

Source: get-convex/convex-backend, ``crates/local_backend/src/streaming_export.rs``,
``crates/common/src/types/streaming_export/mod.rs``, ``crates/model/src/backend_info/mod.rs``.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sync_tool.encoding.canonical import canonical_to_export
from sync_tool.encoding.values import Json
from sync_tool.sandbox.cursors import Cursors, fingerprint_of
from sync_tool.sandbox.datasync import INVALID, DataSync, Position, SyncPage
from sync_tool.sandbox.faults import FunctionError, ServerError, bad_request
from sync_tool.sandbox.http_border import Handler, json_bytes, json_response
from sync_tool.sandbox.instance import Instance
from sync_tool.sandbox.keys import Token, is_admin
from sync_tool.sandbox.requests import client_of, read_body, token_of
from sync_tool.sandbox.results import to_json_bytes
from sync_tool.sandbox.rights import VIEW_DATA, must_be_allowed
from sync_tool.sandbox.selection import Columns, Selection, chosen, read_selection
from sync_tool.sandbox.store import load_tables

_FINGERPRINT: Final = fingerprint_of("data sync")
_NAMED_CLIENTS: Final = {"fivetran-export": "fivetran-", "fivetran-import": "fivetran-", "airbyte-export": "airbyte-"}
_NO_TABLE: Final = Columns()

_position = msgspec.json.Decoder(Position).decode


class _SyncBody(msgspec.Struct):
    cursor: str | None = None
    selection: Any = None


class _DeltasBody(msgspec.Struct):
    cursor: int
    selection: Any = None


class StreamApi:
    """The handlers of streaming export of one instance."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._cursors: Cursors = instance.caller.facts.cursors

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers of POST requests by path; a backend of before July 2026 has none of them."""
        if not self._instance.options.data_sync:
            return {}
        return {
            "/api/v1/data/sync": self.data_sync,
            "/api/data_sync_cursor_from_deltas": self.cursor_from_deltas,
        }

    async def test_connection(self, request: Request) -> Response:
        """GET /api/test_streaming_export_connection: null if plan and key allow streaming export."""
        self.must_be_allowed(request)
        return json_response(None)

    def must_be_allowed(self, request: Request) -> None:
        """Refuse whoever may not stream.

        Raises:
            ServerError: 401 or 403.
        """
        token = token_of(request)
        is_admin(token, self._instance.key)
        self._must_be_allowed(token)

    async def data_sync(self, request: Request) -> Response:
        """POST /api/v1/data/sync: one page."""
        token, client = token_of(request), _NAMED_CLIENTS.get(client_of(request).name, "")
        is_admin(token, self._instance.key)
        body = await read_body(request, _SyncBody)
        self._must_be_allowed(token)
        position = None if body.cursor is None else self._read(body.cursor)
        selection = read_selection(body.selection)
        return json_bytes(
            await self._instance.read(
                lambda: self._on_newest(selection, lambda sync: self._spell(sync.page(position, client), selection))
            )
        )

    async def cursor_from_deltas(self, request: Request) -> Response:
        """POST /api/data_sync_cursor_from_deltas: a cursor for "everything up to this moment is known"."""
        token, client = token_of(request), _NAMED_CLIENTS.get(client_of(request).name, "")
        is_admin(token, self._instance.key)
        body = await read_body(request, _DeltasBody)
        self._must_be_allowed(token)
        if not 0 <= body.cursor < 2**63:
            raise bad_request(INVALID, "The document_deltas cursor is not a valid timestamp")
        selection = read_selection(body.selection)

        def since(sync: DataSync) -> Position:
            return sync.since(body.cursor, f"{client}{uuid.uuid4()}")

        position = await self._instance.read(lambda: self._on_newest(selection, since))
        return json_response({"cursor": self._write(position)})

    def _must_be_allowed(self, token: Token) -> None:
        """Look at the plan first, and then at the rights of the key."""
        options = self._instance.options
        if not options.streaming:
            text = "Streaming export is not available on your current subscription."
            link = "See https://www.convex.dev/plans to upgrade."
            raise ServerError(403, "StreamingExportNotEnabled", f"{text} {link}")
        must_be_allowed(token, self._instance.key, options, VIEW_DATA)

    def _on_newest(self, selection: Selection, run: Callable[[DataSync], Any]) -> Any:
        """Run something on the newest state, and on the tables of it that are asked for."""
        engine, options = self._instance.engine, self._instance.options
        engine.beat()

        def on(connection: sqlite3.Connection) -> Any:
            latest = engine.ts_of(connection)
            targets = chosen(load_tables(connection, engine.declared).values(), selection)
            oldest = latest - int(options.retention * 1e9)
            return run(DataSync(connection, latest, oldest, targets, options.stream_page))

        return engine.view(on)[0]

    def _spell(self, page: SyncPage, selection: Selection) -> bytes:
        """Return a page as JSON."""
        tables = page.targets.values()
        names = {table.number: to_json_bytes(table.name) for table in tables}
        columns = {table.number: selection.columns(table.name) or _NO_TABLE for table in tables}
        values = [
            b'{"component":"","table":%b,"ts":%d,"deleted":false,"value":%b}'
            % (names[number], ts, canonical_to_export(columns[number].cut(body)))
            if body is not None
            else b'{"component":"","table":%b,"ts":%d,"deleted":true,"value":%b}'
            % (names[number], ts, to_json_bytes({"_id": document_id}))
            for ts, number, document_id, body in page.revisions
        ]
        truncates = [{"component": "", "table": name} for name in page.truncated]
        more: Json = {"hasMore": True, "nextCursor": self._write(page.position)}
        return b'{"status":%s,"truncates":%s,"values":[%s],"syncId":%s,"pagination":%s}' % (
            to_json_bytes(page.status),
            to_json_bytes(truncates),
            b",".join(values),
            to_json_bytes(page.position.sync_id),
            to_json_bytes(more),
        )

    def _write(self, position: Position) -> str:
        return self._cursors.write(_FINGERPRINT, msgspec.json.encode(position))

    def _read(self, text: str) -> Position:
        try:
            return _position(self._cursors.read(text, _FINGERPRINT) or b"")
        except (FunctionError, msgspec.DecodeError):
            raise ServerError(400, INVALID, "Could not parse the data sync cursor") from None
