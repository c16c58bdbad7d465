"""A sandbox with the older streaming export, which Airbyte's connector reads; benchmarks start it as a program.

``list_snapshot`` pages through one moment, ``document_deltas`` through the change log after one. A backend also
finds the rows of a table that an import replaced later; this sandbox does not.
Source: get-convex/convex-backend, ``crates/local_backend/src/streaming_export.rs``,
``crates/common/src/types/streaming_export/mod.rs``, ``crates/database/src/database.rs``.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sync_tool.encoding import canonical
from sync_tool.encoding.ids import DocumentId, encode_id
from sync_tool.encoding.values import Json
from sync_tool.sandbox.database.datasync import Revision, log_after, table_at
from sync_tool.sandbox.database.store import Table, load_tables
from sync_tool.sandbox.faults import bad_request
from sync_tool.sandbox.functions.results import CLEAN, check_format, encode_result, to_json_bytes
from sync_tool.sandbox.http.app import http_app
from sync_tool.sandbox.http.requests import guard, json_bytes, json_response, read_body
from sync_tool.sandbox.http.stream import Columns, Selection, StreamApi, chosen, read_selection
from sync_tool.sandbox.instance import Instance
from sync_tool.sandbox.options import SandboxOptions
from sync_tool.sandbox.serve import serve

_SNAPSHOT_ROWS: Final = 1024
_DELTA_ROWS: Final = 128
_OLDEST_SNAPSHOT_NS: Final = 5 * 86_400 * 10**9


class Walk(NamedTuple):
    """Position of a walk: after a document of a table."""

    tablet: str
    id: str


class SnapshotPage(NamedTuple):
    """A page of the walk; None as the cursor ends it."""

    revisions: list[Revision]
    snapshot: int
    cursor: Walk | None


class DeltasPage(NamedTuple):
    """A page of the change log."""

    revisions: list[Revision]
    cursor: int
    has_more: bool


def list_snapshot(
    connection: sqlite3.Connection, latest: int, snapshot: int | None, cursor: Walk | None, targets: dict[str, Table]
) -> SnapshotPage:
    """Return a page of the documents that the tables held at one moment, table by table, by id.

    Args:
        connection: has the newest state open.
        latest: its timestamp.
        snapshot: the moment; None for the newest.
        cursor: of the page before.
        targets: the tables asked for, by tablet.

    Raises:
        ServerError: 400, the moment lies ahead, or too far back.
    """
    snapshot = latest if snapshot is None else snapshot
    if snapshot > latest:
        raise bad_request("SnapshotTooNew", f"Snapshot value {snapshot} is in the future.")
    if latest - snapshot > _OLDEST_SNAPSHOT_NS:
        raise bad_request("SnapshotTooOld", f"Snapshot value {snapshot} is too far in the past.")
    left = sorted(tablet for tablet in targets if cursor is None or tablet >= cursor.tablet)
    if not left:
        return SnapshotPage([], snapshot, None)
    table = targets[left[0]]
    after_id = cursor.id if cursor is not None and cursor.tablet == table.tablet else ""
    revisions: list[Revision] = []
    for revision in table_at(connection, table, snapshot, after_id):
        revisions.append(revision)
        if len(revisions) >= _SNAPSHOT_ROWS:
            return SnapshotPage(revisions, snapshot, Walk(table.tablet, revision.id))
    following = Walk(left[1], encode_id(DocumentId(targets[left[1]].number, bytes(16)))) if left[1:] else None
    return SnapshotPage(revisions, snapshot, following)


def document_deltas(
    connection: sqlite3.Connection, latest: int, oldest: int, cursor: int, targets: dict[str, Table]
) -> DeltasPage:
    """Return a page of what was committed after a moment, whole commits.

    Args:
        connection: has the newest state open.
        latest: its timestamp.
        oldest: the earliest moment whose changes are still kept.
        cursor: the moment.
        targets: the tables asked for, by tablet.

    Raises:
        ServerError: 400, what follows the moment is no longer kept.
    """
    if cursor < oldest:
        raise bad_request(
            "InvalidWindowToReadDocuments",
            f"Trying to synchronize from timestamp {cursor + 1}, which is older than the database's retention window."
            " Please perform a full sync of the connector.",
        )
    chosen = {table.slot for table in targets.values()}
    revisions: list[Revision] = []
    end: int | None = None
    for read, revision in enumerate(log_after(connection, cursor, None), 1):
        if end is not None and end < revision.ts:
            return DeltasPage(revisions, end, True)
        if revision.slot in chosen:
            revisions.append(revision)
        if end is None and read >= _DELTA_ROWS:
            end = revision.ts
    return DeltasPage(revisions, latest if end is None else end, False)


_METADATA: Final = {"_table": "string", "_component": "string", "_ts": "integer", "_deleted": "boolean"}


class _Arguments(msgspec.Struct):
    cursor: Any = None
    snapshot: int | None = None
    selection: Any = None
    component: str | None = None
    table_name: str | None = None
    tableName: str | None = None  # noqa: N815  # both spellings are taken
    format: str = CLEAN

    @property
    def selected(self) -> Selection:
        """Return the requested value, in any of its forms."""
        table = self.table_name or self.tableName
        if self.selection is not None or table is None:
            return read_selection(self.selection)
        return Selection({table: Columns()}, others=False)


class LegacyApi:
    """The handlers of the older streaming export of one instance.

    Args:
        instance: the deployment.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._stream = StreamApi(instance)

    def routes(self) -> list[Route]:
        """Return the routes of the three endpoints."""
        latency = self._instance.options.latency
        return [
            Route("/api/list_snapshot", guard(self.list_snapshot, latency), methods=["GET", "POST"]),
            Route("/api/document_deltas", guard(self.document_deltas, latency), methods=["GET", "POST"]),
            Route("/api/json_schemas", guard(self.json_schemas, latency), methods=["GET"]),
        ]

    async def list_snapshot(self, request: Request) -> Response:
        """GET or POST /api/list_snapshot: one page of one moment."""
        asked = await self._arguments(request)
        cursor = _read_walk(asked.cursor)

        def page(connection: sqlite3.Connection, latest: int, tables: dict[str, Table]) -> SnapshotPage:
            return list_snapshot(connection, latest, asked.snapshot, cursor, tables)

        found, names = await self._on_newest(asked.selected, page)
        cursor_text = None if found.cursor is None else to_json_bytes(found.cursor._asdict()).decode()
        rest = {"snapshot": found.snapshot, "cursor": cursor_text, "hasMore": found.cursor is not None}
        return _answer(found.revisions, names, asked, rest, deltas=False)

    async def document_deltas(self, request: Request) -> Response:
        """GET or POST /api/document_deltas: one page of the change log."""
        asked = await self._arguments(request)
        if asked.cursor is None:
            raise bad_request("DocumentDeltasCursorRequired", "/api/document_deltas requires a cursor")
        try:
            since = int(asked.cursor)
        except ValueError:
            raise bad_request("InvalidQuery", "Failed to deserialize query string: cursor: invalid digit") from None
        retention = int(self._instance.options.retention * 1e9)

        def page(connection: sqlite3.Connection, latest: int, tables: dict[str, Table]) -> DeltasPage:
            return document_deltas(connection, latest, latest - retention, since, tables)

        found, names = await self._on_newest(asked.selected, page)
        return _answer(found.revisions, names, asked, {"cursor": found.cursor, "hasMore": found.has_more}, deltas=True)

    async def json_schemas(self, request: Request) -> Response:
        """GET /api/json_schemas: the tables, each with the fields that all documents have."""
        self._stream.must_be_allowed(request)
        metadata = _METADATA if request.query_params.get("deltaSchema") == "true" else {}
        kinds = {"_id": "string", "_creationTime": "number", **metadata}
        schema: Json = {
            "type": "object",
            "properties": {name: {"type": kind} for name, kind in kinds.items()},
            "additionalProperties": False,
            "required": ["_creationTime", "_id"],
            "$schema": "http://json-schema.org/draft-07/schema#",
        }
        engine = self._instance.engine
        tables = await self._instance.read(lambda: engine.view(lambda c: sorted(load_tables(c, engine.declared)))[0])
        return json_response(dict.fromkeys(tables, schema))

    async def _arguments(self, request: Request) -> _Arguments:
        self._stream.must_be_allowed(request)
        if request.method == "POST":
            asked = await read_body(request, _Arguments)
        else:
            try:
                asked = msgspec.convert(dict(request.query_params), _Arguments, strict=False)
            except msgspec.ValidationError as error:
                raise bad_request("InvalidQuery", f"Failed to deserialize query string: {error}") from None
        check_format(asked.format)
        return asked

    async def _on_newest(self, selection: Selection, run: Callable[..., Any]) -> tuple[Any, dict[int, Named]]:
        """Run something on the newest state; return also the tables by number."""
        engine = self._instance.engine
        engine.beat()

        def on(connection: sqlite3.Connection) -> tuple[Any, dict[int, Named]]:
            tables = chosen(load_tables(connection, engine.declared).values(), selection)
            names = {table.slot: (table.name, selection.columns(table.name)) for table in tables.values()}
            return run(connection, engine.ts_of(connection), tables), names

        return await self._instance.read(lambda: engine.view(on)[0])


Named = tuple[str, Columns | None]
"""Name of a table, and the columns of it that are asked for."""


def _answer(
    revisions: list[Revision], names: dict[int, Named], asked: _Arguments, rest: Json, *, deltas: bool
) -> Response:
    values = []
    for ts, number, document_id, body in revisions:
        name, columns = names[number]
        fields = {"_component": "", "_table": name, "_ts": ts, **({"_deleted": body is None} if deltas else {})}
        cut = canonical.dumps({"_id": document_id}) if body is None or columns is None else columns.cut(body)
        values.append(to_json_bytes(fields)[:-1] + b"," + _encode(cut, asked.format)[1:])
    return json_bytes(b'{"values":[' + b",".join(values) + b"]," + to_json_bytes(rest)[1:])


def _encode(body: bytes, format_name: str) -> bytes:
    """Respell a document; where nothing in it is tagged, every format spells it alike."""
    return encode_result(canonical.loads(body), format_name) if b'"$' in body else body


def _read_walk(text: Json) -> Walk | None:
    if text is None:
        return None
    try:
        found: dict[str, str] = msgspec.json.decode(str(text), type=dict[str, str])
        return Walk(found["tablet"], found["id"])
    except (msgspec.DecodeError, KeyError):
        raise bad_request(
            "InvalidListSnapshotCursor",
            "Invalid value for the `cursor` argument of list_snapshot. Use a `cursor` returned by a previous"
            " list_snapshot call, and treat it as an opaque value.",
        ) from None


def app_with_legacy(instance: Instance) -> Starlette:
    """Return the sandbox's application with the older export mounted."""
    app = http_app(instance)
    app.router.routes[:0] = LegacyApi(instance).routes()
    return app


if __name__ == "__main__":
    data, env_file = map(Path, sys.argv[1:])
    serve(SandboxOptions(port=0, data=data, env_file=env_file, with_parent=True), app_with_legacy)
