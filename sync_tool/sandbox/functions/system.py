"""System queries that the ``convex`` command line and the dashboard send: ``_system/cli``, ``_system/frontend``.

Source: get-convex/convex-backend, ``npm-packages/system-udfs/convex/_system``.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

import msgspec

from sync_tool.encoding.validators import NULL, STRING, Validator, array, literal, obj, optional, union
from sync_tool.encoding.values import Value, decode
from sync_tool.sandbox import limits
from sync_tool.sandbox.database.cursors import fingerprint_of
from sync_tool.sandbox.database.transaction import Interval
from sync_tool.sandbox.faults import FunctionError, developer_error
from sync_tool.sandbox.functions.filters import FilterError, clause_errors, index_fields, index_span, keeps, single_id
from sync_tool.sandbox.functions.paginate import PAGINATION_OPTS, Paged, paginate
from sync_tool.sandbox.functions.registry import Context, Function, Handler, internal_query

Args = dict[str, Any]

_COMPONENT: Final = {"componentId": optional(union(STRING, NULL))}


def _query(args: dict[str, Validator], handler: Handler) -> Function:
    """Return a query that takes the id of a component; the sandbox has only the root component."""

    def in_root(ctx: Context, args: Args) -> Value:
        component = args.pop("componentId", None)
        if component is not None:
            raise developer_error(f"Component {component} not found")
        return handler(ctx, args)

    return internal_query({**args, **_COMPONENT}, in_root)


def _system_page(ctx: Context, paged: Paged, opts: Args) -> Value:
    caps = {
        "maximumRowsRead": float(limits.SYSTEM_PAGE_ROWS),
        "maximumBytesRead": float(limits.SYSTEM_PAGE_BYTES),
    }
    return paginate(ctx, paged, {**opts, **caps})


def _by_creation_time(ctx: Context, table: str, *, descending: bool) -> Paged:
    number, _ = ctx.db.index(table, "by_creation_time")
    fingerprint = fingerprint_of(table, "by_creation_time", descending)
    return Paged(Interval(number, b"", b"\xff"), descending, fingerprint)


def _table_data(ctx: Context, args: Args) -> Value:
    paged = _by_creation_time(ctx, args["table"], descending=args["order"] == "desc")
    return _system_page(ctx, paged, args["paginationOpts"])


def _tables(ctx: Context, _args: Args) -> Value:
    ctx.db.note_catalog()
    tables = sorted(ctx.db.tables.values(), key=lambda table: table.number)
    return {"page": [{"name": table.name} for table in tables], "isDone": True, "continueCursor": "end"}


def _table_size(ctx: Context, args: Args) -> Value:
    return float(ctx.db.row_count(args["tableName"]))


def _api_spec(ctx: Context, _args: Args) -> Value:
    return [decode(function.spec(path)) for path, function in sorted(ctx.facts.functions.items())]


def _documents(ctx: Context, args: Args) -> Value:
    """Return a page of an index range, filtered after reading; a fault in the filter is an element without ``_id``."""
    filters = _parse(args["filters"])
    clauses = filters.get("clauses", [])
    try:
        clause_errors(clauses)
        wanted = single_id(filters)
        if wanted is not None:
            return _one(ctx, args["table"], wanted)
        paged = _paged(ctx, args["table"], filters)
    except FilterError as error:
        return _ended([{"error": error.message, "filter": float(error.clause)}])
    return _system_page(ctx, paged, args["paginationOpts"])


def _paged(ctx: Context, table: str, filters: Args) -> Paged:
    descending = filters.get("order", "desc") == "desc"
    paged = _by_creation_time(ctx, table, descending=descending)
    span, index = paged.span, filters.get("index")
    if index is not None:
        fields = index_fields(ctx.facts.schema, table, index)
        span = index_span(ctx.db, table, index, fields)
    clauses = [clause for clause in filters.get("clauses", []) if clause.get("enabled") is not False]
    keep = (lambda row: keeps(clauses, row.document)) if clauses else None
    return Paged(span, descending, fingerprint_of(table, span, descending, clauses), keep)


def _one(ctx: Context, table: str, document_id: Value) -> Value:
    found = ctx.db.find(document_id) if isinstance(document_id, str) else None
    return _ended([found[1]] if found is not None and found[0].name == table else [])


def _ended(page: list[Value]) -> Value:
    return {"page": page, "isDone": True, "continueCursor": ""}


def _parse(text: str | None) -> Args:
    if not text:
        return {}
    try:
        filters = msgspec.json.decode(base64.b64decode(text))
    except (binascii.Error, msgspec.DecodeError) as error:
        raise FunctionError(f"Uncaught SyntaxError: {error}", thrown=True) from None
    if not isinstance(filters, dict) or not isinstance(filters.get("clauses"), list):
        raise FunctionError("Uncaught ZodError: filters do not match the filter expression schema", thrown=True)
    return filters


def _schemas(ctx: Context, _args: Args) -> Value:
    return {"active": ctx.facts.schema.text()}


def _indexes(ctx: Context, args: Args) -> Value:
    name = args.get("tableName")
    if not name or ctx.db.table(name) is None:
        return None
    declared = ctx.facts.schema.declared.get(name, {})
    return [
        {"name": index, "staged": False, "fields": [*fields, "_creationTime"], "backfill": {"state": "done"}}
        for index, fields in declared.items()
    ]


def _table_mapping(ctx: Context, _args: Args) -> Value:
    ctx.db.note_catalog()
    return {str(table.number): table.name for table in ctx.db.tables.values()}


def _list_by_id(ctx: Context, args: Args) -> Value:
    found = [(item["tableName"], ctx.db.find(item["id"])) for item in args["ids"]]
    return [hit[1] if hit is not None and hit[0].name == name else None for name, hit in found]


def _deployment_state(_ctx: Context, _args: Args) -> Value:
    return {"state": "running"}


FUNCTIONS: Final[dict[str, Function]] = {
    "_system/cli/tableData.js:default": _query(
        {
            "table": STRING,
            "order": union(literal("asc"), literal("desc")),
            "paginationOpts": PAGINATION_OPTS,
        },
        _table_data,
    ),
    "_system/cli/tables.js:default": _query({"paginationOpts": PAGINATION_OPTS}, _tables),
    "_system/cli/tableSize.js:default": _query({"tableName": STRING}, _table_size),
    "_system/cli/modules.js:apiSpec": _query({}, _api_spec),
    "_system/frontend/paginatedTableDocuments.js:default": _query(
        {"table": STRING, "filters": union(STRING, NULL), "paginationOpts": PAGINATION_OPTS},
        _documents,
    ),
    "_system/frontend/getSchemas.js:default": _query({}, _schemas),
    "_system/frontend/indexes.js:default": _query(
        {"tableName": optional(union(STRING, NULL)), "tableNamespace": union(STRING, NULL)}, _indexes
    ),
    "_system/frontend/getTableMapping.js:default": _query({}, _table_mapping),
    "_system/frontend/listById.js:default": _query(
        {"ids": array(obj({"id": STRING, "tableName": STRING}))}, _list_by_id
    ),
    "_system/frontend/deploymentState.js:deploymentState": internal_query({}, _deployment_state),
}
