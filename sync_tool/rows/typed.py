"""Rows that hold a message and nothing beside it, many at once: decoded into typed objects, as columns, and spelled.

What LangChain writes is almost always of this kind: an id, a time, a session, a message with a type and data. Typed
objects are decoded and encoded in half the time of dictionaries. Whoever gets None takes the general way
(`sync_tool.rows.columns`), which gives the same (``tests/test_typedrows.py`` compares them).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from itertools import repeat
from types import NoneType
from typing import Any, Final, NamedTuple

import msgspec

from sync_tool.encoding.order import MISSING
from sync_tool.encoding.plain import Document, dumps_plain, dumps_plain_lines, plain_type, spells_plain
from sync_tool.rows.columns import DATA_COLUMNS, all_microseconds, model_in, pop_texts, whole_number
from sync_tool.rows.model import Names
from sync_tool.text import text_of_blocks

_OPTIONAL: Final = DATA_COLUMNS[1:]


class TypedRows(NamedTuple):
    """Rows in lists of equal length; each has an id that is not empty."""

    ids: list[str]
    times: list[float]
    sessions: list[str]
    types: list[str]
    datas: list[Document]
    """What stands in ``message.data``; plain, and used up by whoever lays it in columns."""


class _Types(NamedTuple):
    """The typed objects of a table, whose fields have the table's names."""

    row: Any
    message: Any
    decode_rows: Any
    decode_extras: Any


def decode_lines(block: bytes, names: Names) -> TypedRows | None:
    """Return the rows in lines, each of which ends with a newline; None unless all are of this kind."""
    types = _types(names)
    if types is None or not spells_plain(block):
        return None
    try:
        rows = types.decode_rows(block)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if len(rows) != block.count(b"\n"):
        return None  # there are empty lines
    messages = [row.message for row in rows]
    ids = [row.id for row in rows]
    return TypedRows(
        ids, [row.time for row in rows], [row.session for row in rows],
        [message.type for message in messages], [message.data for message in messages],
    ) if all(ids) else None  # fmt: skip


def encode_lines(rows: TypedRows, names: Names) -> bytes:
    """Return rows as canonical lines, each with its newline.

    Raises:
        TypeError: the names of the table are such that there are no such rows.
    """
    types = _types(names)
    if types is None:
        raise TypeError("rows of a table whose fields share their names")
    messages = map(types.message, rows.datas, rows.types)
    return dumps_plain_lines(list(map(types.row, rows.times, rows.ids, messages, rows.sessions)))


def flatten_rows(rows: TypedRows, numbers: list[int], names: Names) -> list[list[Any]]:
    """Return the columns of rows, as `sync_tool.rows.columns.flatten` would make them of each; their data is used up.

    Args:
        rows: which.
        numbers: number of each in its session, from 1.
        names: what the session and message fields are called.
    """
    datas = rows.datas
    fields = set[str]().union(*datas)
    nothing: list[Any] = [None] * len(datas)
    taken = [_pop_contents(datas), *(pop_texts(datas, name) if name in fields else nothing for name in _OPTIONAL)]
    models = tokens_in = tokens_out = nothing
    if "response_metadata" in fields:
        models = [model_in(found) if found else None for found in _all(datas, "response_metadata")]
    if "usage_metadata" in fields:
        usage = [found if type(found) is dict else {} for found in _all(datas, "usage_metadata")]
        tokens_in, tokens_out = _whole_numbers(usage, "input_tokens"), _whole_numbers(usage, "output_tokens")
    return [
        rows.ids, rows.times, all_microseconds(rows.times), numbers, rows.sessions, rows.types, *taken,
        models, tokens_in, tokens_out, _extras(datas, taken, names),
    ]  # fmt: skip


def _all(datas: list[Document], name: str) -> list[Any]:
    return [data.get(name) for data in datas]


def _whole_numbers(usage: list[Document], name: str) -> list[int | None]:
    found = [one.get(name) for one in usage]
    if {*map(type, found)} <= {float, NoneType}:  # else 1.0 and True would be taken for the same
        known = {number: whole_number(number) for number in set(found)}
        return [known[number] for number in found]
    return list(map(whole_number, found))


def _pop_contents(datas: list[Document]) -> list[Any]:
    """Remove and return the texts; of other content return the text it holds."""
    found: list[Any] = list(map(dict.pop, datas, repeat("content"), repeat(MISSING)))
    if {*map(type, found)} == {str}:
        return found
    for place, content in enumerate(found):
        if type(content) is not str:
            found[place] = text_of_blocks(content) if type(content) is list else None
            if content is not MISSING:
                datas[place]["content"] = content
    return found


def _extras(datas: list[Document], taken: list[list[Any]], names: Names) -> list[str | None]:
    """Return what is left of the rows as canonical JSON: an object around each data; None where columns hold all."""
    if not datas:
        return []
    head, tail = _around_data(names)
    lines = dumps_plain_lines(datas)[:-1].replace(b"\n", tail + b"\n" + head)
    extras: list[Any] = (head + lines + tail).decode().split("\n")
    if not all(datas):
        for place, data in enumerate(datas):
            if not data and any(column[place] is not None for column in taken):
                extras[place] = None
    return extras


def unflatten_rows(columns: Sequence[list[Any]], extras: list[str | None], names: Names) -> TypedRows | None:
    """Return the rows that columns hold; None unless all are of this kind.

    Args:
        columns: those of `sync_tool.rows.columns.READ` without ``extra``.
        extras: what the column ``extra`` holds.
        names: what the session and message fields are called.
    """
    types = _types(names)
    ids, times, sessions, kinds, contents, *optional = columns
    if types is None or not all(ids) or any(None in column for column in (times, sessions, kinds, contents)):
        return None
    head, tail = _around_data(names)
    nothing = (head + b"{}" + tail).decode()
    block = "\n".join([*(extra or nothing for extra in extras), ""]).encode()
    if not spells_plain(block):
        return None
    try:
        datas = [extra.message.data for extra in types.decode_extras(block)]
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if not len(datas) == len(extras) == block.count(b"\n"):
        return None
    for data, content in zip(datas, contents, strict=True):
        data.setdefault("content", content)  # else the column holds the text of what stands in extra
    for name, column in zip(_OPTIONAL, optional, strict=True):
        if column.count(None) < len(column):
            for data, value in zip(datas, column, strict=True):
                if value is not None:
                    data[name] = value
    return TypedRows(ids, times, sessions, kinds, datas)


@cache
def _around_data(names: Names) -> tuple[bytes, bytes]:
    return b'{%s:{"data":' % dumps_plain(names.message_field), b"}}"


@cache
def _types(names: Names) -> _Types | None:
    called = {"time": "_creationTime", "id": "_id", "message": names.message_field, "session": names.session_field}
    if len(set(called.values())) < len(called) or not all(map(str.isidentifier, called.values())):
        return None  # typed objects cannot have such fields
    struct: Any = partial(msgspec.defstruct, forbid_unknown_fields=True, gc=False)
    whatever: Any = dict
    data = ("data", whatever[str, plain_type()])
    message = struct("Message", [data, ("type", str)])
    row = struct("Row", [("time", float), ("id", str), ("message", message), ("session", str)], rename=called)
    extra = struct("Extra", [("message", struct("Rest", [data]))], rename={"message": names.message_field})
    return _Types(row, message, msgspec.json.Decoder(row).decode_lines, msgspec.json.Decoder(extra).decode_lines)
