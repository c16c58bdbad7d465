"""Blocks of list content as parts: those of OpenAI, Anthropic, Google, Bedrock and LangChain's standard ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from sync_tool.messages.parts import Block, Citation, Content, Data, Media, Part, Reasoning, Text, ToolCall, ToolResult
from sync_tool.text import text_of_block

_KINDS: Final[dict[str, Literal["image", "audio", "video", "file"]]] = {
    "image": "image", "image_url": "image", "image_file": "image", "input_image": "image",
    "audio": "audio", "input_audio": "audio",
    "video": "video", "video_url": "video",
    "file": "file", "input_file": "file", "document": "file", "text-plain": "file",
    "media": "file", "inlineData": "file", "inline_data": "file", "fileData": "file", "file_data": "file",
}  # fmt: skip
_INNER: Final = ("source", "image_url", "image_file", "input_audio", "video_url", "file",
                 "inlineData", "inline_data", "fileData", "file_data")  # fmt: skip
"""Fields of a block that may hold the fields of its medium."""
_URLS: Final = ("url", "image_url", "file_url", "fileUri", "file_uri")
_DATA: Final = ("base64", "data", "file_data")
_MEDIA_TYPES: Final = ("media_type", "mime_type", "mimeType")
_NAMES: Final = ("filename", "name", "title")
_GOOGLE_KEYS: Final = ("inlineData", "inline_data", "fileData", "file_data", "functionCall", "function_call")
"""Google's own parts name their kind by their only key."""


def parts_of(content: Any) -> list[Part]:
    """Return the parts of a message's content, whatever it is."""
    if isinstance(content, str):
        return [Text(content)] if content else []
    if content is None:
        return []
    return list(map(part_of, content if isinstance(content, list) else [content]))


def part_of(block: Any) -> Part:
    """Return one item of list content; what no provider writes becomes data."""
    if not isinstance(block, dict):
        return Text(block) if isinstance(block, str) else Data("", block)
    text = text_of_block(block)
    if text is not None:
        return Text(text, block)
    kind = block.get("type", next((key for key in _GOOGLE_KEYS if key in block), ""))
    if not isinstance(kind, str):
        return Data("", block)
    read = _READERS.get(kind)
    return (read(block, kind) if read else None) or Data(kind, block)


def content_of(content: Any) -> tuple[Content, ...]:
    """Return the parts of a tool's result, in which there are no calls and no further results."""
    return tuple(
        Data(_type_of(part.block), part.block) if isinstance(part, ToolCall | ToolResult) else part
        for part in parts_of(content)
    )


def arguments_of(arguments: Any) -> Any:
    """Return the arguments of a call as an object if they are one, or JSON of one; else as they are."""
    if not isinstance(arguments, str):
        return arguments
    try:
        found = values_of(msgspec.json.decode(arguments or "{}"))
    except (ValueError, RecursionError):
        return arguments
    return found if isinstance(found, dict) else arguments


def values_of(json: Any) -> Any:
    """Return JSON as Convex values: all its numbers are Float64, as JavaScript's are.

    Raises:
        ValueError: a number is too large for that.
    """
    if type(json) is int:
        try:
            return float(json)
        except OverflowError:
            raise ValueError("a number is too large for a float64") from None
    if isinstance(json, dict):
        return {key: values_of(item) for key, item in json.items()}
    return [values_of(item) for item in json] if isinstance(json, list) else json


def text_or_none(value: Any) -> str | None:
    """Return a string; None for anything else."""
    return value if isinstance(value, str) else None


def _type_of(block: Any) -> str:
    kind = block.get("type") if isinstance(block, dict) else None
    return kind if isinstance(kind, str) else ""


def _reasoning(block: Block, kind: str) -> Part | None:
    inner = block.get(kind)
    inner = inner.get("text") if isinstance(inner, dict) else inner
    summary = block.get("summary")
    if not isinstance(inner, str) and isinstance(summary, list):
        inner = "\n".join(
            part["text"] for part in summary if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    return Reasoning(inner if isinstance(inner, str) else "", block)


def _tool_call(block: Block, _: str) -> Part | None:
    inner = next((block[key] for key in ("functionCall", "function_call") if isinstance(block.get(key), dict)), block)
    given: Any = next((inner[key] for key in ("args", "input", "arguments") if key in inner), {})
    call_id = text_or_none(inner.get("call_id")) or text_or_none(inner.get("id"))
    name = inner.get("name")
    return ToolCall(call_id, name, arguments_of(given), block=block) if isinstance(name, str) else None


def _tool_result(block: Block, _: str) -> Part | None:
    call_id = text_or_none(block.get("tool_use_id")) or text_or_none(block.get("tool_call_id"))
    failed = block.get("is_error") is True or block.get("status") == "error"
    return ToolResult(call_id, content_of(block.get("content", block.get("output"))), failed=failed, block=block)


def _source(block: Block, _: str) -> Part | None:
    return Citation(text_or_none(block.get("url")), text_or_none(block.get("title")), block)


def _media(block: Block, kind: str) -> Part | None:
    places = [block, *(inner for name in _INNER if isinstance(inner := block.get(name), dict))]
    url, data = _first(places, _URLS), _first(places, _DATA)
    file_id = _first(places, ("file_id", "fileId"))
    if file_id is None and block.get("source_type") == "id":
        file_id = text_or_none(block.get("id"))
    media_type = _first(places, _MEDIA_TYPES)
    media = _KINDS[kind]
    sound = _first(places, ("format",)) if media == "audio" else None
    if sound is not None:
        media_type = media_type or f"audio/{sound}"
    for given in (url, data):
        if given is not None and given.startswith("data:") and ";base64," in given:
            head, _, data = given.partition(";base64,")
            url, media_type = None, media_type or head.removeprefix("data:") or None
    if url is data is file_id is None:
        return None
    if media == "file" and media_type is not None:
        media = _KINDS.get(media_type.partition("/")[0], media)
    return Media(media, url, data, file_id, media_type, _first(places, _NAMES), block)


def _first(places: list[Block], names: tuple[str, ...]) -> str | None:
    return next((place[name] for place in places for name in names if isinstance(place.get(name), str)), None)


_READERS: Final[dict[str, Callable[[Block, str], Part | None]]] = {
    **dict.fromkeys(_KINDS, _media),
    **dict.fromkeys(("reasoning", "thinking", "redacted_thinking", "reasoning_content"), _reasoning),
    **dict.fromkeys(("tool_use", "tool_call", "function_call", "functionCall"), _tool_call),
    **dict.fromkeys(("tool_result", "function_call_output"), _tool_result),
    **dict.fromkeys(("source", "citation"), _source),
}
"""The function that reads each type of block; None from one that cannot."""
