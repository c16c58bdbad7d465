"""Compiled decoders, one a level, that good records pass: many of them at once, where they are canonical."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from sync_tool.encoding.plain import plain_type
from sync_tool.model import Names
from sync_tool.schema.loading import ESCAPED, OTHER_NAMES, READABLE, STATUSES, TOTALS
from sync_tool.schema.parsing import END_OF_TIME
from sync_tool.schema.rewrites import ROLE_TYPES
from sync_tool.schema.rules import Language, Level
from sync_tool.schema.scan import LONGEST_IN_MANY, has_plain_keys, is_canonical, is_plain

_VALUE: Any = plain_type()
_ANY_VALUE: Final = _VALUE | UnsetType
_LIST: Any = list
_TEXT: Final = str | UnsetType
_TEXT_OR_NULL: Final = str | UnsetType | None
_DOCUMENTED: Final = msgspec.defstruct(
    "Documented",
    [
        ("content", str),
        ("role", _TEXT, UNSET),
        ("name", _TEXT, UNSET),
        ("additional_kwargs", _VALUE | UnsetType, UNSET),
    ],
    forbid_unknown_fields=True,
)
"""``data`` with the four documented fields."""
_TEXTS: Final = {
    "role": _TEXT,
    "name": _TEXT_OR_NULL,
    "id": _TEXT_OR_NULL,
    "type": _TEXT,
    "tool_call_id": _TEXT,
    "status": _TEXT,
    "example": bool | UnsetType,
}
_ANYTHING: Final = (
    "additional_kwargs", "tool_calls", "usage_metadata", "response_metadata", "invalid_tool_calls", "tool_call_chunks",
    "artifact", "metadata", "content_blocks", "chunk_position",
)  # fmt: skip
_WRITTEN: Final = msgspec.defstruct(
    "Written",
    [
        ("content", str | _LIST[_VALUE]),
        *((name, kind, UNSET) for name, kind in _TEXTS.items()),
        *((name, _ANY_VALUE, UNSET) for name in _ANYTHING),
    ],
    forbid_unknown_fields=True,
)
"""``data`` with every field that LangChain writes."""


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


class Seen(NamedTuple):
    """What a good record says of tool calls, for those who match results with calls."""

    session: str
    answers: str | None = None
    """The call that a tool message answers."""
    calls: tuple[str, ...] = ()
    """The calls that it makes."""


class FastCheck:
    """Says of most good records quickly that they are good.

    Args:
        level: what is asked for.
        names: what the session and message fields are called.
        language: who shall read the messages at the level ``loadable``.
    """

    def __init__(self, level: Level, names: Names, language: Language) -> None:
        data = _DOCUMENTED if level == "documented" else _WRITTEN
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
        self._decoder = msgspec.json.Decoder(row)
        self._loadable = level == "loadable"
        self._language = language
        self._suspects = (ESCAPED.encode(), OTHER_NAMES[language].encode())
        self._data_is_good: Callable[[str, Any], bool] = _four_fields if closed else self._written

    def __call__(self, raw: bytes) -> Seen | None:
        """Return what the record says of tool calls if it has neither fault nor warning; None for "look closer"."""
        if not is_plain(raw) or any(suspect in raw for suspect in self._suspects):
            return None
        try:
            return self._seen(self._decoder.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def many(self, raws: Sequence[bytes]) -> list[Seen | None]:
        """Return of each record what a call with it would return; quicker where all are short and canonical."""
        longest = max(map(len, raws), default=0)
        if longest > LONGEST_IN_MANY:
            short = [raw for raw in raws if len(raw) <= LONGEST_IN_MANY]
            checked = iter(self.many(short))
            return [next(checked) if len(raw) <= LONGEST_IN_MANY else self(raw) for raw in raws]
        block = b"\n".join([*raws, b""])
        if any(suspect in block for suspect in self._suspects) or not has_plain_keys(block, longest):
            return list(map(self, raws))
        try:
            rows = self._decoder.decode_lines(block)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return list(map(self, raws))
        if len(rows) != len(raws) or not is_canonical(block, rows):
            return list(map(self, raws))
        return list(map(self._seen, rows))

    def _seen(self, row: Any) -> Seen | None:
        kind, data = row.message.type, row.message.data
        if not 0.0 < row.time < END_OF_TIME or not self._data_is_good(kind, data):
            return None
        if kind not in ("ai", "tool"):
            return Seen(row.session)
        return Seen(row.session, *_tool_calls(kind, data))

    def _written(self, kind: str, data: Any) -> bool:
        if data.type is not UNSET and (data.type != kind or data.name is UNSET or data.id is UNSET):
            return False
        if type(data.content) is list and not all(type(item) in (str, dict) for item in data.content):
            return False
        return not self._loadable or _is_loadable(kind, data, self._language)


def _four_fields(_: str, data: Any) -> bool:
    return data is not None


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


def _tool_calls(kind: str, data: Any) -> tuple[str | None, tuple[str, ...]]:
    if kind == "tool":
        answered = getattr(data, "tool_call_id", UNSET)
        return (None if answered is UNSET else answered), ()
    calls, kwargs = getattr(data, "tool_calls", UNSET), data.additional_kwargs
    found = call_ids(calls) if calls else ()
    return None, (found + kwargs_call_ids(kwargs) if kwargs else found)


def call_ids(calls: Any) -> tuple[str, ...]:
    """Return the ids in a list of tool calls, LangChain's or OpenAI's."""
    if not isinstance(calls, list):
        return ()
    return tuple(call["id"] for call in calls if isinstance(call, dict) and isinstance(call.get("id"), str))


def kwargs_call_ids(kwargs: Any) -> tuple[str, ...]:
    """Return the ids of OpenAI's raw tool calls in ``additional_kwargs``."""
    return call_ids(kwargs.get("tool_calls")) if isinstance(kwargs, dict) else ()
