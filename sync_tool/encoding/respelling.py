"""Rows as a deployment spells them, made canonical; the ones that are so already are only looked at."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from sync_tool.encoding.canonical import dumps, loads

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder(order="sorted").encode
_BARE_INTEGER: Final = re.compile(rb"[:\[,]-?\d+[,\]}]")
"""Also matches in text, which only costs time."""


def canonical(raw: bytes) -> bytes:
    """Return the canonical bytes of a row in any spelling of ``convex_encoded_json``.

    Sorting, spaces and the spelling of text and numbers show in a plain parse and write. A bare integer is a
    float64 that lacks its point, and ``$float`` may hold a number that needs no tag: neither shows there.

    Raises:
        ValueError: as `loads`.
    """
    if b'"$float"' not in raw and not _BARE_INTEGER.search(raw) and _encode(_decode(raw)) == raw:
        return raw
    return dumps(loads(raw))
