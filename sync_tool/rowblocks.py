"""Many rows at once as columns and back, with a handful of Python steps for each row.

The same columns as `sync_tool.rows` makes of one row at a time, for documents that are plain
(`sync_tool.encoding.plain`); what does not fit goes through that module (``tests/test_rows.py`` compares them).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import repeat
from typing import Any

from sync_tool.encoding.order import MISSING, Missing
from sync_tool.encoding.plain import Document, dumps_plain, dumps_plain_lines
from sync_tool.encoding.values import Value
from sync_tool.model import Block, Names
from sync_tool.rows import DATA_COLUMNS, flatten, microseconds, model_in, unflatten, whole_number
from sync_tool.text import YEAR_10000_MS


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
    """Return times as `sync_tool.rows.microseconds` does each."""
    if times and min(times) >= 0 and max(times) < YEAR_10000_MS - 1:
        return [round(time * 1000) for time in times]
    return list(map(microseconds, times))
