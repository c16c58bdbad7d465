"""Many canonical lines at once, without a Python object being looked at one by one.

Almost every line that is read was written by Convex or by this tool: it is canonical, and holds no int64, bytes
or special float. msgspec can prove that of a whole block: what it decodes, encoded again with sorted keys, must be
the very same bytes. Then no key stood twice, no number was spelled another way, and the decoded JSON *is* the value.
Whoever gets None looks at the lines one by one (`sync_tool.encoding.canonical`), which is ten times slower.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import msgspec

from sync_tool.encoding.values import Value

_NESTING: Final = 9
"""Levels below the row that the decoder knows; LangChain's messages have up to seven."""
_TAG: Final = b'{"$'
_NEGATIVE_ZERO: Final = b"-0.0"

_encoder = msgspec.json.Encoder(order="sorted")


def dumps_plain(value: Value) -> bytes:
    """Return the canonical bytes of a value that `plain_lines` returned, or of a part of it."""
    return _encoder.encode(value)


def plain_lines(block: bytes) -> list[dict[str, Value]] | None:
    """Return the values of lines (each with its newline) if all are canonical objects without tags; else None."""
    if _TAG in block or _NEGATIVE_ZERO in block:
        return None
    try:
        values: list[dict[str, Value]] = _decode_lines()(block)
        return values if _encoder.encode_lines(values) == block else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


@cache
def _decode_lines() -> Callable[[bytes], Any]:
    """Return a decoder that makes every number a float, as Convex does, and knows no deeper nesting."""
    value: Any = bool | float | str | None
    for _ in range(_NESTING):
        value = bool | float | str | list[value] | dict[str, value] | None
    return msgspec.json.Decoder(dict[str, value]).decode_lines
