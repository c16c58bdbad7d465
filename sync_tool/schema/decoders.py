"""The compiled types of rows that good records are decoded into.

A row of these types has fields of known names that hold what its level asks for. Only *open* values have keys that
are nobody's field; what Convex asks of a key has to be looked for there (`sync_tool.schema.scan`).
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sync_tool.encoding.plain import plain_type
from sync_tool.model import Names
from sync_tool.schema.loading import READABLE
from sync_tool.schema.parsing import END_OF_TIME
from sync_tool.schema.rules import Level

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


def _struct(name: str, required: Fields, optional: Fields, names: dict[str, str] | None = None, **more: Any) -> Any:
    """Return a struct whose fields are in the order of their names in JSON, so that it is written in that order.

    The garbage collector does not know it: JSON has no cycles, and to look for some took a tenth of the time.
    """
    names = names or {}
    fields: Any = [*required.items(), *((field, kind, UNSET) for field, kind in optional.items())]
    in_order = sorted(fields, key=lambda field: names.get(field[0], field[0]))
    more = {"forbid_unknown_fields": True, **more}
    return msgspec.defstruct(name, in_order, rename=names, kw_only=True, gc=False, **more)


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
_OWN_NAMES: Final = {"role": _TEXT, "name": _TEXT_OR_NULL, "id": _TEXT_OR_NULL}
_TEXTS: Final = {**_OWN_NAMES, "tool_call_id": _TEXT, "status": _TEXT}
USUAL_OPEN_FIELDS: Final = ("additional_kwargs", "response_metadata", "tool_calls", "invalid_tool_calls")
"""The open fields of ``_USUAL``."""
_USUAL: Final = _struct(
    "Usual",
    {"content": str},
    {**_TEXTS, **dict.fromkeys(USUAL_OPEN_FIELDS, _OPEN), "usage_metadata": _USAGE | UnsetType | None},
)
"""``data`` as JavaScript writes most of it: nearly nothing in it is open."""
_BARE: Final = _struct(
    "Bare",
    {"content": str},
    {
        **_OWN_NAMES,
        **dict.fromkeys(("additional_kwargs", "response_metadata"), _struct("Nothing", {}, {}) | UnsetType),
        **dict.fromkeys(("tool_calls", "invalid_tool_calls"), tuple[()] | UnsetType),
        "usage_metadata": _USAGE | UnsetType | None,
    },
)
"""The same where nothing is open: every message of people, and of models those that only say something."""
OPEN_FIELDS: Final = (
    *USUAL_OPEN_FIELDS,
    "usage_metadata", "tool_call_chunks", "artifact", "metadata", "content_blocks", "chunk_position",
)  # fmt: skip
"""The open fields of ``_WRITTEN``; ``content`` is open too where it is a list."""
_WRITTEN: Final = _struct(
    "Written",
    {"content": str | _LIST[str | _DICT[str, _VALUE]]},
    {**_TEXTS, "type": _TEXT, "example": bool | UnsetType, **dict.fromkeys(OPEN_FIELDS, _OPEN)},
)
"""``data`` with every field that LangChain writes."""


class RowDecoders:
    """Decoders of rows that are good at a level, each of which takes more than the one before; made when needed.

    Rows have the attributes ``time``, ``id``, ``session`` and ``message``, which has ``type`` and ``data``.

    Args:
        level: what is asked for.
        names: what the session and message fields are called.
    """

    def __init__(self, level: Level, names: Names) -> None:
        self._level = level
        self._names = names
        self._data = _DOCUMENTED if level == "documented" else _WRITTEN

    @cached_property
    def bare(self) -> msgspec.json.Decoder[Any] | None:
        """Takes, at the level ``langchain``, messages in which nothing is open and that call or answer no tool."""
        return _decoder(_BARE, self._names, READABLE) if self._level == "langchain" else None

    @cached_property
    def usual(self) -> msgspec.json.Decoder[Any] | None:
        """Takes, at the level ``langchain``, what is usual."""
        return _decoder(_USUAL, self._names) if self._level == "langchain" else None

    @cached_property
    def closed(self) -> msgspec.json.Decoder[Any]:
        """Takes rows without fields of their user's own."""
        return _decoder(self._data, self._names)

    @cached_property
    def all(self) -> msgspec.json.Decoder[Any]:
        """Takes whatever may be good, and leaves out fields of the row that are its user's own."""
        return _decoder(self._data, self._names, forbid_unknown_fields=self._level == "documented")


def _decoder(data: Any, names: Names, types: frozenset[str] | None = None, **more: Any) -> msgspec.json.Decoder[Any]:
    kind: Any = str if types is None else Literal[tuple(sorted(types))]
    message = _struct("Message", {"type": kind, "data": data}, {})
    fields = {"session": names.session_field, "message": names.message_field, "id": "_id", "time": "_creationTime"}
    row = _struct("Row", {"session": str, "message": message}, {"time": _TIME, "id": _TEXT}, fields, **more)
    return msgspec.json.Decoder(row)
