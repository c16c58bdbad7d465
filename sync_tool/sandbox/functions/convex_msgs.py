"""Functions that a LangChain app deploys: ``convexMsgs`` as in ``convex/convexMsgs.ts``, and ``langchain/db``."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from sync_tool.encoding.ids import DocumentId, encode_id
from sync_tool.encoding.order import MISSING, sort_key
from sync_tool.encoding.validators import ANY, BOOLEAN, NULL, NUMBER, STRING, array, literal, obj, optional, union
from sync_tool.encoding.values import Value
from sync_tool.sandbox.database.documents import Row
from sync_tool.sandbox.database.transaction import Bound, Interval, Transaction, after, field_of, interval
from sync_tool.sandbox.database.writing import WriteTransaction
from sync_tool.sandbox.faults import FunctionError, refusal
from sync_tool.sandbox.functions.registry import Context, Function, internal_mutation, internal_query
from sync_tool.sandbox.options import Naming

_MAX_SESSIONS: Final = 1_000
_MAX_PROBES: Final = 1_000
_MAX_LIMIT: Final = 4_096
_MAX_BYTES: Final = 8 << 20
_DEFAULT_BYTES: Final = 4 << 20
# A delete reads its row again, as one more index range: the largest call stays within Convex's limits.
_MAX_ERASED: Final = 4_000
_MAX_ERASED_BYTES: Final = 7 << 20

Args = dict[str, Any]

_NAMING: Final = dict.fromkeys(("table", "index", "sessionField"), optional(STRING))
_TIME: Final = {"creationTime": NUMBER, "id": STRING}
_SESSION_POSITION: Final = optional(union(obj({"sessionId": optional(ANY), **_TIME}), NULL))
_TIME_POSITION: Final = optional(union(obj(_TIME), NULL))
_WINDOW: Final = {"sessionId": optional(ANY), "after": _SESSION_POSITION, "until": _SESSION_POSITION}
_ORDER: Final = optional(union(literal("asc"), literal("desc")))


def _naming_of(args: Args) -> Naming:
    default = Naming()
    return Naming(
        args.get("table", default.table),
        args.get("index", default.index),
        args.get("sessionField", default.session_field),
    )


def _session_span(db: Transaction, names: Naming, session: Value) -> Interval:
    return db.equal(names.table, names.index, names.session_field, (session,))


def _info(_ctx: Context, _args: Args) -> Value:
    return {"name": "convex-msgs", "version": 1.0}


def _page(ctx: Context, args: Args) -> Value:
    names = _naming_of(args)
    span = _session_window(ctx.db, names, args)
    return _read_page(ctx.db, span, args, lambda row: _position_of(row.document, names.session_field))


def _recent(ctx: Context, args: Args) -> Value:
    number, _ = ctx.db.index(_naming_of(args).table, "by_creation_time")
    span = _between(Interval(number, b"", b"\xff"), args, _time_values)
    return _read_page(ctx.db, span, args, lambda row: _position_of(row.document))


def _count(ctx: Context, args: Args) -> Value:
    names = _naming_of(args)
    span = _session_window(ctx.db, names, args)
    limit, max_bytes = _budget(args, _DEFAULT_BYTES * 2)
    rows, ended = ctx.db.read(span, limit=limit, max_bytes=max_bytes)
    cursor = _position_of(rows[-1].document, names.session_field) if rows else args.get("after")
    return {"cursor": cursor, "isDone": ended, "n": float(len(rows))}


def _sessions(ctx: Context, args: Args) -> Value:
    names = _naming_of(args)
    limit = _check_limit(args["limit"], _MAX_SESSIONS)
    whole = Interval(ctx.db.index(names.table, names.index)[0], b"", b"\xff")
    last: Value = args.get("after", MISSING)
    started = "after" in args or args.get("afterMissing", False)
    found: list[Value] = []
    read = 0
    while len(found) < limit and read < _DEFAULT_BYTES:
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
    tail = db.first(_session_span(db, names, value), descending=True)
    if tail is None:  # the row just read is one of the session
        raise AssertionError("a session without rows")
    times = {"first": first["_creationTime"], "last": tail.document["_creationTime"]}
    return {**session, **times}, tail.size


def _session_cursor(started: bool, last: Value) -> Value:
    return None if not started else {} if last is MISSING else {"sessionId": last}


def _bounds(ctx: Context, args: Args) -> Value:
    names = _naming_of(args)
    n = _check_limit(args["n"], _MAX_PROBES)
    ctx.db.index(names.table, names.index)
    table = ctx.db.table(names.table)
    if table is None:
        return {"bounds": []}
    hits: dict[bytes, Value] = {}
    read = 0
    for _ in range(n):
        if read >= _MAX_BYTES:
            break
        probe = encode_id(DocumentId(table.number, os.urandom(16)))
        row = ctx.db.first(interval(table.by_id, Bound((probe,), inclusive=True), None))
        row = row or ctx.db.first(Interval(table.by_id, b"", b"\xff"))
        if row is not None:
            read += row.size
            position = _position_of(row.document, names.session_field)
            hits[b"".join(map(sort_key, _session_values(position)))] = position
    return {"bounds": [hits[key] for key in sorted(hits)]}


def _position_of(document: Args, session_field: str | None = None) -> Value:
    """Return the keyset position of a document, with its session where the order has one."""
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
    return _between(_session_span(db, names, args["sessionId"]), args, _session_values)


def _between(whole: Interval, args: Args, values: Callable[[Args], tuple[Value, ...]]) -> Interval:
    """Return the part of a range strictly between two positions, given in reading direction."""
    ends = (args.get("after"), args.get("until"))
    low, high = reversed(ends) if args.get("order") == "desc" else ends
    lower = None if low is None else Bound(values(low), inclusive=False)
    upper = None if high is None else Bound(values(high), inclusive=False)
    start, stop = interval(whole.number, lower, upper)[1:]
    start, stop = max(start, whole.start), min(stop, whole.stop)
    return Interval(whole.number, start, max(start, stop))


def _read_page(db: Transaction, span: Interval, args: Args, position: Callable[[Row], Value]) -> Value:
    limit, max_bytes = _budget(args, _DEFAULT_BYTES)
    rows, ended = db.read(span, limit=limit, max_bytes=max_bytes, descending=args.get("order") == "desc")
    cursor = position(rows[-1]) if rows else args.get("after")
    return {"cursor": cursor, "isDone": ended, "rows": rows}


def _budget(args: Args, default_bytes: int) -> tuple[int, float]:
    """Return the number of rows and of bytes, as Convex counts them, that a call asks for."""
    limit = _check_limit(args.get("limit", float(_MAX_LIMIT)), _MAX_LIMIT)
    max_bytes = args.get("maxBytes", float(default_bytes))
    if not 1 <= max_bytes <= _MAX_BYTES:
        raise refusal("bad_max_bytes", f"maxBytes must be from 1 to {_MAX_BYTES}.", maxBytes=max_bytes)
    return limit, max_bytes


def _check_limit(limit: float, most: int) -> int:
    if not (limit.is_integer() and 1 <= limit <= most):
        raise refusal("bad_limit", f"The limit must be a whole number from 1 to {most}.", limit=limit)
    return int(limit)


def _append(ctx: Context, args: Args) -> Value:
    names = _naming_of(args)
    _check_batches(args["batches"], names)
    return {"results": [_append_batch(ctx.db, names, batch) for batch in args["batches"]]}


def _check_batches(batches: list[Args], names: Naming) -> None:
    seen: set[str] = set()
    for batch in batches:
        session = batch["sessionId"]
        if session in seen:
            raise refusal("double_session", "A session may stand in one batch of a call only.", sessionId=session)
        seen.add(session)
        for document in batch["documents"]:
            _check_document(document, session, names)


def _check_document(document: Value, session: str, names: Naming) -> None:
    fields = document if isinstance(document, dict) else {}
    for name in ("_id", "_creationTime"):
        if name in fields:
            raise refusal("system_field", f"A new document must not have {name}.", sessionId=session)
    if fields.get(names.session_field) != session:
        message = f"{names.session_field} of a document is not the sessionId of its batch."
        raise refusal("wrong_session", message, sessionId=session)


def _append_batch(db: WriteTransaction, names: Naming, batch: Args) -> Value:
    session = batch["sessionId"]
    span = _session_span(db, names, session)
    tail = db.first(span, descending=True)
    last_id = None if tail is None else tail.document["_id"]
    if "expectLastId" in batch and batch["expectLastId"] != last_id:
        return {"moved": last_id}
    ids = db.insert_all(names.table, batch["documents"]) if batch["documents"] else []
    if tail is not None and ids:
        _check_order(db, session, tail, Interval(span.number, after(tail.key), span.stop), ids[0])
    return {"ids": ids}


def _check_order(db: WriteTransaction, session: str, tail: Row, rest: Interval, first_id: str) -> None:
    """Refuse rows that sort before the old tail: it would stay the tail, and a retry would append them twice.

    A read of the first row by its id would count all inserted ids as index ranges.
    """
    following = db.first(rest)
    if following is not None and following.document["_id"] == first_id:
        return
    raise refusal(
        "tail_in_future",
        "The last row of the session is dated in the future, so new rows would sort before it.",
        sessionId=session,
        lastTime=tail.document["_creationTime"],
    )


def _erase(ctx: Context, args: Args) -> Value:
    names = _naming_of(args)
    limit, max_bytes = _budget(args, _DEFAULT_BYTES)
    span = _erasable(ctx.db, names, args)
    if span is None:
        return {"erased": 0.0, "isDone": True}
    rows, ended = ctx.db.read(span, limit=min(limit, _MAX_ERASED), max_bytes=min(max_bytes, _MAX_ERASED_BYTES))
    for row in rows:
        ctx.db.delete(row.document["_id"])
    reached = bool(rows) and "throughId" in args and after(rows[-1].key) == span.stop
    return {"erased": float(len(rows)), "isDone": ended or reached}


def _erasable(db: WriteTransaction, names: Naming, args: Args) -> Interval | None:
    """Return the range up to and including `throughId`, or None if that document no longer exists."""
    session = args["sessionId"]
    span = _session_span(db, names, session)
    if "throughId" not in args:
        return span
    found = db.find(args["throughId"])
    if found is None:
        return None
    table, row = found
    document = row.document
    if table.name != names.table or field_of(document, names.session_field) != session:
        message = "throughId names a document of another session or table."
        raise refusal("wrong_session", message, sessionId=session, throughId=args["throughId"])
    key = db.key_in(span.number, names.table, document)
    return Interval(span.number, span.start, after(key))


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


_LIMITS: Final = {"limit": NUMBER, "maxBytes": optional(NUMBER)}
_BATCH: Final = obj({"sessionId": STRING, "documents": array(ANY), "expectLastId": optional(union(STRING, NULL))})
_KEYED: Final = {"table": STRING, "index": STRING, "keyField": STRING, "key": STRING}

FUNCTIONS: Final[dict[str, Function]] = {
    "convexMsgs.js:info": internal_query({}, _info),
    "convexMsgs.js:page": internal_query({**_NAMING, **_WINDOW, **_LIMITS, "order": _ORDER}, _page),
    "convexMsgs.js:recent": internal_query(
        {**_NAMING, "after": _TIME_POSITION, "until": _TIME_POSITION, **_LIMITS, "order": _ORDER}, _recent
    ),
    "convexMsgs.js:count": internal_query({**_NAMING, **_WINDOW, **_LIMITS, "limit": optional(NUMBER)}, _count),
    "convexMsgs.js:sessions": internal_query(
        {
            **_NAMING,
            "after": optional(ANY),
            "afterMissing": optional(BOOLEAN),
            "limit": NUMBER,
            "times": optional(BOOLEAN),
        },
        _sessions,
    ),
    "convexMsgs.js:bounds": internal_query({**_NAMING, "n": NUMBER}, _bounds),
    "convexMsgs.js:append": internal_mutation({**_NAMING, "batches": array(_BATCH)}, _append),
    "convexMsgs.js:erase": internal_mutation(
        {
            **_NAMING,
            "sessionId": STRING,
            "throughId": optional(STRING),
            "limit": NUMBER,
            "maxBytes": optional(NUMBER),
        },
        _erase,
    ),
    "langchain/db.js:get": internal_query({"id": STRING}, _get),
    "langchain/db.js:insert": internal_mutation({"table": STRING, "document": ANY}, _insert),
    "langchain/db.js:lookup": internal_query(_KEYED, _rows),
    "langchain/db.js:upsert": internal_mutation({**_KEYED, "document": ANY}, _upsert),
    "langchain/db.js:deleteMany": internal_mutation(_KEYED, _delete_many),
}
