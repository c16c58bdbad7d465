"""The fast check, which good records pass many at a time: decode, encode, compare.

A record that passes has neither fault nor warning. One that does not may still be good; `sync_tool.messages.explain`
decides.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET

from sync_tool.encoding.plain import dumps_plain, dumps_plain_lines, plain_lines
from sync_tool.encoding.sizes import MAX_FIELD_NAME_BYTES
from sync_tool.messages.decoding import bare_decoder, level_decoder, open_values, usual_decoder, usual_open_values
from sync_tool.messages.explain import ESCAPED, OTHER_NAMES, READABLE, STATUSES, TOTALS
from sync_tool.messages.rewrites import ROLE_TYPES
from sync_tool.messages.rules import Language, Level
from sync_tool.rows.model import Names

_PARTS: Final = 32  # parts of a block that did not pass, so that few good records are checked alone
_LONGEST_BLOCK: Final = 1 << 19  # bytes; a shorter row with short open values is not too large for Convex
_LONGEST_OPEN: Final = 4096  # bytes of an open value; a shorter one has neither too many fields nor too many items
_LONGEST_KEY: Final = MAX_FIELD_NAME_BYTES + 2
_IN_ODD_KEYS: Final = (b"\\", b"\x7f", b'"$', b'"__proto__"')
_PLAIN_KEY: Final = re.compile(rf"(?!\$|__proto__\Z)[ -~]{{0,{MAX_FIELD_NAME_BYTES}}}")


class ToolUse(NamedTuple):
    """The tool calls of a good record, or the call that it answers."""

    session: str
    answers: str | None = None
    """The call that a tool message answers."""
    calls: tuple[str, ...] = ()
    """The calls that it makes."""
    id: str = ""
    """``_id`` of the record, if it has one."""


class Passed(NamedTuple):
    """Results for many records, which are numbered from 0."""

    rows: int
    """Number of good records."""
    sessions: set[str]
    """Sessions of the good records."""
    calling: list[tuple[int, ToolUse]]
    """The good records that call tools or answer calls."""
    others: list[int]
    """The records that need a closer look."""
    ids: list[str]
    """Each ``_id`` of the good records."""


_NOTHING_PASSED: Final = Passed(0, set(), [], [0], [])


class FastCheck:
    """Finds most good records quickly.

    Args:
        level: the level to check at.
        names: the names of the session and message fields.
        language: the reader of messages at the level ``loadable``.
    """

    def __init__(self, level: Level, names: Names, language: Language) -> None:
        self._level: Level = level
        self._language = language
        self._fields = frozenset({"_id", "_creationTime", names.session_field, names.message_field})
        self._suspects = (ESCAPED.encode(), OTHER_NAMES[language].encode())
        self._bare, self._usual = bare_decoder(names), usual_decoder(names)
        self._all = level_decoder(level, names)

    def lines(self, block: bytes) -> Passed | None:
        """Return the results for lines, each with its newline; None unless all are good and canonical.

        A record with a newline inside counts as two.
        """
        if len(block) > _LONGEST_BLOCK:
            return None
        rows = self._bare.rows(block) if self._level == "langchain" else None
        if rows is not None:
            return Passed(len(rows), {row.session for row in rows}, [], [], _ids(rows))
        rows = self._usual.rows(block) if self._level == "langchain" else None
        if rows is not None:
            values, calling = usual_open_values(rows)
        else:
            rows = self._all.rows(block)
            if rows is None or not all(map(self._fits_its_type, rows)):
                return None
            values, calling = open_values(rows, self._level), True
        if not self._are_plain(values):
            return None
        return Passed(len(rows), {row.session for row in rows}, [*_calling(rows)] if calling else [], [], _ids(rows))

    def many(self, raws: Sequence[bytes]) -> Passed:
        """Return the results for records in any spelling; faster for canonical ones."""
        passed = self._block(raws)
        if passed is not None:
            return passed
        if len(raws) == 1:
            line = _respelled(raws[0])
            return (line and self._block([line])) or _NOTHING_PASSED
        rows, sessions, calling, others, ids = 0, set[str](), [], [], list[str]()
        step = -(-len(raws) // _PARTS)
        for first in range(0, len(raws), step):
            part = self.many(raws[first : first + step])
            rows += part.rows
            sessions |= part.sessions
            ids += part.ids
            calling += [(first + number, use) for number, use in part.calling]
            others += [first + number for number in part.others]
        return Passed(rows, sessions, calling, others, ids)

    def _block(self, lines: Sequence[bytes]) -> Passed | None:
        """Return the results for records; None unless all are good and canonical lines."""
        block = b"\n".join([*lines, b""])
        passed = self.lines(block) or self._with_own_fields(block)
        return passed if passed is not None and passed.rows == len(lines) else None

    def _with_own_fields(self, block: bytes) -> Passed | None:
        """Return the results for lines some of which have fields of their user's own, where the level allows these."""
        values = plain_lines(block) if self._level != "documented" and len(block) <= _LONGEST_BLOCK else None
        if values is None or dumps_plain_lines(values) != block:
            return None
        own = [{key: value.pop(key) for key in value.keys() - self._fields} for value in values]
        if not any(own) or any(key.startswith("_") for fields in own for key in fields) or not self._are_plain(own):
            return None
        return self.lines(dumps_plain_lines(values))

    def _are_plain(self, values: list[Any]) -> bool:
        """Return whether open values are short, with keys that Convex takes and no reason for a warning."""
        if not values:
            return True
        lines = dumps_plain_lines(values)
        longest = max(map(len, lines.split(b"\n")))
        if longest > _LONGEST_OPEN or any(suspect in lines for suspect in self._suspects):
            return False
        if lines.isascii() and longest <= _LONGEST_KEY and not any(odd in lines for odd in _IN_ODD_KEYS):
            return True
        return all(map(_has_plain_keys, values))

    def _fits_its_type(self, row: Any) -> bool:
        """Return whether a row has the fields that the type of its message requires."""
        if self._level == "documented":
            return True
        kind, data = row.message.type, row.message.data
        if data.type is not UNSET and (data.type != kind or data.name is UNSET or data.id is UNSET):
            return False
        return self._level == "langchain" or _is_loadable(kind, data, self._language)


def call_ids(calls: Any) -> tuple[str, ...]:
    """Return the ids in a list of tool calls, LangChain's or OpenAI's."""
    if not isinstance(calls, list):
        return ()
    return tuple(call["id"] for call in calls if isinstance(call, dict) and isinstance(call.get("id"), str))


def kwargs_call_ids(kwargs: Any) -> tuple[str, ...]:
    """Return the ids of OpenAI's raw tool calls in ``additional_kwargs``."""
    return call_ids(kwargs.get("tool_calls")) if isinstance(kwargs, dict) else ()


def _respelled(raw: bytes) -> bytes | None:
    """Return a record as a canonical line; None if it is no JSON, has a key twice, or a number that is rounded."""
    try:
        return dumps_plain(_decode(raw.decode()))
    except (ValueError, RecursionError):
        return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key stands twice")
    return fields


def _exact(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number) or (
        len(literal) > 15 and literal.lstrip("-").isdigit() and int(literal) != int(number)
    ):
        raise ValueError("a number is rounded")
    return number


_decode: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_exact, parse_int=_exact, parse_constant=_exact
).decode


def _has_plain_keys(value: Any) -> bool:
    if type(value) is dict:
        return all(map(_PLAIN_KEY.fullmatch, value)) and all(map(_has_plain_keys, value.values()))
    return type(value) is not list or all(map(_has_plain_keys, value))


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


def _ids(rows: list[Any]) -> list[str]:
    return [row.id for row in rows if row.id is not UNSET]


def _calling(rows: list[Any]) -> Iterator[tuple[int, ToolUse]]:
    """Yield the tool use of those rows that have some."""
    for number, row in enumerate(rows):
        kind, data = row.message.type, row.message.data
        own_id = "" if row.id is UNSET else row.id
        if kind == "tool":
            answered = getattr(data, "tool_call_id", UNSET)
            if answered is not UNSET:
                yield number, ToolUse(row.session, answered, (), own_id)
        elif kind == "ai":
            calls = call_ids(getattr(data, "tool_calls", None)) + kwargs_call_ids(data.additional_kwargs)
            if calls:
                yield number, ToolUse(row.session, None, calls, own_id)
