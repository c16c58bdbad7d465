"""``convexMsgs``: what ``convex/convexMsgs.ts`` does, one for one (reading half)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from sync_tool.encoding.ids import DocumentId, encode_id
from sync_tool.encoding.order import MISSING, sort_key
from sync_tool.encoding.validators import ANY, BOOLEAN, NULL, NUMBER, STRING, literal, obj, optional, union
from sync_tool.encoding.values import Value
from sync_tool.sandbox.database.documents import Row
from sync_tool.sandbox.database.transaction import Bound, Interval, Transaction, field_of, interval
from sync_tool.sandbox.faults import refusal
from sync_tool.sandbox.functions.budget import Budget, budget_of, check_limit
from sync_tool.sandbox.functions.registry import Context, Function, internal_query
from sync_tool.sandbox.options import Naming

MAX_SESSIONS: Final = 1_000
MAX_PROBES: Final = 1_000
DEFAULT_BYTES: Final = 4 << 20
MAX_BYTES: Final = 8 << 20

Args = dict[str, Any]

NAMING: Final = dict.fromkeys(("table", "index", "sessionField"), optional(STRING))
_TIME: Final = {"creationTime": NUMBER, "id": STRING}
_SESSION_POSITION: Final = optional(union(obj({"sessionId": optional(ANY), **_TIME}), NULL))
_TIME_POSITION: Final = optional(union(obj(_TIME), NULL))
_WINDOW: Final = {"sessionId": optional(ANY), "after": _SESSION_POSITION, "until": _SESSION_POSITION}
_ORDER: Final = optional(union(literal("asc"), literal("desc")))


def naming_of(args: Args) -> Naming:
    """Return the names a call asks for; LangChain's own where it asks for none."""
    return Naming(
        args.get("table", "messages"),
        args.get("index", "bySessionId"),
        args.get("sessionField", "sessionId"),
    )


def session_span(db: Transaction, names: Naming, session: Value) -> Interval:
    """Return the index range of one session."""
    return db.equal(names.table, names.index, names.session_field, (session,))


def _info(_ctx: Context, _args: Args) -> Value:
    return {"name": "convex-msgs", "version": 1.0}


def _page(ctx: Context, args: Args) -> Value:
    names = naming_of(args)
    span = _session_window(ctx.db, names, args)
    return _read_page(ctx.db, span, args, lambda row: position_of(row.document, names.session_field))


def _recent(ctx: Context, args: Args) -> Value:
    number, _ = ctx.db.index(naming_of(args).table, "by_creation_time")
    span = _between(Interval(number, b"", b"\xff"), args, _time_values)
    return _read_page(ctx.db, span, args, lambda row: position_of(row.document))


def _count(ctx: Context, args: Args) -> Value:
    names = naming_of(args)
    span = _session_window(ctx.db, names, args)
    visit = Budget(**budget_of(args, DEFAULT_BYTES * 2))
    rows = visit.take(ctx.db, span)
    cursor = position_of(rows[-1].document, names.session_field) if rows else args.get("after")
    return {"cursor": cursor, "isDone": visit.ended, "n": float(len(rows))}


def _sessions(ctx: Context, args: Args) -> Value:
    names = naming_of(args)
    limit = check_limit(args["limit"], MAX_SESSIONS)
    whole = Interval(ctx.db.index(names.table, names.index)[0], b"", b"\xff")
    last: Value = args.get("after", MISSING)
    started = "after" in args or args.get("afterMissing", False)
    found: list[Value] = []
    read = 0
    while len(found) < limit and read < DEFAULT_BYTES:
        rest = interval(whole.number, Bound((last,), inclusive=False), None) if started else whole
        row = ctx.db.first(rest)
        if row is None:
            return {"cursor": _session_cursor(started, last), "isDone": True, "sessions": found}
        document = row.document
        last, started = field_of(document, names.session_field), True
        session, size = _session(ctx.db, names, document, with_times=args.get("times", False))
        found.append(session)
        read += row.size + size
    return {"cursor": _session_cursor(started, last), "isDone": False, "sessions": found}


def _session(db: Transaction, names: Naming, first: Args, *, with_times: bool) -> tuple[Value, int]:
    value = field_of(first, names.session_field)
    session = {} if value is MISSING else {"sessionId": value}
    if not with_times:
        return session, 0
    tail = db.first(session_span(db, names, value), descending=True)
    if tail is None:  # the row just read is one of the session
        raise AssertionError("a session without rows")
    times = {"first": first["_creationTime"], "last": tail.document["_creationTime"]}
    return {**session, **times}, tail.size


def _session_cursor(started: bool, last: Value) -> Value:
    return None if not started else {} if last is MISSING else {"sessionId": last}


def _bounds(ctx: Context, args: Args) -> Value:
    names = naming_of(args)
    n = check_limit(args["n"], MAX_PROBES)
    ctx.db.index(names.table, names.index)
    table = ctx.db.table(names.table)
    if table is None:
        return {"bounds": []}
    hits: dict[bytes, Value] = {}
    read = 0
    for _ in range(n):
        if read >= MAX_BYTES:
            break
        probe = encode_id(DocumentId(table.number, os.urandom(16)))
        row = ctx.db.first(interval(table.by_id, Bound((probe,), inclusive=True), None))
        row = row or ctx.db.first(Interval(table.by_id, b"", b"\xff"))
        if row is not None:
            read += row.size
            position = position_of(row.document, names.session_field)
            hits[b"".join(map(sort_key, _session_values(position)))] = position
    return {"bounds": [hits[key] for key in sorted(hits)]}


def position_of(document: Args, session_field: str | None = None) -> Value:
    """Return the keyset position of a document; with the session where the order has it."""
    position = {"creationTime": document["_creationTime"], "id": document["_id"]}
    session = MISSING if session_field is None else field_of(document, session_field)
    return position if session is MISSING else {"sessionId": session, **position}


def _time_values(position: Args) -> tuple[Value, ...]:
    return position["creationTime"], position["id"]


def _session_values(position: Args) -> tuple[Value, ...]:
    return position.get("sessionId", MISSING), *_time_values(position)


def _session_window(db: Transaction, names: Naming, args: Args) -> Interval:
    if "sessionId" not in args:
        return _between(Interval(db.index(names.table, names.index)[0], b"", b"\xff"), args, _session_values)
    session = sort_key(args["sessionId"])
    for end in ("after", "until"):
        position = args.get(end)
        if position is not None and sort_key(position.get("sessionId", MISSING)) != session:
            raise refusal("bad_position", "The position belongs to another session than the one asked for.")
    return _between(session_span(db, names, args["sessionId"]), args, _session_values)


def _between(whole: Interval, args: Args, values: Callable[[Args], tuple[Value, ...]]) -> Interval:
    """Cut a range down to what lies strictly between two positions, given in reading direction."""
    ends = (args.get("after"), args.get("until"))
    low, high = reversed(ends) if args.get("order") == "desc" else ends
    lower = None if low is None else Bound(values(low), inclusive=False)
    upper = None if high is None else Bound(values(high), inclusive=False)
    start, stop = interval(whole.number, lower, upper)[1:]
    start, stop = max(start, whole.start), min(stop, whole.stop)
    return Interval(whole.number, start, max(start, stop))


def _read_page(db: Transaction, span: Interval, args: Args, position: Callable[[Row], Value]) -> Value:
    visit = Budget(**budget_of(args, DEFAULT_BYTES))
    rows = visit.take(db, span, descending=args.get("order") == "desc")
    cursor = position(rows[-1]) if rows else args.get("after")
    return {"cursor": cursor, "isDone": visit.ended, "rows": rows}


_LIMITS: Final = {"limit": NUMBER, "maxBytes": optional(NUMBER)}

FUNCTIONS: Final[dict[str, Function]] = {
    "convexMsgs.js:info": internal_query({}, _info),
    "convexMsgs.js:page": internal_query({**NAMING, **_WINDOW, **_LIMITS, "order": _ORDER}, _page),
    "convexMsgs.js:recent": internal_query(
        {**NAMING, "after": _TIME_POSITION, "until": _TIME_POSITION, **_LIMITS, "order": _ORDER}, _recent
    ),
    "convexMsgs.js:count": internal_query({**NAMING, **_WINDOW, **_LIMITS, "limit": optional(NUMBER)}, _count),
    "convexMsgs.js:sessions": internal_query(
        {
            **NAMING,
            "after": optional(ANY),
            "afterMissing": optional(BOOLEAN),
            "limit": NUMBER,
            "times": optional(BOOLEAN),
        },
        _sessions,
    ),
    "convexMsgs.js:bounds": internal_query({**NAMING, "n": NUMBER}, _bounds),
}
