"""What is inside LangChain's stored message, for those who show or search it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def text_of(message: Mapping[str, Any]) -> str | None:
    """Return the text of a stored message: its content, or the text blocks of list content, one a line.

    None where there is no content, or content of another kind.
    """
    data = message.get("data")
    if not isinstance(data, dict):
        return None
    content = data.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return text_of_blocks(content)
    return None


def text_of_blocks(blocks: list[Any]) -> str:
    """Join the text of list content: plain strings and blocks ``{"type": "text", "text": …}``."""
    texts = []
    for block in blocks:
        if isinstance(block, str):
            texts.append(block)
        elif isinstance(block, dict) and block.get("type") == "text" and isinstance(block.get("text"), str):
            texts.append(block["text"])
    return "\n".join(texts)
