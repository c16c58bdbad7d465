"""Filter expressions of the dashboard's table view: an index range, and conditions tested after reading.

Source: get-convex/convex-backend, ``npm-packages/system-udfs/convex/_system/frontend/lib/filters.ts``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from sync_tool.encoding.ids import decode_id
from sync_tool.encoding.order import MISSING, sort_key
from sync_tool.encoding.values import Json, Value, decode
from sync_tool.sandbox.database.schema import Schema
from sync_tool.sandbox.database.transaction import Bound, Interval, Transaction, equal_to, field_of, interval

Args = dict[str, Any]

# Stands for a missing field in JSON.
UNDEFINED: Final = (
    "__CONVEX_PLACEHOLDER_undefined_I23atX0jcndVbFgXoQZffsih7eAqktCyFjgUuAeNBtfr3ySOljPSPSEOPFgprkdBO3zXNiGEJxmJ5ZF"
    "Pc5C5qKesG80QRPvlJe8vgSxAt9feLTwxTg4PHfVwUaTEJU67FDwldWmTxp1guMPwxQ2jOuhEryTBf3mQ"
)

_COMPARE: Final[dict[str, Callable[[bytes, bytes], bool]]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}

_TYPES: Final[dict[str, type]] = {
    "string": str,
    "boolean": bool,
    "number": float,
    "bigint": int,
    "null": type(None),
    "array": list,
    "object": dict,
    "bytes": bytes,
    "unset": type(MISSING),
}


class FilterError(Exception):
    """Invalid filter; `clause` is the number of the clause, or -1 for the index."""

    def __init__(self, message: str, clause: int = -1) -> None:
        super().__init__(message)
        self.message = message
        self.clause = clause


def clause_errors(clauses: list[Args]) -> None:
    """Raise FilterError if the value of a clause is not a Convex value."""
    for number, clause in enumerate(clauses):
        try:
            decode(clause.get("value"))
        except ValueError:
            raise FilterError(f"Invalid value: {clause.get('value')}.", number) from None


def single_id(filters: Args) -> Value:
    """Return the id if the filter selects one document by its id and nothing else."""
    enabled = [clause for clause in filters.get("clauses", []) if clause.get("enabled") is not False]
    index = filters.get("index") or {"clauses": []}
    if any(clause.get("enabled") for clause in index["clauses"]) or len(enabled) != 1:
        return None
    (clause,) = enabled
    return clause.get("value") if clause.get("field") == "_id" and clause.get("op") == "eq" else None


def index_fields(schema: Schema, table: str, index: Args) -> tuple[str, ...]:
    """Return the fields of the filter's index, after a check of its clauses."""
    name, clauses = index["name"], index["clauses"]
    declared = {key: (*value, "_creationTime") for key, value in schema.declared.get(table, {}).items()}
    indexes = {**declared, "by_creation_time": ("_creationTime",), "by_id": ("_id",)}
    if name not in indexes:
        raise FilterError(f"Index {name} does not exist.")
    fields = indexes[name]
    if len(clauses) > len(fields):
        raise FilterError(f"Index {name} has {len(fields)} fields, but the query has {len(clauses)} clauses.")
    enabled = [bool(clause.get("enabled")) for clause in clauses]
    if sorted(enabled, reverse=True) != enabled:
        raise FilterError("Invalid index filter selection: found an enabled clause after an disabled clause.")
    used = clauses[: sum(enabled)]
    if any(clause["type"] == "indexRange" for clause in used[:-1]):
        raise FilterError("Invalid index filter selection: found a range filter after a non-range filter.")
    return fields


def index_span(db: Transaction, table: str, index: Args, fields: tuple[str, ...]) -> Interval:
    """Return the range of keys that the index clauses select."""
    number, _ = db.index(table, index["name"])
    clauses = [clause for clause in index["clauses"] if clause.get("enabled")]
    prefix: tuple[Value, ...] = ()
    for clause in clauses[: len(fields)]:
        if clause["type"] == "indexRange":
            lower = _bound(prefix, clause, "lower", "gte")
            upper = _bound(prefix, clause, "upper", "lte")
            return interval(number, lower, upper)
        prefix = (*prefix, _value(clause.get("value")))
    return equal_to(number, prefix)


def _bound(prefix: tuple[Value, ...], clause: Args, end: str, inclusive: str) -> Bound | None:
    op = clause.get(f"{end}Op")
    if not op:
        return Bound(prefix, inclusive=True) if prefix else None
    return Bound((*prefix, _value(clause.get(f"{end}Value"))), inclusive=op == inclusive)


def _value(json: Json) -> Value:
    return MISSING if json == UNDEFINED else decode(json)


def keeps(clauses: list[Args], document: Args) -> bool:
    """Return whether a document satisfies all clauses."""
    return all(_holds(clause, document) for clause in clauses if clause.get("field") is not None)


def _holds(clause: Args, document: Args) -> bool:
    op: str = clause["op"]
    json: Json = clause.get("value")
    field = field_of(document, clause["field"])
    if op in ("type", "notype"):
        return _is_type(field, json) == (op == "type")
    key = sort_key(field)
    if op in ("anyOf", "noneOf"):
        keys = [sort_key(_value(item)) for item in json or ()]
        return not keys or (key in keys) == (op == "anyOf")
    return _COMPARE[op](key, sort_key(_value(json)))


def _is_type(value: Value, name: str) -> bool:
    if name != "id":
        return type(value) is _TYPES[name]
    try:
        decode_id(value if isinstance(value, str) else "")
    except ValueError:
        return False
    return True
