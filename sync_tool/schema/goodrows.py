"""Rows decoded into what they may hold at a level, if they are good and nothing is odd about them.

Of a block of canonical lines no Python object is looked at but those of which the decoders cannot say everything:
this is the inner loop of every validation. The order of the tests is that of what they cost.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET

from sync_tool.encoding.plain import plain_lines
from sync_tool.model import Names
from sync_tool.schema.decoders import OPEN_FIELDS, USUAL_OPEN_FIELDS, RowDecoders
from sync_tool.schema.loading import ESCAPED, OTHER_NAMES, READABLE, STATUSES, TOTALS
from sync_tool.schema.rewrites import ROLE_TYPES
from sync_tool.schema.rules import Language, Level
from sync_tool.schema.scan import has_plain_keys, is_plain

_LONGEST: Final = 1 << 19
"""In bytes. A shorter row whose open values are short (`sync_tool.schema.scan.has_plain_keys`) is not too large."""

_encode_lines = msgspec.json.Encoder().encode_lines
"""Writes fields in the order in which they are declared, which is that of their names: to sort them took a tenth."""
_usual_open = attrgetter(*USUAL_OPEN_FIELDS)
_written_open = attrgetter(*OPEN_FIELDS)


class _Call(msgspec.Struct):
    """A tool call that LangChain reads."""

    name: str
    args: dict[str, Any]
    id: Any


class _Usage(msgspec.Struct):
    """Token counts that LangChain reads."""

    input_tokens: float
    output_tokens: float
    total_tokens: float


class Block(NamedTuple):
    """Good records."""

    rows: list[Any]
    calling: bool
    """False if none of them calls or answers a tool."""


class GoodRows:
    """Gives back good rows decoded; nothing of those that may have a fault or a warning.

    Args:
        level: what is asked for.
        names: what the session and message fields are called.
        language: who shall read the messages at the level ``loadable``.
    """

    def __init__(self, level: Level, names: Names, language: Language) -> None:
        self._level = level
        self._language = language
        self._fields = frozenset({"_id", "_creationTime", names.session_field, names.message_field})
        self._suspects = (ESCAPED.encode(), OTHER_NAMES[language].encode())
        self._decoders = RowDecoders(level, names)

    def one(self, raw: bytes) -> Any | None:
        """Return a record, spelled in whatever way; None if it may not be good."""
        if not is_plain(raw) or self._is_suspect(raw):
            return None
        try:
            row = self._decoders.all.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return row if self._fits_its_type(row) else None

    def block(self, lines: bytes) -> Block | None:
        """Return the records in lines, each with its newline; None unless all are good and canonical."""
        if len(lines) > _LONGEST:
            return None
        bare = _canonical(self._decoders.bare, lines)
        if bare is not None:
            return Block(bare, calling=False)
        usual = _canonical(self._decoders.usual, lines)
        if usual is not None:
            some = _not_quite_usual(usual)
            values = [value for data in some for value in _usual_open(data) if value]
            return Block(usual, calling=bool(some)) if self._are_plain(values) else None
        values = []
        rows = _canonical(self._decoders.closed, lines)
        if rows is None:
            found = self._with_own_fields(lines)
            if found is None:
                return None
            rows, values = found
        if not all(map(self._fits_its_type, rows)):
            return None
        for row in rows:
            values += self._open_values(row.message.data)
        return Block(rows, calling=True) if self._are_plain(values) else None

    def _with_own_fields(self, lines: bytes) -> tuple[list[Any], list[Any]] | None:
        """Return the rows in canonical lines and the fields of each that are its user's own."""
        rows, values = _decoded(self._decoders.all, lines), plain_lines(lines)
        if rows is None or values is None or _encode_lines(values) != lines:
            return None
        own = [{key: value[key] for key in value.keys() - self._fields} for value in values]
        return None if any(key.startswith("_") for fields in own for key in fields) else (rows, own)

    def _open_values(self, data: Any) -> list[Any]:
        """Return the values of a message in which keys may be that are nobody's fields."""
        if self._level == "documented":
            return [data.additional_kwargs] if data.additional_kwargs else []
        values = [value for value in _written_open(data) if value]
        return [*values, data.content] if type(data.content) is list else values

    def _are_plain(self, values: list[Any]) -> bool:
        if not values:
            return True
        lines = _encode_lines(values)
        return has_plain_keys(lines) and not self._is_suspect(lines)

    def _is_suspect(self, text: bytes) -> bool:
        return any(suspect in text for suspect in self._suspects)

    def _fits_its_type(self, row: Any) -> bool:
        """Tell whether a row has what the type of its message asks for."""
        if self._level == "documented":
            return True
        kind, data = row.message.type, row.message.data
        if data.type is not UNSET and (data.type != kind or data.name is UNSET or data.id is UNSET):
            return False
        return self._level == "langchain" or _is_loadable(kind, data, self._language)


def _canonical(decoder: msgspec.json.Decoder[Any] | None, lines: bytes) -> list[Any] | None:
    """Return the rows in lines; None unless they are the same when they are encoded again.

    Then no key stood twice in an object, nothing was spelled in an unusual way, no number was rounded, no line empty.
    """
    rows = _decoded(decoder, lines)
    return rows if rows is not None and _encode_lines(rows) == lines else None


def _decoded(decoder: msgspec.json.Decoder[Any] | None, lines: bytes) -> list[Any] | None:
    if decoder is None:
        return None
    try:
        return decoder.decode_lines(lines)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _not_quite_usual(rows: list[Any]) -> list[Any]:
    """Return the messages that have open values or answer a call. Where few do, this is all that Python does a row."""
    return [
        data
        for row in rows
        if (data := row.message.data).additional_kwargs
        or data.response_metadata
        or data.tool_calls
        or data.invalid_tool_calls
        or data.tool_call_id
    ]


def _is_loadable(kind: str, data: Any, language: Language) -> bool:
    if kind == "ai":
        return _calls_are_good(data.tool_calls) and _usage_is_good(data.usage_metadata)
    if kind == "tool":
        return data.tool_call_id is not UNSET and (data.status is UNSET or data.status in STATUSES)
    if kind == "function":
        return isinstance(data.name, str)
    if kind in ROLE_TYPES.values():
        return kind == ROLE_TYPES[language] and data.role is not UNSET
    return kind in READABLE and (language == "js" or data.additional_kwargs is not None)


def _calls_are_good(calls: Any) -> bool:
    return calls in (UNSET, []) or _fits(calls, list[_Call])


def _usage_is_good(usage: Any) -> bool:
    if usage is UNSET or usage is None:
        return True
    return _fits(usage, _Usage) and all(float(usage[name]).is_integer() for name in TOTALS)


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True
