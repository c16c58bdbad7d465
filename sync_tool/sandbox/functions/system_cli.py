"""``_system/cli``: what the ``convex`` command line asks a deployment.

Source: get-convex/convex-backend, ``npm-packages/system-udfs/convex/_system/cli``.
"""

from __future__ import annotations

from typing import Any, Final

from sync_tool.encoding.validators import NULL, STRING, literal, optional, union
from sync_tool.encoding.values import Value, decode
from sync_tool.sandbox import limits
from sync_tool.sandbox.database.cursors import fingerprint_of
from sync_tool.sandbox.database.transaction import Interval
from sync_tool.sandbox.functions.paginate import PAGINATION_OPTS, Paged, paginate
from sync_tool.sandbox.functions.registry import Context, Function, internal_query

Args = dict[str, Any]

COMPONENT: Final = {"componentId": optional(union(STRING, NULL))}


def system_page(ctx: Context, paged: Paged, opts: Args) -> Value:
    """Return one page within the limits of system queries."""
    caps = {
        "maximumRowsRead": float(limits.SYSTEM_PAGE_ROWS),
        "maximumBytesRead": float(limits.SYSTEM_PAGE_BYTES),
    }
    return paginate(ctx, paged, {**opts, **caps})


def by_creation_time(ctx: Context, table: str, *, descending: bool) -> Paged:
    """Return the query "whole table by creation time"."""
    number, _ = ctx.db.index(table, "by_creation_time")
    fingerprint = fingerprint_of(table, "by_creation_time", descending)
    return Paged(Interval(number, b"", b"\xff"), descending, fingerprint)


def _table_data(ctx: Context, args: Args) -> Value:
    paged = by_creation_time(ctx, args["table"], descending=args["order"] == "desc")
    return system_page(ctx, paged, args["paginationOpts"])


def _tables(ctx: Context, _args: Args) -> Value:
    ctx.db.note_catalog()
    tables = sorted(ctx.db.tables.values(), key=lambda table: table.number)
    return {"page": [{"name": table.name} for table in tables], "isDone": True, "continueCursor": "end"}


def _table_size(ctx: Context, args: Args) -> Value:
    return float(ctx.db.row_count(args["tableName"]))


def _api_spec(ctx: Context, _args: Args) -> Value:
    return [decode(function.spec(path)) for path, function in sorted(ctx.facts.functions.items())]


FUNCTIONS: Final[dict[str, Function]] = {
    "_system/cli/tableData.js:default": internal_query(
        {
            "table": STRING,
            "order": union(literal("asc"), literal("desc")),
            "paginationOpts": PAGINATION_OPTS,
        },
        _table_data,
    ),
    "_system/cli/tables.js:default": internal_query({"paginationOpts": PAGINATION_OPTS}, _tables),
    "_system/cli/tableSize.js:default": internal_query({"tableName": STRING}, _table_size),
    "_system/cli/modules.js:apiSpec": internal_query(COMPONENT, _api_spec),
}
