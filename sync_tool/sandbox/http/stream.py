"""Streaming export over HTTP.

Source: get-convex/convex-backend, ``crates/local_backend/src/streaming_export.rs``,
``crates/common/src/types/streaming_export/mod.rs``, ``crates/model/src/backend_info/mod.rs``.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sync_tool.encoding import canonical
from sync_tool.encoding.canonical import canonical_to_export
from sync_tool.encoding.values import Json
from sync_tool.sandbox.database.cursors import Cursors, fingerprint_of
from sync_tool.sandbox.database.datasync import INVALID, DataSync, Position, SyncPage
from sync_tool.sandbox.database.store import Table, load_tables
from sync_tool.sandbox.faults import FunctionError, ServerError, bad_request
from sync_tool.sandbox.functions.results import to_json_bytes
from sync_tool.sandbox.http.requests import Handler, client_of, json_bytes, json_response, read_body, token_of
from sync_tool.sandbox.instance import Instance
from sync_tool.sandbox.keys import VIEW_DATA, Token, is_admin, must_be_allowed
from sync_tool.sandbox.paths import is_identifier

# Selection of tables and columns. Source: get-convex/convex-backend,
# ``crates/common/src/types/streaming_export/selection.rs`` (the form) and
# ``crates/database/src/streaming_export_selection.rs`` (the meaning).

_OTHER = "_other"
_CHOICES = {"included": True, "incl": True, "excluded": False, "excl": False}


@dataclass(frozen=True)
class Columns:
    """Selected columns of one table."""

    named: dict[str, bool] = field(default_factory=dict)
    others: bool = True

    def cut(self, body: bytes) -> bytes:
        """Return the canonical bytes of a document with only the selected columns."""
        if self.others and not self.named:
            return body
        document = canonical.loads(body)
        return canonical.dumps({name: value for name, value in document.items() if self.named.get(name, self.others)})


@dataclass(frozen=True)
class Selection:
    """Selected tables of the root component, the only one of the sandbox."""

    named: dict[str, Columns | None] = field(default_factory=dict)  # None for an excluded table
    others: bool = True

    def columns(self, table: str) -> Columns | None:
        """Return the selected columns of a table, or None if it is not selected."""
        if table in self.named:
            return self.named[table]
        return Columns() if self.others else None


EVERYTHING = Selection()
NOTHING = Selection(others=False)


def read_selection(json: Json) -> Selection:
    """Parse the JSON form of a selection, or raise ServerError 400."""
    if json is None:
        return EVERYTHING
    components, others = _level(json)
    if "" not in components:
        return EVERYTHING if others else NOTHING
    root = components[""]
    if _is_excluded(root):
        return NOTHING
    tables, other_tables = _level(root)
    for name in tables:
        if not is_identifier(name):
            raise invalid(f"invalid table name {name}")
    return Selection({name: _columns(choice) for name, choice in tables.items()}, other_tables)


def chosen(tables: Iterable[Table], selection: Selection) -> dict[str, Table]:
    """Return the selected tables by tablet."""
    return {table.tablet: table for table in tables if selection.columns(table.name) is not None}


def invalid(text: str) -> ServerError:
    """Return the error for an inconsistent selection."""
    return bad_request("InvalidDataSyncSelection", f"Invalid selection: {text}")


def _columns(json: Json) -> Columns | None:
    if _is_excluded(json):
        return None
    columns, others = _level(json)
    if not all(isinstance(choice, str) and choice in _CHOICES for choice in columns.values()):
        raise _malformed()
    named = {name: _CHOICES[choice] for name, choice in columns.items()}
    if not named.get("_id", others):
        raise invalid("`_id` must be included in the column selection")
    return Columns(named, others)


def _level(json: Json) -> tuple[dict[str, Json], bool]:
    """Split a level into its named choices and the choice for all others."""
    if not isinstance(json, dict) or json.get(_OTHER) not in tuple(_CHOICES):
        raise _malformed()
    return {name: choice for name, choice in json.items() if name != _OTHER}, _CHOICES[json[_OTHER]]


def _is_excluded(json: Json) -> bool:
    return isinstance(json, str) and _CHOICES.get(json) is False


def _malformed() -> ServerError:
    return bad_request(
        "BadJsonBody", "Failed to deserialize the JSON body into the target type: selection: no variant matched"
    )


_FINGERPRINT: Final = fingerprint_of("data sync")
_NAMED_CLIENTS: Final = {"fivetran-export": "fivetran-", "fivetran-import": "fivetran-", "airbyte-export": "airbyte-"}
_NO_TABLE: Final = Columns()

T = TypeVar("T")

_position = msgspec.json.Decoder(Position).decode


class _SyncBody(msgspec.Struct):
    cursor: str | None = None
    selection: Any = None


class _DeltasBody(msgspec.Struct):
    cursor: int
    selection: Any = None


async def _unknown(_request: Request) -> Response:
    return Response(status_code=404)


class StreamApi:
    """Handlers of streaming export of one instance."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._cursors: Cursors = instance.caller.facts.cursors

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers of POST requests by path; a backend before July 2026 does not know them."""
        new = self._instance.options.data_sync
        return {
            "/api/v1/data/sync": self.data_sync if new else _unknown,
            "/api/data_sync_cursor_from_deltas": self.cursor_from_deltas if new else _unknown,
        }

    async def test_connection(self, request: Request) -> Response:
        """GET /api/test_streaming_export_connection: null if plan and key allow streaming export."""
        self.must_be_allowed(request)
        return json_response(None)

    def must_be_allowed(self, request: Request) -> None:
        """Raise ServerError 401 or 403 if plan or key do not allow streaming export."""
        token = token_of(request)
        is_admin(token, self._instance.key)
        self._must_be_allowed(token)

    async def data_sync(self, request: Request) -> Response:
        """POST /api/v1/data/sync: one page."""
        client, body = await self._admit(request, _SyncBody)
        position = None if body.cursor is None else self._read(body.cursor)
        selection = read_selection(body.selection)

        def page(sync: DataSync) -> bytes:
            return self._encode_page(sync.page(position, client), selection)

        return json_bytes(await self._instance.read(lambda: self._on_newest(selection, page)))

    async def cursor_from_deltas(self, request: Request) -> Response:
        """POST /api/data_sync_cursor_from_deltas: a cursor after all changes up to a timestamp."""
        client, body = await self._admit(request, _DeltasBody)
        if not 0 <= body.cursor < 2**63:
            raise bad_request(INVALID, "The document_deltas cursor is not a valid timestamp")
        selection = read_selection(body.selection)

        def since(sync: DataSync) -> Position:
            return sync.since(body.cursor, f"{client}{uuid.uuid4()}")

        position = await self._instance.read(lambda: self._on_newest(selection, since))
        return json_response({"cursor": self._write(position)})

    async def _admit(self, request: Request, shape: type[T]) -> tuple[str, T]:
        """Return the prefix of the client's sync ids, and the body; check the key before it and its rights after it."""
        token, client = token_of(request), _NAMED_CLIENTS.get(client_of(request).name, "")
        is_admin(token, self._instance.key)
        body = await read_body(request, shape)
        self._must_be_allowed(token)
        return client, body

    def _must_be_allowed(self, token: Token) -> None:
        """Check the plan first, then the rights of the key."""
        options = self._instance.options
        if not options.streaming:
            text = "Streaming export is not available on your current subscription."
            link = "See https://www.convex.dev/plans to upgrade."
            raise ServerError(403, "StreamingExportNotEnabled", f"{text} {link}")
        must_be_allowed(token, self._instance.key, options, VIEW_DATA)

    def _on_newest(self, selection: Selection, run: Callable[[DataSync], Any]) -> Any:
        """Run a function with a data sync on the newest state."""
        engine, options = self._instance.engine, self._instance.options
        engine.beat()

        def on(connection: sqlite3.Connection) -> Any:
            latest = engine.ts_of(connection)
            targets = chosen(load_tables(connection, engine.declared).values(), selection)
            oldest = latest - int(options.retention * 1e9)
            return run(DataSync(connection, latest, oldest, targets, options.stream_page))

        return engine.view(on)[0]

    def _encode_page(self, page: SyncPage, selection: Selection) -> bytes:
        tables = page.targets.values()
        names = {table.slot: to_json_bytes(table.name) for table in tables}
        columns = {table.slot: selection.columns(table.name) or _NO_TABLE for table in tables}
        values = [
            b'{"component":"","table":%b,"ts":%d,"deleted":false,"value":%b}'
            % (names[slot], ts, canonical_to_export(columns[slot].cut(body)))
            if body is not None
            else b'{"component":"","table":%b,"ts":%d,"deleted":true,"value":%b}'
            % (names[slot], ts, to_json_bytes({"_id": document_id}))
            for ts, slot, document_id, body in page.revisions
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
