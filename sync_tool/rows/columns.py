"""Rows as flat columns and back: the only module that knows the columns.

A column takes a value only where it can give it back exactly; everything else of the row, explicit
nulls and empty containers included, stays in ``extra`` as canonical JSON in the shape of the row. So

    unflatten(flatten(document)) == document

for every document that Convex can hold, at whatever level (``tests/test_rows.py`` proves it).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any, Final, NamedTuple

from sync_tool.encoding.canonical import dumps
from sync_tool.encoding.order import MISSING, Missing
from sync_tool.encoding.plain import Document, dumps_plain, dumps_plain_lines
from sync_tool.encoding.values import Value
from sync_tool.rows.model import Block, Names
from sync_tool.text import YEAR_10000_MS, text_of_blocks

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


# Many rows at once, with a handful of Python steps for each row, for plain documents (`sync_tool.encoding.plain`).
# ``tests/test_rows.py`` compares the columns with those that `flatten` makes of one row at a time.


def flatten_block(block: Block) -> list[list[Any]] | None:
    """Return the columns of many documents at once, as `flatten` would make them of each; None if not all are plain."""
    values = block.values()
    if values is None:
        return None
    odd = _without_text(values, block.names)
    if not odd:
        return _columns_of(block, values)
    left_out = set(odd)
    good = [place for place in range(len(values)) if place not in left_out]
    columns = _columns_of(block.at(good), [values[place] for place in good])
    numbers = block.numbers or [0] * len(values)
    for place in odd:
        row = flatten(values[place], block.names, numbers[place], dumps_plain)
        for column, value in zip(columns, row, strict=True):
            column.insert(place, value)
    return columns


def _without_text(values: list[Document], names: Names) -> list[int]:
    """Return where the documents are that hold no message with a type and a text."""
    messages = _objects([value.get(names.message_field) for value in values])
    types = [message.get("type") for message in messages]
    contents = [data.get("content") for data in _objects([message.get("data") for message in messages])]
    if {*map(type, types), *map(type, contents)} == {str}:
        return []
    both = enumerate(zip(types, contents, strict=True))
    return [place for place, (kind, content) in both if type(kind) is not str or type(content) is not str]


def _columns_of(block: Block, values: list[Document]) -> list[list[Any]]:
    """Return the columns of documents that all hold a message with a type and a text."""
    field = block.names.message_field
    rests = list(map(dict.copy, values))
    messages = [rest[field].copy() for rest in rests]
    datas = [message["data"].copy() for message in messages]
    for name in ("_id", "_creationTime", block.names.session_field):
        _pop_all(rests, name)
    types, contents = _pop_all(messages, "type"), _pop_all(datas, "content")
    optional = [pop_texts(datas, name) for name in DATA_COLUMNS[1:]]
    metadata = [data.get("response_metadata") for data in datas]
    usage = _objects([data.get("usage_metadata") for data in datas])
    for rest, message, data in zip(rests, messages, datas, strict=True):
        if data:
            message["data"] = data
            rest[field] = message
        elif len(message) > 1:
            del message["data"]
            rest[field] = message
        else:
            del rest[field]
    extras: list[Any] = dumps_plain_lines(rests).decode().split("\n")
    extras.pop()
    return [
        list(block.ids), list(block.times), all_microseconds(block.times),
        [*block.numbers] if block.numbers else [None] * len(rests), list(block.sessions), types, contents, *optional,
        [model_in(found) if found else None for found in metadata],
        [whole_number(found["input_tokens"]) if "input_tokens" in found else None for found in usage],
        [whole_number(found["output_tokens"]) if "output_tokens" in found else None for found in usage],
        [None if extra == "{}" else extra for extra in extras],
    ]  # fmt: skip


def _objects(values: list[Value]) -> list[Document]:
    """Put an empty object in the place of whatever is none."""
    return values if {*map(type, values)} <= {dict} else [value if type(value) is dict else {} for value in values]


def _pop_all(documents: list[Document], name: str) -> list[Any]:
    return list(map(dict.pop, documents, repeat(name)))


def pop_texts(documents: list[Document], name: str) -> list[str | None]:
    """Remove and return texts; leave anything else where it is."""
    found = list(map(dict.pop, documents, repeat(name), repeat(MISSING)))
    kinds = {*map(type, found)}
    if kinds == {str}:
        return found
    if not kinds <= {str, Missing}:
        for document, value in zip(documents, found, strict=True):
            if value is not MISSING and type(value) is not str:
                document[name] = value
    return [value if type(value) is str else None for value in found]


def unflatten_all(columns: Sequence[list[Any]], extras: list[Document], names: Names) -> None:
    """Make documents of many `extras` at once, as `unflatten` makes them of each.

    Args:
        columns: those of `READ` without ``extra``.
        extras: what the column ``extra`` holds; an empty object where there is nothing.
        names: what the session and message fields are called.

    Raises:
        ValueError: as `unflatten`.
    """
    ids, times, sessions, types, contents, *optional = columns
    field = names.message_field
    messages = datas = []
    whole = not any(None in column for column in (ids, times, sessions, types, contents))
    if whole:
        messages = _objects([extra.setdefault(field, {}) for extra in extras])
        datas = _objects([message.setdefault("data", {}) for message in messages])
    if not whole or any("content" in data for data in datas) or not _all_inside(extras, field, messages, datas):
        for row, extra in zip(zip(*columns, strict=True), extras, strict=True):
            unflatten(row, extra, names)
        return
    _put_all(extras, "_id", ids)
    _put_all(extras, "_creationTime", times)
    _put_all(extras, names.session_field, sessions)
    _put_all(messages, "type", types)
    _put_all(datas, "content", contents)
    for name, column in zip(DATA_COLUMNS[1:], optional, strict=True):
        if column.count(None) < len(column):
            for data, value in zip(datas, column, strict=True):
                if value is not None:
                    data[name] = value


def _all_inside(documents: list[Document], field: str, messages: list[Document], datas: list[Document]) -> bool:
    """Tell whether messages and their data are what stands in the documents, and nothing else stands there."""
    both = zip(documents, messages, datas, strict=True)
    return all(document[field] is message and message["data"] is data for document, message, data in both)


def _put_all(documents: list[Document], name: str, values: list[Any]) -> None:
    deque(map(dict.__setitem__, documents, repeat(name), values), maxlen=0)


def all_microseconds(times: list[float]) -> list[Any]:
    """Return times as `sync_tool.rows.columns.microseconds` does each."""
    if times and min(times) >= 0 and max(times) < YEAR_10000_MS - 1:
        return [round(time * 1000) for time in times]
    return list(map(microseconds, times))
