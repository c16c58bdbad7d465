"""Is a row LangChain's stored message? Every fault of its shape, at every level at once.

What LangChain writes and reads, by version, was found by running its releases; the closed form of the
level ``langchain`` is ``wideMessageData`` in ``convex/validators.ts``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sync_tool.encoding.values import Value
from sync_tool.model import Names
from sync_tool.schema import rewrites
from sync_tool.schema.loading import loading_faults
from sync_tool.schema.parsing import kind_of, shown, step
from sync_tool.schema.rules import Fault, Language

DOCUMENTED_FIELDS: Final = frozenset({"content", "role", "name", "additional_kwargs"})
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "id": (str, type(None)),
    "tool_call_id": (str,),
    "status": (str,),
    "example": (bool,),
    "type": (str,),
}
"""What the fields hold that are neither documented nor open to anything."""
LANGCHAIN_FIELDS: Final = DOCUMENTED_FIELDS | frozenset({
    *_TYPES, "response_metadata", "tool_calls", "invalid_tool_calls", "tool_call_chunks", "usage_metadata",
    "artifact", "metadata", "content_blocks", "chunk_position",
})  # fmt: skip

_FORMS: Final = {
    rewrites.FLAT_TEXT: "flat-text",
    rewrites.FLAT_FIELDS: "flat-fields",
    rewrites.SERIALISED: "serialised",
    rewrites.OPENAI: "openai",
}
"""The rule for each foreign form of a message."""


def shape_faults(row: dict[str, Value], names: Names, language: Language) -> Iterator[Fault]:
    """Yield what keeps a row from being a stored message of LangChain, at any level."""
    known = {"_id", "_creationTime", names.session_field, names.message_field}
    for key in row.keys() - known:
        if not key.startswith("_"):
            yield Fault("row-field", step("$", key))
    session = row.get(names.session_field)
    if not isinstance(session, str):
        there = kind_of(session) if names.session_field in row else "missing"
        yield Fault("session-id", step("$", names.session_field), there)
    path = step("$", names.message_field)
    message = row.get(names.message_field)
    if isinstance(message, dict):
        yield from _message_faults(message, path, language)
    else:
        yield Fault("message", path, kind_of(message) if names.message_field in row else "missing")


def _message_faults(message: dict[str, Any], path: str, language: Language) -> Iterator[Fault]:
    form = rewrites.form_of(message)
    if form is not None:
        cure = form if form in rewrites.REWRITES else None
        yield Fault(_FORMS[form], path, rewrite=cure)
        return
    for key in message.keys() - {"type", "data"}:
        yield Fault("message-field", step(path, key))
    kind = message.get("type")
    if not isinstance(kind, str):
        yield Fault("type", f"{path}.type", kind_of(kind) if "type" in message else "missing")
    data = message.get("data")
    if not isinstance(data, dict):
        yield Fault("data", f"{path}.data", kind_of(data) if "data" in message else "missing")
        return
    yield from _content_faults(data, f"{path}.data")
    yield from _field_faults(data, f"{path}.data")
    if isinstance(kind, str):
        if isinstance(data.get("type"), str) and data["type"] != kind:
            yield Fault("type-differs", f"{path}.data.type", f"{shown(data['type'])} in a {shown(kind)}")
        yield from loading_faults(kind, data, path, language)


def _content_faults(data: dict[str, Any], path: str) -> Iterator[Fault]:
    here = f"{path}.content"
    content = data.get("content")
    if "content" not in data:
        if isinstance(data.get("content_blocks"), list):
            yield Fault("content-blocks", here, rewrite=rewrites.CONTENT_BLOCKS)
        else:
            yield Fault("content-missing", here)
    elif isinstance(content, list):
        yield Fault("content-list", here)
        for number, item in enumerate(content):
            if not isinstance(item, str | dict):
                yield Fault("content-item", f"{here}[{number}]", kind_of(item))
    elif not isinstance(content, str):
        yield Fault("content-type", here, kind_of(content))


def _field_faults(data: dict[str, Any], path: str) -> Iterator[Fault]:
    for key, value in data.items():
        here = step(path, key)
        if key not in LANGCHAIN_FIELDS:
            yield Fault("unknown-field", here)
        elif key not in DOCUMENTED_FIELDS:
            yield Fault("langchain-field", here)
            if key in _TYPES and not isinstance(value, _TYPES[key]):
                yield Fault("field-type", here, kind_of(value))
    if "role" in data and not isinstance(data["role"], str):
        yield Fault("role-type", f"{path}.role", kind_of(data["role"]))
    if "name" in data and data["name"] is None:
        yield Fault("name-null", f"{path}.name")
    elif "name" in data and not isinstance(data["name"], str):
        yield Fault("name-type", f"{path}.name", kind_of(data["name"]))
