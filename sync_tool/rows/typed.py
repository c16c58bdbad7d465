"""The typed form of rows: msgspec decodes rows that fit it in half the time of dictionaries."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from sync_tool.encoding.order import MISSING, Missing
from sync_tool.encoding.plain import dumps_plain, plain_type, spells_plain
from sync_tool.encoding.values import Value, decode
from sync_tool.rows.model import Names

_DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeError, RecursionError)

Typed = Any
"""A row of the typed form, or `msgspec.Raw` with the line of a row that does not fit it."""


class Head(NamedTuple):
    """Id, time and session of one row."""

    id: str
    time: float
    session: Value | Missing


def read_head(raw: bytes | msgspec.Raw, names: Names) -> Head:
    """Return the head of one document.

    Raises:
        ValueError: not a JSON object.
    """
    try:
        return plain_head(head_decoder(names.session_field).decode(raw))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def plain_head(head: Any) -> Head:
    """Return a decoded head with values of the types that `Head` has."""
    session = head.session
    if type(session) is not str:
        session = MISSING if session is UNSET else decode(session)
    time = head.time if type(head.time) is float else _number(head.time)
    return Head(head.id if type(head.id) is str else "", time, session)


def _number(value: Any) -> float:
    """Return an integer literal as float64; NaN for anything else."""
    try:
        return float(value) if type(value) is int else math.nan
    except OverflowError:
        return math.nan


@cache
def head_decoder(session_field: str) -> msgspec.json.Decoder[Any]:
    """Return the decoder of ids, times and session ids alone."""
    head = msgspec.defstruct(
        "Head",
        [("id", Any, ""), ("time", Any, math.nan), ("session", Any, UNSET)],
        rename={"id": "_id", "time": "_creationTime", "session": session_field},
        gc=False,
    )
    return msgspec.json.Decoder(head)


class TypedForm(NamedTuple):
    """Typed objects whose fields have the table's names, and their decoders."""

    row: Any
    message: Any
    decode_row: Callable[[bytes], Any]
    decode_extra: Callable[[bytes], Any]
    before_data: bytes
    """JSON of ``extra`` before the message's data, if nothing else is in it."""


AFTER_DATA: Final = b"}}"


@cache
def form_of(names: Names) -> TypedForm:
    """Return the typed form of the rows of a table."""
    fields = {"time": "_creationTime", "id": "_id", "message": names.message_field, "session": names.session_field}
    before_data = b'{%s:{"data":' % dumps_plain(names.message_field)
    if len(set(fields.values())) < len(fields) or not all(map(str.isidentifier, fields.values())):
        return TypedForm(None, None, _fits_nothing, _fits_nothing, before_data)
    struct: Any = partial(msgspec.defstruct, forbid_unknown_fields=True, gc=False)
    any_dict: Any = dict
    data = ("data", any_dict[str, plain_type()])
    message = struct("Message", [data, ("type", str)])
    row = struct(
        "Row",
        [("message", message), ("session", str), ("time", float | UnsetType, UNSET), ("id", str | UnsetType, UNSET)],
        rename=fields,
    )
    extra = struct("Extra", [("message", struct("Rest", [data]))], rename={"message": names.message_field})
    return TypedForm(row, message, msgspec.json.Decoder(row).decode, msgspec.json.Decoder(extra).decode, before_data)


def _fits_nothing(text: bytes) -> Any:  # noqa: ARG001  # a decoder's parameter
    raise msgspec.DecodeError("typed objects cannot have fields of these names")


def decode_rows(block: bytes, texts: Sequence[bytes], decode_one: Callable[[bytes], Any]) -> list[Any]:
    """Return typed objects; None for each text that does not fit. `block` holds all texts."""
    if spells_plain(block):
        try:
            return list(map(decode_one, texts))
        except _DECODE_ERRORS:
            return [_or_none(decode_one, text) for text in texts]
    return [_or_none(decode_one, text) if spells_plain(text) else None for text in texts]


def _or_none(decode_one: Callable[[bytes], Any], text: bytes) -> Any:
    try:
        return decode_one(text)
    except _DECODE_ERRORS:
        return None
