"""``convexMsgs``: what ``convex/convexMsgs.ts`` does, one for one (writing half)."""

from __future__ import annotations

from typing import Any, Final

from sync_tool.encoding.validators import ANY, NULL, NUMBER, STRING, array, obj, optional, union
from sync_tool.encoding.values import Value
from sync_tool.sandbox.database.transaction import Interval, after, field_of
from sync_tool.sandbox.database.writing import WriteTransaction
from sync_tool.sandbox.faults import refusal
from sync_tool.sandbox.functions.budget import Budget, budget_of
from sync_tool.sandbox.functions.convex_msgs import DEFAULT_BYTES, NAMING, Args, naming_of, position_of, session_span
from sync_tool.sandbox.functions.registry import Context, Function, internal_mutation
from sync_tool.sandbox.options import Naming

_MAX_ERASED: Final = 4_000
_MAX_ERASED_BYTES: Final = 7 << 20
"""A delete reads its row again, as one more index range: these keep the largest call within Convex's limits."""


def _append(ctx: Context, args: Args) -> Value:
    names = naming_of(args)
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
    tail = db.first(session_span(db, names, session), descending=True)
    last = None if tail is None else position_of(tail.document)
    if "expectLastId" in batch:
        actual = None if last is None else last["id"]
        if batch["expectLastId"] != actual:
            return {"moved": actual}
    ids = db.insert_all(names.table, batch["documents"]) if batch["documents"] else []
    if last is not None and ids:
        _check_order(db, session, last, ids[0])
    return {"ids": ids}


def _check_order(db: WriteTransaction, session: str, last: dict[str, Any], first_id: str) -> None:
    """Refuse rows that sort before the old tail: it would stay the expected one, and a repeat double."""
    found = db.find(first_id)
    first = None if found is None else found[1].document
    if first is None or (first["_creationTime"], first["_id"]) > (last["creationTime"], last["id"]):
        return
    raise refusal(
        "tail_in_future",
        "The last row of the session is dated in the future, so new rows would sort before it.",
        sessionId=session,
        lastTime=last["creationTime"],
    )


def _erase(ctx: Context, args: Args) -> Value:
    names = naming_of(args)
    asked = budget_of(args, DEFAULT_BYTES)
    visit = Budget(min(asked["limit"], _MAX_ERASED), min(asked["max_bytes"], _MAX_ERASED_BYTES))
    span = _erasable(ctx.db, names, args)
    if span is None:
        return {"erased": 0.0, "isDone": True}
    rows = visit.take(ctx.db, span)
    for row in rows:
        ctx.db.delete(row.document["_id"])
    reached = bool(rows) and "throughId" in args and after(rows[-1].key) == span.stop
    return {"erased": float(len(rows)), "isDone": visit.ended or reached}


def _erasable(db: WriteTransaction, names: Naming, args: Args) -> Interval | None:
    """Return the range to erase: up to and with `throughId`, or None if that is gone already."""
    session = args["sessionId"]
    span = session_span(db, names, session)
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


_BATCH: Final = obj({"sessionId": STRING, "documents": array(ANY), "expectLastId": optional(union(STRING, NULL))})

FUNCTIONS: Final[dict[str, Function]] = {
    "convexMsgs.js:append": internal_mutation({**NAMING, "batches": array(_BATCH)}, _append),
    "convexMsgs.js:erase": internal_mutation(
        {
            **NAMING,
            "sessionId": STRING,
            "throughId": optional(STRING),
            "limit": NUMBER,
            "maxBytes": optional(NUMBER),
        },
        _erase,
    ),
}
