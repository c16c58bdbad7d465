"""Public functions that the documentation of Convex's clients calls (``--examples``).

``messages:list`` and ``messages:send`` (the Python client's README, the docs for Node.js and Bun), ``tasks:get``
(the quickstarts), ``listMessages`` (pagination), and a few for other features of clients. Their rows are in tables of
their own.
"""

from __future__ import annotations

from typing import Any, Final

from sync_tool.encoding.validators import ANY, BOOLEAN, NUMBER, STRING, Validator, array, obj, optional
from sync_tool.encoding.values import Value, encode
from sync_tool.sandbox.database.cursors import fingerprint_of
from sync_tool.sandbox.database.transaction import Interval
from sync_tool.sandbox.faults import convex_error
from sync_tool.sandbox.functions.paginate import PAGINATION_OPTS, Paged, paginate
from sync_tool.sandbox.functions.registry import Context, Function, Handler, Kind
from sync_tool.sandbox.paths import parse_path

Args = dict[str, Any]

MESSAGES: Final = "exampleMessages"
TASKS: Final = "tasks"
LONGEST_WAIT: Final = 60.0


def _list(ctx: Context, _args: Args) -> Value:
    return _all(ctx, MESSAGES)


def _send(ctx: Context, args: Args) -> Value:
    if not args.get("body"):
        raise convex_error({"code": 1.0, "message": "A message needs a body."})
    ctx.log.append(f"[LOG] '{args.get('author', '')} sends a message'")
    return ctx.db.insert(MESSAGES, args)


def _clear(ctx: Context, _args: Args) -> Value:
    for row in _all(ctx, MESSAGES):
        ctx.db.delete(row.document["_id"])


def _count(ctx: Context, _args: Args) -> Value:
    return float(ctx.db.row_count(MESSAGES))


def _list_messages(ctx: Context, args: Args) -> Value:
    number, _ = ctx.db.index(MESSAGES, "by_creation_time")
    paged = Paged(Interval(number, b"", b"\xff"), True, fingerprint_of(MESSAGES, "desc"))
    return paginate(ctx, paged, args["paginationOpts"])


def _send_all(ctx: Context, args: Args) -> Value:
    """Send several messages, each in its own transaction, and return the number of messages."""
    for body in args["bodies"]:
        ctx.db.run_mutation(parse_path("messages:send"), encode({"author": args["author"], "body": body}))
    return ctx.db.run_query(parse_path("messages:count"), {})


def _wait(ctx: Context, args: Args) -> Value:
    ctx.facts.closing.wait(min(args["seconds"], LONGEST_WAIT))
    return args["seconds"]


def _echo(_ctx: Context, args: Args) -> Value:
    return args.get("value")


def _get_tasks(ctx: Context, _args: Args) -> Value:
    return _all(ctx, TASKS)


def _add_task(ctx: Context, args: Args) -> Value:
    return ctx.db.insert(TASKS, {"isCompleted": False, **args})


def _all(ctx: Context, table: str) -> Value:
    number, _ = ctx.db.index(table, "by_creation_time")
    return ctx.db.read(Interval(number, b"", b"\xff"))[0]


def _public(kind: Kind, args: dict[str, Validator], handler: Handler) -> Function:
    return Function(kind, "public", obj(args), handler)


_MESSAGE: Final = {"author": optional(STRING), "body": optional(STRING)}

FUNCTIONS: Final[dict[str, Function]] = {
    "messages.js:list": _public("Query", {}, _list),
    "messages.js:count": _public("Query", {}, _count),
    "messages.js:send": _public("Mutation", _MESSAGE, _send),
    "messages.js:sendMessage": _public("Mutation", _MESSAGE, _send),
    "messages.js:clear": _public("Mutation", {}, _clear),
    "messages.js:sendAll": _public("Action", {"author": STRING, "bodies": array(STRING)}, _send_all),
    "listMessages.js:default": _public("Query", {"paginationOpts": PAGINATION_OPTS}, _list_messages),
    "tasks.js:get": _public("Query", {}, _get_tasks),
    "tasks.js:add": _public("Mutation", {"text": STRING, "isCompleted": optional(BOOLEAN)}, _add_task),
    "values.js:echo": _public("Query", {"value": optional(ANY)}, _echo),
    "actions.js:echo": _public("Action", {"value": optional(ANY)}, _echo),
    "actions.js:wait": _public("Action", {"seconds": NUMBER}, _wait),
}
