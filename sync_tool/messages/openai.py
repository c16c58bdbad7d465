"""OpenAI's chat turns, ``{"role", "content", "tool_calls", …}``, in the normal form.

The mapping is that of langchain-core's ``convert_to_messages``.
"""

from __future__ import annotations

from typing import Final

from sync_tool.messages.blocks import arguments_of, content_of, parts_of, text_or_none
from sync_tool.messages.parts import Block, Message, Part, ToolCall, ToolResult
from sync_tool.messages.rewrites import OPENAI, dialect_of

ROLES: Final = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool", "function": "function"}
"""OpenAI's role for each type of message."""
_TYPES: Final = {**{role: kind for kind, role in ROLES.items()}, "developer": "system"}
DEVELOPER: Final = "__openai_role__"
"""The field of ``additional_kwargs`` in which LangChain keeps that a system message is the developer's."""


def is_turn(message: Block) -> bool:
    """Return whether a message is one of OpenAI's turns."""
    return dialect_of(message) == OPENAI


def from_turn(turn: Block) -> Message:
    """Return a turn in the normal form; a role that OpenAI does not have becomes ``generic``."""
    role: str = turn["role"]
    kind = _TYPES.get(role, "generic")
    extra = {key: value for key, value in turn.items() if key not in ("role", "content", "tool_calls") and value != []}
    name, call_id = _pop_text(extra, "name"), _pop_text(extra, "tool_call_id") if kind == "tool" else None
    if role == "developer":
        extra[DEVELOPER] = role
    content = turn.get("content")
    if kind in ("tool", "function"):
        parts: list[Part] = [ToolResult(call_id, content_of(content), name)]
    else:
        parts = parts_of(content)
    if kind == "ai":
        parts = with_calls(parts, calls_in(turn))
        extra = without_calls(extra)
    return Message(role if kind == "generic" else kind, tuple(parts), kind, name, extra=extra)


def calls_in(holder: Block) -> list[ToolCall]:
    """Return the calls that a turn, or LangChain's ``additional_kwargs``, holds in OpenAI's form."""
    calls = holder.get("tool_calls")
    found = [_call(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    legacy = holder.get("function_call")
    if not found and isinstance(legacy, dict):
        name = text_or_none(legacy.get("name")) or ""
        return [ToolCall(None, name, arguments_of(legacy.get("arguments")), legacy=True, block=legacy)]
    return found


def without_calls(holder: Block) -> Block:
    """Return the fields that `calls_in` does not read."""
    read = {"tool_calls": list, "function_call": dict}
    return {key: value for key, value in holder.items() if key not in read or not isinstance(value, read[key])}


def with_calls(content: list[Part], calls: list[ToolCall]) -> list[Part]:
    """Return the parts of an answer: its content, then its calls, those with parsed arguments first."""
    if calls:  # some providers repeat the calls in the content
        content = [part for part in content if not isinstance(part, ToolCall)]
    return [*content, *sorted(calls, key=lambda call: not call.is_valid)]


def _call(call: Block) -> ToolCall:
    function = call.get("function")
    function = function if isinstance(function, dict) else {}
    name = text_or_none(function.get("name")) or ""
    return ToolCall(text_or_none(call.get("id")), name, arguments_of(function.get("arguments")))


def _pop_text(fields: Block, name: str) -> str | None:
    value = fields.get(name)
    if value is None or isinstance(value, str):
        fields.pop(name, None)
    return text_or_none(value)
