"""``_system/cli/queryImport``: how far a snapshot import is; the official command line subscribes to it.

Source: get-convex/convex-backend, ``npm-packages/system-udfs/convex/_system/cli/queryImport.ts``.
"""

from __future__ import annotations

from typing import Any, Final

from sync_tool.encoding.validators import document_id
from sync_tool.encoding.values import Value
from sync_tool.sandbox.functions.registry import Context, Function, internal_query
from sync_tool.sandbox.imports.records import find, newest

FUNCTIONS: Final[dict[str, Function]] = {
    "_system/cli/queryImport.js:default": internal_query(
        {"importId": document_id("_snapshot_imports")},
        lambda ctx, args: _one(ctx, args["importId"]),
    ),
    "_system/cli/queryImport.js:list": internal_query({}, lambda ctx, _args: _newest(ctx)),
}


def _one(ctx: Context, import_id: str) -> Value:
    return find(ctx.db, import_id)


def _newest(ctx: Context) -> list[dict[str, Any]]:
    return newest(ctx.db)
