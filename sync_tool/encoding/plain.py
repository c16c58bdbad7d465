"""Fast encoding and decoding of plain documents.

Almost every document that is read is *plain*: it holds no int64, bytes or special float, which JSON writes with tags.
Then what msgspec decodes, every number taken for a float, already is the Convex value, and what it encodes with
sorted keys is the canonical line. Other lines take `sync_tool.encoding.canonical`, which is exact for all values and
ten times slower.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import msgspec

from sync_tool.encoding.values import Value

Document = dict[str, Value]

_NESTING: Final = 9
"""Levels below the row that the decoder knows; LangChain's messages have up to seven."""
_TAG: Final = re.compile(rb'\{\s*"\$')
_ESCAPED_DOLLAR: Final = b"\\u0024"
_NEGATIVE_ZERO: Final = re.compile(rb"-(?<=[:,\[\s]-)(?:0(?:\.0*)?(?:[eE][-+]?\d+)?[\s,}\]]|[\d.]+[eE]-\d{3})")
"""-0, also where a number is so small that it becomes that. It begins with one certain byte to be quick."""
_encoder = msgspec.json.Encoder(order="sorted")


def dumps_plain(value: Value) -> bytes:
    """Return the canonical bytes of a plain value, without a newline."""
    return _encoder.encode(value)


def dumps_plain_lines(values: Sequence[Value]) -> bytes:
    """Return the canonical lines of plain values, each with its newline."""
    return _encoder.encode_lines(values)


def spells_plain(block: bytes) -> bool:
    """Return whether JSON texts hold neither a tag nor -0; a few that hold none are refused too."""
    if b"$" in block and _TAG.search(block):  # one byte is found twenty times as fast as two
        return False
    if b"\\" in block and _ESCAPED_DOLLAR in block:
        return False
    return not _NEGATIVE_ZERO.search(block)


def plain_lines(block: bytes) -> list[Document] | None:
    """Return the documents in lines, each of which ends with a newline; None unless all are plain objects."""
    if not spells_plain(block):
        return None
    try:
        values: list[Document] = _decode_lines()(block)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return values if len(values) == block.count(b"\n") else None  # or there are empty lines


def plain_texts(texts: Sequence[bytes]) -> list[Document] | None:
    """Return the documents in JSON texts; None unless all are plain objects on one line."""
    values = plain_lines(b"\n".join([*texts, b""]))
    return values if values is not None and len(values) == len(texts) else None


def plain_type(levels: int = _NESTING) -> Any:
    """Return the type, for decoders of msgspec, that plain values have: every number is a float, as in Convex.

    Args:
        levels: how deep arrays and objects are nested. Each one more doubles the time to make a decoder.
    """
    value: Any = bool | float | str | None
    for _ in range(levels):
        value = bool | float | str | list[value] | dict[str, value] | None
    return value


@cache
def _decode_lines() -> Callable[[bytes], Any]:
    document: Any = dict
    return msgspec.json.Decoder(document[str, plain_type()]).decode_lines
