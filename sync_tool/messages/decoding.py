"""Good rows as compiled types: decoding into them is most of the check.

The types name every field that a level allows. Only *open* values have keys of their own, which
`sync_tool.messages.fast` has to look at.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sync_tool.encoding.plain import plain_type
from sync_tool.messages.explain import END_OF_TIME
from sync_tool.messages.rules import Level
from sync_tool.rows.model import Names

Fields = dict[str, Any]
"""Names and types; a field whose type takes UNSET may be missing."""

_VALUE: Any = plain_type(6)
"""A value in ``data``: LangChain's messages have up to seven levels below the row."""
_DICT: Any = dict
_LIST: Any = list
_OPEN: Final = _VALUE | UnsetType
_TEXT: Final = str | UnsetType
_TEXT_OR_NULL: Final = str | UnsetType | None
_COUNT: Final = float | UnsetType
_TIME: Final = Annotated[float, Meta(gt=0.0, lt=END_OF_TIME)] | UnsetType


def _struct(name: str, required: Fields, optional: Fields, names: dict[str, str] | None = None) -> Any:
    """Return a struct with its fields in the order of their names in JSON, which is the order of writing.

    The garbage collector ignores it: JSON has no cycles, and looking for them took a tenth of the time.
    """
    names = names or {}
    fields: Any = [*required.items(), *((field, kind, UNSET) for field, kind in optional.items())]
    in_order = sorted(fields, key=lambda field: names.get(field[0], field[0]))
    return msgspec.defstruct(name, in_order, rename=names, kw_only=True, gc=False, forbid_unknown_fields=True)


_INPUT: Final = _struct("Input", {}, dict.fromkeys(("audio", "cache_creation", "cache_read"), _COUNT))
_OUTPUT: Final = _struct("Output", {}, dict.fromkeys(("audio", "reasoning"), _COUNT))
_USAGE: Final = _struct(
    "Usage",
    {},
    {
        **dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), _COUNT),
        "input_token_details": _INPUT | UnsetType,
        "output_token_details": _OUTPUT | UnsetType,
    },
)
_DOCUMENTED: Final = _struct("Documented", {"content": str}, {"role": _TEXT, "name": _TEXT, "additional_kwargs": _OPEN})
"""``data`` with the four documented fields."""
_TEXTS: Final = {"role": _TEXT, "name": _TEXT_OR_NULL, "id": _TEXT_OR_NULL, "tool_call_id": _TEXT, "status": _TEXT}
_USUAL_OPEN: Final = ("additional_kwargs", "response_metadata", "tool_calls", "invalid_tool_calls")
_USUAL: Final = _struct(
    "Usual",
    {"content": str},
    {**_TEXTS, **dict.fromkeys(_USUAL_OPEN, _OPEN), "usage_metadata": _USAGE | UnsetType | None},
)
"""``data`` as JavaScript writes most of it: nearly nothing in it is open."""
_NOTHING: Any = _struct("Nothing", {}, {}) | UnsetType
_BARE: Final = _struct(
    "Bare",
    {"content": str},
    {
        **{name: _TEXTS[name] for name in ("role", "name", "id")},
        **dict.fromkeys(("additional_kwargs", "response_metadata"), _NOTHING),
        **dict.fromkeys(("tool_calls", "invalid_tool_calls"), tuple[()] | UnsetType),
        "usage_metadata": _USAGE | UnsetType | None,
    },
)
"""``data`` of messages that only say something, as LangChain's BufferMemory stores them; nothing in it is open."""
_WRITTEN_OPEN: Final = (
    *_USUAL_OPEN,
    "usage_metadata", "tool_call_chunks", "artifact", "metadata", "content_blocks", "chunk_position",
)  # fmt: skip
_WRITTEN: Final = _struct(
    "Written",
    {"content": str | _LIST[str | _DICT[str, _VALUE]]},
    {**_TEXTS, "type": _TEXT, "example": bool | UnsetType, **dict.fromkeys(_WRITTEN_OPEN, _OPEN)},
)
"""``data`` with every field that LangChain writes."""
_usual_open = attrgetter(*_USUAL_OPEN)
_written_open = attrgetter(*_WRITTEN_OPEN)
_encode_lines = msgspec.json.Encoder().encode_lines


class LineDecoder:
    """Decodes canonical lines of rows that a level allows.

    The rows have the attributes ``time``, ``id``, ``session`` and ``message``, which has ``type`` and ``data``.

    Args:
        data: the type of the field ``data``.
        names: the names of the session and message fields.
    """

    def __init__(self, data: Any, names: Names) -> None:
        message = _struct("Message", {"type": str, "data": data}, {})
        called = {"session": names.session_field, "message": names.message_field, "id": "_id", "time": "_creationTime"}
        row = _struct("Row", {"session": str, "message": message}, {"time": _TIME, "id": _TEXT}, called)
        self._decode = msgspec.json.Decoder(row).decode_lines

    def rows(self, lines: bytes) -> list[Any] | None:
        """Return the rows in lines; None unless encoding gives the same lines again.

        Then no object has a key twice, no number was rounded, no line is empty and the spelling is canonical.
        """
        try:
            rows: list[Any] = self._decode(lines)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return rows if _encode_lines(rows) == lines else None


def bare_decoder(names: Names) -> LineDecoder:
    """Return the decoder of rows without open values; a fifth faster than `usual_decoder`."""
    return LineDecoder(_BARE, names)


def usual_decoder(names: Names) -> LineDecoder:
    """Return the decoder of rows as JavaScript writes most of them; twice as fast as `level_decoder`."""
    return LineDecoder(_USUAL, names)


def level_decoder(level: Level, names: Names) -> LineDecoder:
    """Return the decoder of all rows that a level allows."""
    return LineDecoder(_DOCUMENTED if level == "documented" else _WRITTEN, names)


def usual_open_values(rows: list[Any]) -> tuple[list[Any], bool]:
    """Return the open values in rows of `usual_decoder`, and whether some may call a tool or answer a call."""
    some = [
        data
        for row in rows
        if (data := row.message.data).additional_kwargs
        or data.response_metadata
        or data.tool_calls
        or data.invalid_tool_calls
        or data.tool_call_id
    ]
    return [value for data in some for value in _usual_open(data) if value], bool(some)


def open_values(rows: list[Any], level: Level) -> list[Any]:
    """Return the open values in rows of `level_decoder`."""
    datas = [row.message.data for row in rows]
    if level == "documented":
        return [data.additional_kwargs for data in datas if data.additional_kwargs]
    values = [value for data in datas for value in _written_open(data) if value]
    return values + [data.content for data in datas if type(data.content) is list]
