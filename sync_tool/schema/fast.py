"""Compiled decoders, one a level, that good records pass: nothing is built of fields that nobody reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from sync_tool.model import Names
from sync_tool.schema.loading import ESCAPED, OTHER_NAMES, READABLE, STATUSES, TOTALS
from sync_tool.schema.parsing import END_OF_TIME
from sync_tool.schema.rewrites import ROLE_TYPES
from sync_tool.schema.rules import Language, Level
from sync_tool.schema.scan import is_plain


class _Documented(msgspec.Struct, forbid_unknown_fields=True):
    """``data`` with the four documented fields."""

    content: str
    role: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    additional_kwargs: Raw = Raw()


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    """``data`` with every field that LangChain writes."""

    content: str | list[Any]
    role: str | UnsetType = UNSET
    name: str | UnsetType | None = UNSET
    id: str | UnsetType | None = UNSET
    type: str | UnsetType = UNSET
    tool_call_id: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    example: bool | UnsetType = UNSET
    additional_kwargs: Raw = Raw()
    tool_calls: Raw = Raw()
    usage_metadata: Raw = Raw()
    response_metadata: Raw = Raw()
    invalid_tool_calls: Raw = Raw()
    tool_call_chunks: Raw = Raw()
    artifact: Raw = Raw()
    metadata: Raw = Raw()
    content_blocks: Raw = Raw()
    chunk_position: Raw = Raw()


class _Call(msgspec.Struct):
    """A tool call that LangChain reads."""

    name: str
    args: dict[str, Raw]
    id: Any


class _Usage(msgspec.Struct):
    """Token counts that LangChain reads."""

    input_tokens: float
    output_tokens: float
    total_tokens: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What a good record says of tool calls, for those who match results with calls."""

    session: str
    answers: str | None = None
    """The call that a tool message answers."""
    calls: tuple[str, ...] = ()
    """The calls that it makes."""


_calls: Final = msgspec.json.Decoder(list[_Call]).decode
_any_calls: Final = msgspec.json.Decoder(list[Any]).decode
_kwargs: Final = msgspec.json.Decoder(Any).decode
_usage: Final = msgspec.json.Decoder(_Usage).decode
_EMPTY: Final = (b"", b"[]")


class FastCheck:
    """Says of most good records quickly that they are good.

    Args:
        level: what is asked for.
        names: what the session and message fields are called.
        language: who shall read the messages at the level ``loadable``.
    """

    def __init__(self, level: Level, names: Names, language: Language) -> None:
        data = _Documented if level == "documented" else _Written
        closed = level == "documented"
        message = msgspec.defstruct("Message", [("type", str), ("data", data)], forbid_unknown_fields=True)
        row = msgspec.defstruct(
            "Row",
            [("session", str), ("message", message), ("id", str, ""), ("time", float, 1.0)],
            rename={
                "session": names.session_field,
                "message": names.message_field,
                "id": "_id",
                "time": "_creationTime",
            },
            forbid_unknown_fields=closed,
        )
        self._decode = msgspec.json.Decoder(row).decode
        self._loadable = level == "loadable"
        self._language = language
        self._suspects = (ESCAPED.encode(), OTHER_NAMES[language].encode())
        self._data_is_good: Callable[[str, Any], bool] = _four_fields if closed else self._written

    def __call__(self, raw: bytes) -> Seen | None:
        """Return what the record says of tool calls if it has neither fault nor warning; None for "look closer"."""
        if not is_plain(raw) or any(suspect in raw for suspect in self._suspects):
            return None
        try:
            row: Any = self._decode(raw)
            kind, data = row.message.type, row.message.data
            if not 0.0 < row.time < END_OF_TIME or not self._data_is_good(kind, data):
                return None
            return Seen(row.session, *_tool_calls(kind, data))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def _written(self, kind: str, data: _Written) -> bool:
        if data.type is not UNSET and (data.type != kind or data.name is UNSET or data.id is UNSET):
            return False
        if isinstance(data.content, list) and not all(type(item) in (str, dict) for item in data.content):
            return False
        return not self._loadable or _is_loadable(kind, data, self._language)


def _four_fields(_: str, data: _Documented) -> bool:
    return data is not None


def _is_loadable(kind: str, data: _Written, language: Language) -> bool:
    if kind == "ai":
        return _calls_are_good(data) and _usage_is_good(data)
    if kind == "tool":
        return data.tool_call_id is not UNSET and (data.status is UNSET or data.status in STATUSES)
    if kind == "function":
        return isinstance(data.name, str)
    if kind in ROLE_TYPES.values():
        return kind == ROLE_TYPES[language] and data.role is not UNSET
    return kind in READABLE and (language == "js" or bytes(data.additional_kwargs) != b"null")


def _calls_are_good(data: _Written) -> bool:
    raw = bytes(data.tool_calls)
    if raw not in _EMPTY:
        _calls(raw)
    return True


def _usage_is_good(data: _Written) -> bool:
    raw = bytes(data.usage_metadata)
    if raw in (b"", b"null"):
        return True
    usage = _usage(raw)
    return all(getattr(usage, name).is_integer() for name in TOTALS)


def _tool_calls(kind: str, data: Any) -> tuple[str | None, tuple[str, ...]]:
    if kind == "tool":
        answered = getattr(data, "tool_call_id", UNSET)
        return (None if answered is UNSET else answered), ()
    if kind != "ai":
        return None, ()
    raw = bytes(getattr(data, "tool_calls", b""))
    found = call_ids(_any_calls(raw)) if raw not in _EMPTY and raw.startswith(b"[") else ()
    kwargs = bytes(data.additional_kwargs)
    if b"tool_calls" in kwargs:
        found += kwargs_call_ids(_kwargs(kwargs))
    return None, found


def call_ids(calls: Any) -> tuple[str, ...]:
    """Return the ids in a list of tool calls, LangChain's or OpenAI's."""
    if not isinstance(calls, list):
        return ()
    return tuple(call["id"] for call in calls if isinstance(call, dict) and isinstance(call.get("id"), str))


def kwargs_call_ids(kwargs: Any) -> tuple[str, ...]:
    """Return the ids of OpenAI's raw tool calls in ``additional_kwargs``."""
    return call_ids(kwargs.get("tool_calls")) if isinstance(kwargs, dict) else ()
