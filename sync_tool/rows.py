"""Rows as flat columns and back: the only module that knows the columns.

A column takes a value only where it can give it back exactly; everything else of the row, explicit
nulls and empty containers included, stays in ``extra`` as canonical JSON in the shape of the row. So

    unflatten(flatten(document)) == document

for every document that Convex can hold, at whatever level (``tests/test_rows.py`` proves it).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from sync_tool.encoding.canonical import dumps
from sync_tool.encoding.plain import Document
from sync_tool.encoding.values import Value
from sync_tool.messages import text_of_blocks
from sync_tool.model import Names
from sync_tool.text import YEAR_10000_MS

DATA_COLUMNS: Final = ("content", "role", "name", "tool_call_id")
"""Fields of ``message.data`` that have a column of the same name where they are strings."""


class Columns(NamedTuple):
    """All columns of a row, in order; None where a column has no value."""

    id: str | None
    creation_time: float | None
    created_at: int | None
    """Microseconds since 1970."""
    n: int | None
    """Number of the row in its session, from 1."""
    session: str | None
    type: str | None
    content: str | None
    role: str | None
    name: str | None
    tool_call_id: str | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    extra: str | None


_CALLED: Final = {"id": "_id", "creation_time": "_creationTime", "session": "sessionId"}
COLUMNS: Final = tuple(_CALLED.get(field, field) for field in Columns._fields)
"""The names of the columns in files."""
READ: Final = ("_id", "_creationTime", "sessionId", "type", *DATA_COLUMNS, "extra")
"""The columns of which rows are put together, in the order that `unflatten` wants. The others, and content where
``extra`` holds the content itself, are derived."""


def flatten(document: Document, names: Names, n: int = 0, spell: Callable[[Value], bytes] = dumps) -> Columns:
    """Return the columns of a document.

    Args:
        document: the whole document as Convex values.
        names: what its session and message fields are called.
        n: number of the row in its session, from 1; 0 if unknown.
        spell: writes canonical JSON; `sync_tool.encoding.plain.dumps_plain` where the document is plain.
    """
    rest = dict(document)
    document_id = _text(rest, "_id")
    time = _time(rest)
    session = _text(rest, names.session_field)
    kind = content = role = name = call = model = None
    tokens_in = tokens_out = None
    message = rest.get(names.message_field)
    if type(message) is dict:
        kept = dict(message)
        kind = _text(kept, "type")
        data = kept.get("data")
        if type(data) is dict:
            left = dict(data)
            content, role = _text(left, "content"), _text(left, "role")
            name, call = _text(left, "name"), _text(left, "tool_call_id")
            if type(data.get("content")) is list:
                content = text_of_blocks(data["content"])
            model = model_in(data.get("response_metadata"))
            usage = data.get("usage_metadata")
            if type(usage) is dict:
                tokens_in, tokens_out = (
                    whole_number(usage.get("input_tokens")),
                    whole_number(usage.get("output_tokens")),
                )
            _keep(kept, "data", left, data)
        _keep(rest, names.message_field, kept, message)
    extra = spell(rest).decode() if rest else None
    return Columns(
        document_id, time, microseconds(time), n or None, session, kind,
        content, role, name, call, model, tokens_in, tokens_out, extra,
    )  # fmt: skip


def unflatten(columns: tuple[Any, ...], extra: Value, names: Names) -> Document:
    """Return the document that `flatten` was given, made of `extra`, which is changed.

    Args:
        columns: the values of `READ` without ``extra``.
        extra: what the column ``extra`` holds, as a value; None where there is nothing.
        names: what the session and message fields are called.

    Raises:
        ValueError: `extra` is not an object, or its message is none although columns hold fields of it.
    """
    document: Document = {} if extra is None else extra
    if type(document) is not dict:
        raise ValueError("extra does not hold a JSON object")
    document_id, time, session, kind, *in_data = columns
    if document_id is not None:
        document["_id"] = document_id
    if time is not None:
        document["_creationTime"] = time
    if session is not None:
        document[names.session_field] = session
    has_data = in_data.count(None) < len(in_data)
    if kind is not None or has_data:
        message = _container(document, names.message_field)
        if kind is not None:
            message["type"] = kind
        if has_data:
            _put_data(_container(message, "data"), *in_data)
    return document


def _put_data(data: Document, content: Value, role: Value, name: Value, call: Value) -> None:
    if content is not None and "content" not in data:
        data["content"] = content
    if role is not None:
        data["role"] = role
    if name is not None:
        data["name"] = name
    if call is not None:
        data["tool_call_id"] = call


def _text(values: Document, name: str) -> str | None:
    """Remove and return a text; leave anything else where it is."""
    found = values.get(name)
    if type(found) is not str:
        return None
    del values[name]
    return found


def _time(values: Document) -> float | None:
    """Remove and return the creation time if it is a number; Parquet readers confuse NaN with null."""
    time = values.get("_creationTime")
    if type(time) is not float or math.isnan(time):
        return None
    del values["_creationTime"]
    return time


def _keep(values: Document, name: str, rest: Document, whole: Document) -> None:
    """Keep what is left of a container; drop it if it became empty because columns hold all of it."""
    if rest or not whole:
        values[name] = rest
    else:
        del values[name]


def model_in(metadata: Value) -> str | None:
    """Return the name of the model that ``response_metadata`` holds."""
    if type(metadata) is not dict:
        return None
    model = metadata.get("model_name", metadata.get("model"))
    return model if type(model) is str else None


def _container(document: Document, name: str) -> Document:
    container = document.setdefault(name, {})
    if type(container) is not dict:
        raise ValueError(f"extra holds a {name} that is no object, beside columns of its fields")
    return container


def microseconds(time: float | None) -> int | None:
    """Return a time in milliseconds as whole microseconds; None outside the years 1970 to 9999."""
    if time is None or not 0 <= time < YEAR_10000_MS:
        return None
    return min(round(time * 1000), int(YEAR_10000_MS) * 1000 - 1)


def whole_number(number: Value) -> int | None:
    """Return a number without a fraction that 64 bits hold as an integer; None for anything else."""
    if type(number) is int:
        return number
    if type(number) is float and number.is_integer() and abs(number) < 2**63:
        return int(number)
    return None
