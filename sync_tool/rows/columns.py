"""One row as flat columns and back, exactly: the definition of the columns.

A column takes a value only if it can give it back exactly. Everything else of the row, including explicit nulls and
empty containers, stays in ``extra`` as canonical JSON in the shape of the row. For every document of Convex

    unflatten(flatten(document)) == document

`sync_tool.rows.batch` does the same for many rows at once and falls back to this module for a row that does not fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import repeat
from types import NoneType
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET

from sync_tool.encoding.canonical import dumps, loads
from sync_tool.encoding.order import MISSING, Missing
from sync_tool.encoding.plain import Document, dumps_plain_lines
from sync_tool.encoding.values import Value
from sync_tool.rows.batch import Batch
from sync_tool.rows.model import Names
from sync_tool.rows.typed import AFTER_DATA, Typed, decode_rows, form_of
from sync_tool.text import YEAR_10000_MS, text_of_blocks

# Fields of ``message.data`` with a column of the same name for their strings.
DATA_COLUMNS: Final = ("content", "role", "name", "tool_call_id")


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
# Names of the columns in files.
COLUMNS: Final = tuple(_CALLED.get(field, field) for field in Columns._fields)
# Columns that rows are rebuilt from, in the order of `unflatten`. The others are derived, and so is ``content`` when
# ``extra`` holds the content itself.
READ: Final = ("_id", "_creationTime", "sessionId", "type", *DATA_COLUMNS, "extra")


_OPTIONAL: Final = DATA_COLUMNS[1:]


def flatten(document: Document, names: Names, n: int = 0) -> Columns:
    """Return the columns of a document.

    Args:
        document: the whole document as Convex values.
        names: the names of its session and message fields.
        n: number of the row in its session, from 1; 0 if unknown.
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
    extra = dumps(rest).decode() if rest else None
    return Columns(
        document_id, time, microseconds(time), n or None, session, kind,
        content, role, name, call, model, tokens_in, tokens_out, extra,
    )  # fmt: skip


def unflatten(columns: tuple[Any, ...], extra: Value, names: Names) -> Document:
    """Return the document of `flatten`, built inside `extra`.

    Args:
        columns: the values of `READ` without ``extra``.
        extra: the decoded value of the column ``extra``; None if it is null.
        names: the names of the session and message fields.

    Raises:
        ValueError: `extra` is not an object, or its message is not one although columns hold fields of it.
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
    """Remove and return a string; keep anything else."""
    found = values.get(name)
    if type(found) is not str:
        return None
    del values[name]
    return found


def _time(values: Document) -> float | None:
    """Remove and return the creation time if it is a number. Parquet readers confuse NaN with null."""
    time = values.get("_creationTime")
    if type(time) is not float or math.isnan(time):
        return None
    del values["_creationTime"]
    return time


def _keep(values: Document, name: str, rest: Document, whole: Document) -> None:
    """Keep the rest of a container, unless columns hold all of it."""
    if rest or not whole:
        values[name] = rest
    else:
        del values[name]


def model_in(metadata: Value) -> str | None:
    """Return the model's name from ``response_metadata``."""
    if type(metadata) is not dict:
        return None
    model = metadata.get("model_name", metadata.get("model"))
    return model if type(model) is str else None


def _container(document: Document, name: str) -> Document:
    container = document.setdefault(name, {})
    if type(container) is not dict:
        raise ValueError(f"{name} in extra is not an object, but columns hold fields of it")
    return container


def microseconds(time: float | None) -> int | None:
    """Return a time in milliseconds as whole microseconds; None outside the years 1970 to 9999."""
    if time is None or not 0 <= time < YEAR_10000_MS:
        return None
    return min(round(time * 1000), int(YEAR_10000_MS) * 1000 - 1)


def whole_number(number: Value) -> int | None:
    """Return an integral number that fits 64 bits as an integer; None for anything else."""
    if type(number) is int:
        return number
    if type(number) is float and number.is_integer() and abs(number) < 2**63:
        return int(number)
    return None


# Columns of many rows.


def flatten_batch(batch: Batch) -> list[list[Any]]:
    """Return the columns of rows, as `flatten` makes them of each."""
    rows = batch.typed()
    odd = [place for place, row in enumerate(rows) if type(row) is msgspec.Raw]
    if not odd:
        return _flatten_typed(rows, batch)
    left_out = set(odd)
    good = [place for place in range(len(rows)) if place not in left_out]
    columns = _flatten_typed([rows[place] for place in good], batch.at(good))
    numbers = batch.numbers or [0] * len(rows)
    for place in odd:
        values = flatten(loads(bytes(rows[place])), batch.names, numbers[place])
        for column, value in zip(columns, values, strict=True):
            column.insert(place, value)
    return columns


def _flatten_typed(rows: list[Any], batch: Batch) -> list[list[Any]]:
    messages = [row.message for row in rows]
    datas = [message.data.copy() for message in messages]
    fields = set[str]().union(*datas)
    nothing: list[Any] = [None] * len(datas)
    taken = [_pop_contents(datas), *(_pop_texts(datas, name) if name in fields else [*nothing] for name in _OPTIONAL)]
    models, tokens_in, tokens_out = [*nothing], [*nothing], [*nothing]
    if "response_metadata" in fields:
        models = [model_in(found) if found else None for found in _all(datas, "response_metadata")]
    if "usage_metadata" in fields:
        usage = [found if type(found) is dict else {} for found in _all(datas, "usage_metadata")]
        tokens_in, tokens_out = _whole_numbers(usage, "input_tokens"), _whole_numbers(usage, "output_tokens")
    ids: list[Any] = [*batch.ids]
    times: list[Any] = [*batch.times]
    if not all(ids) or math.isnan(sum(times)):  # a row without an id or a time, or with an empty id
        ids = [None if row.id is UNSET else row.id for row in rows]
        times = [None if row.time is UNSET else row.time for row in rows]
    return [
        ids, times, _all_microseconds(times), [*batch.numbers] if batch.numbers else [*nothing], [*batch.sessions],
        [message.type for message in messages], *taken, models, tokens_in, tokens_out,
        _extras(datas, taken, batch.names),
    ]  # fmt: skip


def _all(datas: list[Document], name: str) -> list[Any]:
    return [data.get(name) for data in datas]


def _all_microseconds(times: list[Any]) -> list[Any]:
    if times and None not in times and min(times) >= 0 and max(times) < YEAR_10000_MS - 1:
        return [round(time * 1000) for time in times]
    return list(map(microseconds, times))


def _whole_numbers(usage: list[Document], name: str) -> list[int | None]:
    found = [one.get(name) for one in usage]
    if {*map(type, found)} <= {float, NoneType}:  # otherwise True would be the same key as 1.0
        known = {number: whole_number(number) for number in set(found)}
        return [known[number] for number in found]
    return list(map(whole_number, found))


def _pop_contents(datas: list[Document]) -> list[Any]:
    """Remove and return the texts; for other content return the text in it."""
    found: list[Any] = list(map(dict.pop, datas, repeat("content"), repeat(MISSING)))
    if {*map(type, found)} == {str}:
        return found
    for place, content in enumerate(found):
        if type(content) is not str:
            found[place] = text_of_blocks(content) if type(content) is list else None
            if content is not MISSING:
                datas[place]["content"] = content
    return found


def _pop_texts(datas: list[Document], name: str) -> list[str | None]:
    """Remove and return strings; keep anything else."""
    found = list(map(dict.pop, datas, repeat(name), repeat(MISSING)))
    kinds = {*map(type, found)}
    if kinds == {str}:
        return found
    if not kinds <= {str, Missing}:
        for data, value in zip(datas, found, strict=True):
            if value is not MISSING and type(value) is not str:
                data[name] = value
    return [value if type(value) is str else None for value in found]


def _extras(datas: list[Document], taken: list[list[Any]], names: Names) -> list[str | None]:
    """Return the rest of each row as canonical JSON around its data; None if columns hold all of it."""
    if not datas:
        return []
    head = form_of(names).before_data
    lines = dumps_plain_lines(datas)[:-1].replace(b"\n", AFTER_DATA + b"\n" + head)
    extras: list[Any] = (head + lines + AFTER_DATA).decode().split("\n")
    if not all(datas):
        for place, data in enumerate(datas):
            if not data and any(column[place] is not None for column in taken):
                extras[place] = None
    return extras


def unflatten_rows(columns: Sequence[list[Any]], extras: list[str | None], names: Names, *, own: bool) -> list[Typed]:
    """Return the rows of columns, as `unflatten` makes each.

    Args:
        columns: those of `READ` without ``extra``.
        extras: the column ``extra``.
        names: the names of the session and message fields.
        own: the columns have the types that this tool writes.

    Raises:
        ValueError: a row cannot be rebuilt.
    """
    found = _typed_rests(columns, extras, names) if own else [None] * len(extras)
    ids, times, sessions, kinds, contents, *optional = columns
    for data, content in zip(found, contents, strict=True):
        if data is not None and content is not None:
            data.setdefault("content", content)  # if extra holds the content, the column is only its text
    for key, column in zip(_OPTIONAL, optional, strict=True):
        if column.count(None) < len(column):
            for data, value in zip(found, column, strict=True):
                if data is not None and value is not None:
                    data[key] = value
    form = form_of(names)
    if None not in found and None not in ids and None not in times:
        return list(map(form.row, map(form.message, found, kinds), sessions, times, ids))
    rows = []
    for values, extra, data in zip(zip(*columns, strict=True), extras, found, strict=True):
        if data is None:
            rest = loads(extra) if extra else None
            rows.append(msgspec.Raw(dumps(unflatten(values, rest, names))))
        else:
            name, time = (UNSET if value is None else value for value in values[:2])
            rows.append(form.row(form.message(data, values[3]), values[2], time, name))
    return rows


def _typed_rests(columns: Sequence[list[Any]], extras: list[str | None], names: Names) -> list[Document | None]:
    """Return the data in each ``extra``; None for a row that does not fit the typed form."""
    _, times, sessions, kinds, *in_data = columns
    form = form_of(names)
    nothing = form.before_data + b"{}" + AFTER_DATA
    texts = [extra.encode() if extra else nothing for extra in extras]
    rests = decode_rows(b"\n".join(texts), texts, form.decode_extra)
    found = [None if rest is None else rest.message.data for rest in rests]
    whole = not any(None in column for column in (times, sessions, kinds, in_data[0]))
    if whole and min(times, default=1.0) > 0.0 and sum(times) < math.inf:
        return found
    for place, (time, session, kind) in enumerate(zip(times, sessions, kinds, strict=True)):
        if session is None or kind is None or not (time is None or 0.0 < time < math.inf):
            found[place] = None
        elif not extras[place] and all(column[place] is None for column in in_data):
            found[place] = None  # a message without data
    return found
