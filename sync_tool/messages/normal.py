"""LangChain's stored messages, of every version and language, in the normal form and back.

`rewrites` brings the older and foreign shapes to ``{type, data}``; here its fields become typed parts. Nothing is too
odd to be read: a value that no version of LangChain writes becomes `Data`, or stays unread.
"""

from __future__ import annotations

from typing import Any, Final

from sync_tool.messages import openai
from sync_tool.messages.blocks import content_of, parts_of, text_or_none
from sync_tool.messages.parts import (
    Block,
    Citation,
    Data,
    Media,
    Message,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from sync_tool.messages.rewrites import ROLE_TYPES, rewrite

_RESULTS: Final = ("tool", "function")
_THOUGHT: Final = "reasoning_content"
"""The field of ``additional_kwargs`` in which several providers return a model's reasoning."""
_TOTALS: Final = (
    ("input_tokens", "promptTokens", "prompt_tokens", "promptTokenCount", "inputTokens", "prompt_token_count"),
    ("output_tokens", "completionTokens", "completion_tokens", "candidatesTokenCount", "outputTokens",
     "candidates_token_count"),
    ("total_tokens", "totalTokens", "totalTokenCount", "total_token_count"),
)  # fmt: skip
"""Names of the three counts, by provider and language."""
_USAGES: Final = ("tokenUsage", "token_usage", "usage", "usage_metadata", "usageMetadata", "estimatedTokenUsage")
"""Fields of ``response_metadata`` that hold them."""


def normal(stored: Block) -> Message:
    """Return a stored message in the normal form.

    Args:
        stored: the message as a row holds it, in any form; as Convex values.
    """
    message, _ = rewrite(stored)
    kind, data = text_or_none(message.get("type")) or "", message.get("data")
    if not isinstance(data, dict):
        if openai.is_turn(message):
            return openai.from_turn(message)
        return Message(kind, tuple(Data(key, value) for key, value in message.items() if key != "type"), kind)
    kwargs = data.get("additional_kwargs")
    kwargs = kwargs if isinstance(kwargs, dict) else {}
    parts = [_result(kind, data)] if kind in _RESULTS else _parts(kind, data, kwargs)
    metadata = data.get("response_metadata")
    return Message(
        role=kind if kind not in ROLE_TYPES.values() else text_or_none(data.get("role")) or "",
        parts=tuple(parts),
        type=kind,
        name=text_or_none(data.get("name")),
        id=text_or_none(data.get("id")),
        model=_model_in(metadata),
        usage=usage_in(data.get("usage_metadata"), metadata),
        extra=_without_parts(kwargs) if kind == "ai" else dict(kwargs),
        metadata=dict(metadata) if isinstance(metadata, dict) else {},
    )


def stored_of(message: Message) -> Block:
    """Return a message as LangChain in JavaScript stores it.

    Reading that again gives the same normal form where it came from one of LangChain's dialects or OpenAI's turns;
    `error`, `time` and the states of calls, for which LangChain has no field, are left out.
    """
    metadata = dict(message.metadata)
    if message.model is not None and _model_in(metadata) != message.model:
        metadata["model_name"] = message.model
    data: Block = {
        "content": _content_of(message.content),
        "additional_kwargs": dict(message.extra),
        "response_metadata": metadata,
    }
    for name, value in (("name", message.name), ("id", message.id)):
        if value is not None:
            data[name] = value
    if message.type in ROLE_TYPES.values():
        data["role"] = message.role
    if message.result is not None:
        _put_result(data, message.type, message.result)
    if message.type == "ai":
        _put_answer(data, message)
    if message.usage is not None:
        counts = (message.usage.input_tokens, message.usage.output_tokens, message.usage.total_tokens)
        named = zip(("input_tokens", "output_tokens", "total_tokens"), counts, strict=True)
        data["usage_metadata"] = {name: _number(count) for name, count in named if count is not None}
    return {"type": message.type, "data": data}


def _model_in(metadata: Any) -> str | None:
    """Return the name of the model that ``response_metadata`` holds."""
    if type(metadata) is not dict:
        return None
    model = metadata.get("model_name", metadata.get("model"))
    return model if type(model) is str else None


def usage_in(usage: Any, metadata: Any) -> Usage | None:
    """Return the token counts of ``usage_metadata``, else of ``response_metadata``; None where neither has any."""
    places = [usage]
    if type(metadata) is dict and metadata:
        places += [metadata[name] for name in _USAGES if name in metadata]
    for place in places:
        if type(place) is dict:
            counts = [next((_whole_number(place[name]) for name in names if name in place), None) for names in _TOTALS]
            if counts.count(None) < len(counts):
                return Usage(*counts)
    return None


def _whole_number(number: Any) -> int | None:
    """Return a number without a fraction that 64 bits hold as an integer; None for anything else."""
    if type(number) is int:
        return number
    if type(number) is float and number.is_integer() and abs(number) < 2**63:
        return int(number)
    return None


def _parts(kind: str, data: Block, kwargs: Block) -> list[Part]:
    found = parts_of(data.get("content"))
    if kind != "ai":
        return found
    thought = kwargs.get(_THOUGHT)
    thoughts = [Reasoning(thought)] if isinstance(thought, str) and thought else []
    calls = [*_calls(data, "tool_calls"), *_calls(data, "invalid_tool_calls")] or openai.calls_in(kwargs)
    return [*thoughts, *openai.with_calls(found, calls)]


def _calls(data: Block, field: str) -> list[ToolCall]:
    calls = data.get(field)
    return [
        ToolCall(
            text_or_none(call.get("id")),
            text_or_none(call.get("name")) or "",
            call.get("args"),
            text_or_none(call.get("error")),
        )
        for call in (calls if isinstance(calls, list) else [])
        if isinstance(call, dict)
    ]


def _without_parts(kwargs: Block) -> Block:
    """Return the fields of an answer's ``additional_kwargs`` that are not read as parts."""
    rest = openai.without_calls(kwargs)
    if isinstance(rest.get(_THOUGHT), str):
        del rest[_THOUGHT]
    return rest


def _result(kind: str, data: Block) -> ToolResult:
    call_id = text_or_none(data.get("tool_call_id")) if kind == "tool" else None
    failed = data.get("status") == "error"
    return ToolResult(
        call_id, content_of(data.get("content")), text_or_none(data.get("name")), failed, data.get("artifact")
    )


def _put_result(data: Block, kind: str, result: ToolResult) -> None:
    if result.call_id is not None and kind == "tool":
        data["tool_call_id"] = result.call_id
    if result.failed:
        data["status"] = "error"
    if result.artifact is not None:
        data["artifact"] = result.artifact


def _put_answer(data: Block, message: Message) -> None:
    beside = [call for call in message.calls if call.block is None]
    data["tool_calls"] = [{**_stored_call(call), "type": "tool_call"} for call in beside if call.is_valid]
    data["invalid_tool_calls"] = [
        {**_stored_call(call), "error": call.error, "type": "invalid_tool_call"} for call in beside if not call.is_valid
    ]
    for call in message.calls:
        if call.legacy:
            data["additional_kwargs"]["function_call"] = call.block
    thoughts = [part.text for part in message.parts if isinstance(part, Reasoning) and part.block is None]
    if thoughts:
        data["additional_kwargs"][_THOUGHT] = "\n".join(thoughts)


def _stored_call(call: ToolCall) -> Block:
    return {"name": call.name, "args": call.arguments, "id": call.id}


def _number(count: int) -> float:
    return float(count) if abs(count) <= 2**53 else count


def _content_of(parts: tuple[Part, ...]) -> Any:
    """Return parts as content: text where they are no more than that."""
    blocks = [_block_of(part) for part in parts if not _is_beside(part)]
    if not blocks:
        return ""
    return blocks[0] if len(blocks) == 1 and isinstance(blocks[0], str) and blocks[0] else blocks


def _is_beside(part: Part) -> bool:
    """Return whether LangChain stores a part in a field beside the content."""
    if isinstance(part, ToolCall):
        return part.legacy or part.block is None
    return isinstance(part, Reasoning) and part.block is None


def _block_of(part: Part) -> Any:
    if isinstance(part, Data):
        return part.value
    if part.block is not None:
        return part.block
    if isinstance(part, Text):
        return part.text
    if isinstance(part, ToolResult):
        content = _content_of(part.content)
        return {"type": "tool_result", "tool_use_id": part.call_id, "content": content, "is_error": part.failed}
    fields: Block = {}
    if isinstance(part, Media):
        fields = {"type": part.kind, "url": part.url, "base64": part.data, "file_id": part.file_id,
                  "mime_type": part.media_type, "name": part.name}  # fmt: skip
    elif isinstance(part, Citation):
        fields = {"type": "source", "url": part.url, "title": part.title}
    return {name: value for name, value in fields.items() if value is not None}
