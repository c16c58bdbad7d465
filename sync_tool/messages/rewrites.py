"""Rewrites of other shapes of a message to LangChain's ``{type, data}``: pure functions, each with a name.

An unknown shape is returned unchanged, and so is OpenAI's ``{role, content}``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sync_tool.messages.rules import Language

Message = dict[str, Any]

FLAT_TEXT: Final = "flat-text"
FLAT_FIELDS: Final = "flat-fields"
SERIALISED: Final = "serialised"
OPENAI: Final = "openai"
CHUNK: Final = "chunk"
ROLE_TYPE: Final = "role-type"
CONTENT_BLOCKS: Final = "content-blocks"

REWRITES: Final = {
    SERIALISED: "LangChain's serialised form {lc, type, id, kwargs} to {type, data}",
    FLAT_TEXT: "the old form {type, text} to {type, data: {content: text}}",
    FLAT_FIELDS: "fields beside type to fields inside data",
    CHUNK: "a streamed chunk's type to the plain type, without tool_call_chunks and chunk_position",
    ROLE_TYPE: "generic to chat for Python, chat to generic for JavaScript",
    CONTENT_BLOCKS: "content_blocks to content where there is no content",
}
"""Every rewrite by name, in the order in which they are tried."""

_CHUNK_CLASSES: Final = {
    "HumanMessageChunk": "human",
    "AIMessageChunk": "ai",
    "SystemMessageChunk": "system",
    "ToolMessageChunk": "tool",
    "FunctionMessageChunk": "function",
}
CHUNK_TYPES: Final = frozenset({*_CHUNK_CLASSES, "ChatMessageChunk"})
_CLASSES: Final = {
    "HumanMessage": "human",
    "AIMessage": "ai",
    "SystemMessage": "system",
    "ToolMessage": "tool",
    "FunctionMessage": "function",
    **_CHUNK_CLASSES,
}
"""Class names in ids of serialised messages, Python's and JavaScript's alike, and the types they stand for."""
_ROLE_CLASSES: Final = frozenset({"ChatMessage", "ChatMessageChunk"})
ROLE_TYPES: Final[dict[Language, str]] = {"js": "generic", "python": "chat"}
"""The type of a message with a free role, by language."""
_REWRITTEN_TYPES: Final = CHUNK_TYPES | {*ROLE_TYPES.values()}
_CHUNK_FIELDS: Final = ("tool_call_chunks", "chunk_position")


def dialect_of(message: Message) -> str | None:
    """Return the name of a message's foreign form; None for ``{type, data}`` and unknown forms."""
    if "data" in message:
        return None
    if message.get("lc") == 1 and message.get("type") == "constructor" and isinstance(message.get("kwargs"), dict):
        return SERIALISED
    if isinstance(message.get("type"), str):
        if isinstance(message.get("text"), str) and "content" not in message:
            return FLAT_TEXT
        return FLAT_FIELDS if "content" in message or "content_blocks" in message else None
    if isinstance(message.get("role"), str) and ("content" in message or "tool_calls" in message):
        return OPENAI
    return None


def rewrite(message: Message, language: Language = "js") -> tuple[Message, tuple[str, ...]]:
    """Rewrite a message to ``{type, data}`` as `language` reads it.

    Args:
        message: a stored message in any form; it is not changed.
        language: the reader, which decides the type of a message with a free role.

    Returns:
        The message and the names of the rewrites used; the same object and no names if nothing was changed.
    """
    if is_todays(message):
        return message, ()
    done: list[str] = []
    for name, function in _STEPS.items():
        changed = function(message, language)
        if changed is not None:
            message = changed
            done.append(name)
    return message, tuple(done)


def is_todays(message: Message) -> bool:
    """Return quickly whether a message needs no rewrite, which is true of most."""
    kind, data = message.get("type"), message.get("data")
    return type(kind) is str and type(data) is dict and "content" in data and kind not in _REWRITTEN_TYPES


def _serialised(message: Message, language: Language) -> Message | None:
    if dialect_of(message) != SERIALISED:
        return None
    names = message.get("id")
    last = names[-1] if isinstance(names, list) and names else None
    if not isinstance(last, str):
        return None
    kind = ROLE_TYPES[language] if last in _ROLE_CLASSES else _CLASSES.get(last)
    if kind is None:
        return None
    data = {key: value for key, value in message["kwargs"].items() if key != "type"}
    return {"type": kind, "data": _without_chunks(data) if last in CHUNK_TYPES else data}


def _flat_text(message: Message, _: Language) -> Message | None:
    if dialect_of(message) != FLAT_TEXT:
        return None
    rest = {key: value for key, value in message.items() if key not in ("type", "text")}
    return {"type": message["type"], "data": {"content": message["text"], **rest}}


def _flat_fields(message: Message, _: Language) -> Message | None:
    if dialect_of(message) != FLAT_FIELDS:
        return None
    return {"type": message["type"], "data": {key: value for key, value in message.items() if key != "type"}}


def _chunk(message: Message, language: Language) -> Message | None:
    kind, data = message.get("type"), message.get("data")
    if not isinstance(kind, str) or kind not in CHUNK_TYPES or not isinstance(data, dict):
        return None
    plain = _CHUNK_CLASSES.get(kind, ROLE_TYPES[language])
    return _retyped({**message, "data": _without_chunks(data)}, plain)


def _role_type(message: Message, language: Language) -> Message | None:
    kind = message.get("type")
    if kind not in ROLE_TYPES.values() or kind == ROLE_TYPES[language] or not isinstance(message.get("data"), dict):
        return None
    return _retyped(message, ROLE_TYPES[language])


def _content_blocks(message: Message, _: Language) -> Message | None:
    data = message.get("data")
    if not isinstance(data, dict) or "content" in data or not isinstance(data.get("content_blocks"), list):
        return None
    rest = {key: value for key, value in data.items() if key != "content_blocks"}
    return {**message, "data": {"content": data["content_blocks"], **rest}}


def _retyped(message: Message, kind: str) -> Message:
    """Return the message with another type, also in ``data.type`` if it has that."""
    data = message["data"]
    return {**message, "type": kind, "data": {**data, "type": kind} if "type" in data else data}


def _without_chunks(data: Message) -> Message:
    return {key: value for key, value in data.items() if key not in _CHUNK_FIELDS}


_STEPS: Final[dict[str, Callable[[Message, Language], Message | None]]] = {
    SERIALISED: _serialised,
    FLAT_TEXT: _flat_text,
    FLAT_FIELDS: _flat_fields,
    CHUNK: _chunk,
    ROLE_TYPE: _role_type,
    CONTENT_BLOCKS: _content_blocks,
}
