"""Text for people: hostile characters made harmless; times, numbers and sizes in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

_BIDI: Final = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_HOSTILE = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff{_BIDI}\ud800-\udfff]")
_HOSTILE_IN_TEXT = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_BIDI}\ufeff\ud800-\udfff]")
_HOSTILE_IN_JSON = re.compile(f"[\x7f-\x9f\u2028\u2029\ufeff{_BIDI}]")


def one_line(text: str) -> str:
    """Return `text` on one line, with control characters, line ends and direction marks as escapes."""
    return _HOSTILE.sub(_escaped, text)


def harmless(text: str) -> str:
    """Return `text` with control characters and direction marks as escapes; line ends and tabs stay."""
    return _HOSTILE_IN_TEXT.sub(_escaped, text.replace("\r\n", "\n"))


def harmless_json(text: str) -> str:
    """Return equal JSON text with escapes for the characters that control terminals."""
    return _HOSTILE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def shortened(text: str, width: int) -> str:
    """Return `text` on one line of at most `width` terminal columns, cut with an ellipsis."""
    text = one_line(" ".join(text.split()))
    if columns(text) <= width:
        return text
    kept = text[: width - 2]
    while columns(kept) > width - 2:
        kept = kept[:-1]
    return kept.rstrip() + " …"


def columns(text: str) -> int:
    """Return how many terminal columns `text` takes: wide letters two, combining marks none."""
    from wcwidth import wcswidth  # a fifth of the time of `--help` otherwise

    return max(0, wcswidth(text))


def padded(text: str, width: int) -> str:
    """Return `text` filled with spaces to `width` terminal columns."""
    return text + " " * max(0, width - columns(text))


def size(count: float) -> str:
    """Return a number of bytes: ``61 KB``, ``3.1 GB`` (powers of 1,000)."""
    if count < 1000:
        return f"{count:.0f} bytes"
    for unit in ("KB", "MB", "GB", "TB"):
        count /= 1000
        if count < 999.5 or unit == "TB":
            break
    return f"{count:.1f} {unit}" if count < 9.95 else f"{count:.0f} {unit}"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 session``, ``3,018 sessions``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def duration(seconds: float) -> str:
    """Return a duration: ``0.9 s``, ``41 s``, ``2 min 11 s``, ``1 h 5 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


YEAR_10000_MS: Final = 253_402_300_800_000.0
"""The first millisecond that no datetime has, and that makes Polars and pandas fail."""


def moment(milliseconds: float | None) -> datetime | None:
    """Return a ``_creationTime`` as a UTC datetime; None outside the years 1970 to 9999."""
    if milliseconds is None or not 0 <= milliseconds < YEAR_10000_MS:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] in "\n\t\r":
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}[match[0]]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


# The text of LangChain's stored messages; `sync_tool.messages.normal` reads the rest of them.

_TEXT_TYPES: Final = ("text", "input_text", "output_text")


def text_of(message: Mapping[str, Any]) -> str | None:
    """Return the text of a stored message: its content, or the text blocks of list content, one a line.

    None for a message without content, or with content of another kind.
    """
    data = message.get("data")
    content = data.get("content") if isinstance(data, dict) else None
    if isinstance(content, list):
        return text_of_blocks(content)
    return content if isinstance(content, str) else None


def text_of_blocks(blocks: list[Any]) -> str:
    """Join the text of list content: plain strings and text blocks."""
    return "\n".join(text for text in map(text_of_block, blocks) if text is not None)


def text_of_block(block: Any) -> str | None:
    """Return the text of one item of list content; None if it is no text.

    Google's and Bedrock's text blocks have no type, and those of OpenAI's Responses say which side they are from.
    """
    if isinstance(block, str):
        return block
    if not isinstance(block, dict) or block.get("type", "text") not in _TEXT_TYPES:
        return None
    text = block.get("text")
    return text if isinstance(text, str) else None
