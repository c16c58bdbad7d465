"""Snapshot imports over HTTP.

Source: get-convex/convex-backend, ``crates/local_backend/src/snapshot_import.rs``.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sync_tool.encoding.ids import decode_id
from sync_tool.sandbox.faults import bad_request
from sync_tool.sandbox.http.requests import Handler, json_response, read_body, token_of
from sync_tool.sandbox.imports import records
from sync_tool.sandbox.imports.records import Record
from sync_tool.sandbox.instance import Instance
from sync_tool.sandbox.keys import IMPORT_BACKUPS, must_be_allowed
from sync_tool.sandbox.paths import is_identifier

_MODES: Final = {"requireEmpty": "RequireEmpty", "replace": "Replace"}
_UNSUPPORTED: Final = "NotInSandbox"


class _ImportArguments(msgspec.Struct, rename="camel"):
    format: Literal["csv", "jsonLines", "jsonArray", "zip"]
    table_name: str | None = None
    component_path: str | None = None
    mode: Literal["requireEmpty", "append", "replace", "replaceAll"] = "requireEmpty"


class _FinishBody(msgspec.Struct, rename="camel"):
    import_: _ImportArguments = msgspec.field(name="import")
    upload_token: str = ""
    part_tokens: list[str] = []


class _ImportBody(msgspec.Struct, rename="camel"):
    import_id: str


class ImportApi:
    """Handlers of uploads and imports of one instance."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers of POST requests by path."""
        return {
            "/api/import/start_upload": self.start_upload,
            "/api/import/upload_part": self.upload_part,
            "/api/import/finish_upload": self.finish_upload,
            "/api/perform_import": self.perform,
            "/api/cancel_import": self.cancel,
        }

    async def start_upload(self, request: Request) -> Response:
        """POST /api/import/start_upload."""
        self._require_admin(request)
        engine = self._instance.engine
        token = await self._instance.write(lambda: engine.write(records.start_upload)[0])
        return json_response({"uploadToken": token})

    async def upload_part(self, request: Request) -> Response:
        """POST /api/import/upload_part: bytes; the number of the part is required but ignored."""
        self._require_admin(request)
        token, number = request.query_params.get("uploadToken", ""), request.query_params.get("partNumber", "")
        if not number.isdecimal() or int(number) > 0xFFFF:
            raise bad_request("InvalidQuery", "Failed to deserialize query string: partNumber is not a number")
        data = await request.body()
        engine = self._instance.engine
        await self._instance.write(lambda: engine.write(lambda db: records.add_part(db, token, data)))
        return json_response("")

    async def finish_upload(self, request: Request) -> Response:
        """POST /api/import/finish_upload: make an import of an upload."""
        self._require_admin(request)
        body = await read_body(request, _FinishBody)
        arguments = body.import_
        form, mode = _form(arguments), _MODES.get(arguments.mode)
        if mode is None or arguments.component_path:
            what = "components" if mode else f"mode {arguments.mode}"
            raise bad_request(_UNSUPPORTED, f"The sandbox has no {what} for imports.")
        importer = self._instance.importer
        import_id = await self._instance.write(lambda: importer.finish_upload(body.upload_token, form, mode))
        return json_response({"importId": import_id})

    async def perform(self, request: Request) -> Response:
        """POST /api/perform_import: an empty 200, also if the import was not waiting."""
        import_id = await self._import_of(request)
        await self._instance.write(lambda: self._instance.importer.perform(import_id))
        return Response()

    async def cancel(self, request: Request) -> Response:
        """POST /api/cancel_import."""
        import_id = await self._import_of(request)
        await self._instance.write(lambda: self._instance.importer.cancel(import_id))
        return Response()

    async def _import_of(self, request: Request) -> str:
        self._require_admin(request)
        import_id = (await read_body(request, _ImportBody)).import_id
        try:
            decode_id(import_id)
        except ValueError:
            raise bad_request("InvalidImport", f"invalid import id {import_id}") from None
        return import_id

    def _require_admin(self, request: Request) -> None:
        must_be_allowed(token_of(request), self._instance.key, self._instance.options, IMPORT_BACKUPS)


def _form(arguments: _ImportArguments) -> Record:
    """Return format and table as in an import's document."""
    if arguments.format == "zip":
        if arguments.table_name is not None:
            raise bad_request("InvalidName", "ZIP import cannot have table name")
        return {"format": "zip"}
    if arguments.format != "jsonLines":
        raise bad_request(_UNSUPPORTED, f"The sandbox has no format {arguments.format} for imports.")
    if arguments.table_name is None:
        raise bad_request("InvalidName", "JSONL import requires table name")
    if arguments.table_name.startswith("_") or not is_identifier(arguments.table_name):
        raise bad_request("ImportInvalidName", f"invalid table name {arguments.table_name}")
    return {"format": "jsonl", "table": arguments.table_name}
