"""``langchain/db``: the five accessors that LangChain's ConvexChatMessageHistory calls."""

from __future__ import annotations

from typing import Any, Final

from sync_tool.encoding.validators import ANY, STRING
from sync_tool.encoding.values import Value
from sync_tool.sandbox.database.documents import Row
from sync_tool.sandbox.faults import FunctionError
from sync_tool.sandbox.functions.registry import Context, Function, internal_mutation, internal_query

Args = dict[str, Any]

_KEYED: Final = {"table": STRING, "index": STRING, "keyField": STRING, "key": STRING}


def _rows(ctx: Context, args: Args) -> list[Row]:
    span = ctx.db.equal(args["table"], args["index"], args["keyField"], (args["key"],))
    rows: list[Row] = ctx.db.read(span)[0]
    return rows


def _get(ctx: Context, args: Args) -> Value:
    found = ctx.db.find(args["id"])
    return None if found is None else found[1]


def _insert(ctx: Context, args: Args) -> Value:
    ctx.db.insert(args["table"], args["document"])


def _upsert(ctx: Context, args: Args) -> Value:
    rows = _rows(ctx, args)
    if len(rows) > 1:
        raise FunctionError("Uncaught Error: unique() query returned more than one result.", thrown=True)
    if rows:
        ctx.db.replace(rows[0].document["_id"], args["document"])
    else:
        ctx.db.insert(args["table"], args["document"])


def _delete_many(ctx: Context, args: Args) -> Value:
    for row in _rows(ctx, args):
        ctx.db.delete(row.document["_id"])


FUNCTIONS: Final[dict[str, Function]] = {
    "langchain/db.js:get": internal_query({"id": STRING}, _get),
    "langchain/db.js:insert": internal_mutation({"table": STRING, "document": ANY}, _insert),
    "langchain/db.js:lookup": internal_query(_KEYED, _rows),
    "langchain/db.js:upsert": internal_mutation({**_KEYED, "document": ANY}, _upsert),
    "langchain/db.js:deleteMany": internal_mutation(_KEYED, _delete_many),
}
