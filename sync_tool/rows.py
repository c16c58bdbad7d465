"""Rows as flat columns and back: the only module that knows the columns.

A column takes a value only where it can give it back exactly; everything else of the row, explicit
nulls and empty containers included, stays in ``extra`` as canonical JSON in the shape of the row. So

    unflatten(flatten(document)) == document

for every document that Convex can hold, at whatever level (``tests/test_rows.py`` proves it).
"""

from __future__ import annotations

import math
from typing import Any, Final

from sync_tool.encoding.canonical import dumps, loads
from sync_tool.encoding.values import Value
from sync_tool.messages import text_of_blocks
from sync_tool.model import Names
from sync_tool.text import YEAR_10000_MS

Document = dict[str, Value]
Columns = dict[str, Any]

DATA_COLUMNS: Final = ("content", "role", "name", "tool_call_id")
"""Fields of ``message.data`` that have a column of the same name where they are strings."""

COLUMNS: Final = (
    "_id", "_creationTime", "created_at", "n", "sessionId", "type", *DATA_COLUMNS,
    "model", "input_tokens", "output_tokens", "extra",
)  # fmt: skip
"""All columns in order. Derived, and ignored on reading: created_at, n, model, the token counts, and
content where ``extra`` holds the content itself."""


def flatten(document: Document, names: Names, n: int = 0) -> Columns:
    """Return the columns of a document.

    Args:
        document: the whole document as Convex values.
        names: what its session and message fields are called.
        n: number of the row in its session, from 1; 0 if unknown.
    """
    rest = dict(document)
    columns: Columns = dict.fromkeys(COLUMNS)
    columns["n"] = n or None
    columns["_id"] = _take(rest, "_id", str)
    columns["_creationTime"] = time = _take(rest, "_creationTime", float)
    columns["created_at"] = _microseconds(time)
    columns["sessionId"] = _take(rest, names.session_field, str)
    message = rest.get(names.message_field)
    if type(message) is dict:
        _flatten_message(message, rest, names.message_field, columns)
    if rest:
        columns["extra"] = dumps(rest).decode()
    return columns


def unflatten(columns: Columns, names: Names) -> Document:
    """Return the document that `flatten` was given.

    Raises:
        ValueError: ``extra`` is not the canonical JSON of an object.
    """
    document: Document = loads(columns["extra"]) if columns.get("extra") else {}
    if type(document) is not dict:
        raise ValueError("extra does not hold a JSON object")
    _put(document, "_id", columns.get("_id"))
    _put(document, "_creationTime", columns.get("_creationTime"))
    _put(document, names.session_field, columns.get("sessionId"))
    field = names.message_field
    if columns.get("type") is not None:
        _container(document, field)["type"] = columns["type"]
    if not _keeps_content(document.get(field)):
        _put_data(document, field, "content", columns.get("content"))
    for name in DATA_COLUMNS[1:]:
        _put_data(document, field, name, columns.get(name))
    return document


def _flatten_message(message: Document, rest: Document, field: str, columns: Columns) -> None:
    kept = dict(message)
    columns["type"] = _take(kept, "type", str)
    data = kept.get("data")
    if type(data) is dict:
        kept_data = dict(data)
        for name in DATA_COLUMNS:
            columns[name] = _take(kept_data, name, str)
        _derive(data, columns)
        _keep(kept, "data", kept_data, taken=len(kept_data) < len(data))
    _keep(rest, field, kept, taken=len(kept) < len(message))


def _derive(data: Document, columns: Columns) -> None:
    """Fill the columns that only repeat what stands elsewhere in the row."""
    if type(data.get("content")) is list:
        columns["content"] = text_of_blocks(data["content"])
    metadata = data.get("response_metadata")
    if type(metadata) is dict:
        model = metadata.get("model_name", metadata.get("model"))
        columns["model"] = model if type(model) is str else None
    usage = data.get("usage_metadata")
    if type(usage) is dict:
        columns["input_tokens"] = _whole(usage.get("input_tokens"))
        columns["output_tokens"] = _whole(usage.get("output_tokens"))


def _take(values: Document, name: str, kind: type) -> Any:
    """Remove and return a value if it is of the column's type; leave it where it is otherwise."""
    if type(values.get(name)) is not kind:
        return None
    if kind is float and math.isnan(values[name]):  # Parquet readers confuse NaN with null
        return None
    return values.pop(name)


def _keep(values: Document, name: str, rest: Document, *, taken: bool) -> None:
    """Keep what is left of a container; drop it if it became empty because columns hold all of it."""
    if rest or not taken:
        values[name] = rest
    else:
        del values[name]


def _put(document: Document, name: str, value: Value) -> None:
    if value is not None:
        document[name] = value


def _put_data(document: Document, field: str, name: str, value: Value) -> None:
    if value is not None:
        _container(_container(document, field), "data")[name] = value


def _container(document: Document, name: str) -> Document:
    container = document.setdefault(name, {})
    if type(container) is not dict:
        raise ValueError(f"extra holds a {name} that is no object, beside columns of its fields")
    return container


def _keeps_content(message: Value) -> bool:
    data = message.get("data") if type(message) is dict else None
    return type(data) is dict and "content" in data


def _microseconds(time: float | None) -> int | None:
    if time is None or not 0 <= time < YEAR_10000_MS:
        return None
    return min(round(time * 1000), int(YEAR_10000_MS) * 1000 - 1)


def _whole(number: Value) -> int | None:
    if type(number) is int:
        return number
    if type(number) is float and number.is_integer() and abs(number) < 2**63:
        return int(number)
    return None
