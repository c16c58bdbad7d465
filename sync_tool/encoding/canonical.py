"""Canonical bytes: the one spelling of a row that JSONL files hold and digests are taken over.

``convex_encoded_json`` with sorted keys and no spaces. msgspec writes it because it spells doubles
as Convex does (``1e16``; orjson writes ``1e+16``): see ``tests/test_encoding.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from sync_tool.encoding.values import Json, Value, decode, decode_export, encode, encode_export

_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder()

_OTHER_FIELD = re.compile(rb":\s*(?:-?\d+\s*[,}]|-0)")
_OTHER_ITEM = re.compile(rb"[,\[]\s*(?:-?\d+\s*[,\]]|-0)")
"""They find what ``export_json`` may spell otherwise: int64 and -0, or text that looks like it."""


def dumps(value: Value) -> bytes:
    """Return the canonical bytes of a Convex value, without a newline.

    Raises:
        ValueError: `value` holds something that is not a Convex value.
    """
    try:
        return _encoder.encode(encode(value))
    except UnicodeEncodeError as error:
        raise ValueError(f"text is not valid Unicode: {error.reason}") from None


def dumps_export(value: Value) -> bytes:
    """Return a Convex value in ``export_json``, sorted and compact: int64 as bare integers.

    Raises:
        ValueError: `value` holds something that is not a Convex value.
    """
    try:
        return _encoder.encode(encode_export(value))
    except UnicodeEncodeError as error:
        raise ValueError(f"text is not valid Unicode: {error.reason}") from None


def loads(data: bytes | str) -> Value:
    """Read one JSON text in ``convex_encoded_json``, canonical or not.

    Raises:
        ValueError: not JSON (``msgspec.DecodeError`` is a ``ValueError``), not UTF-8, or a wrong ``$`` tag.
    """
    return _shallow(decode, data)


def loads_export(data: bytes | str) -> Value:
    """Read one JSON text in ``export_json``, where a bare integer is an int64.

    Raises:
        ValueError: as `loads`, or an integer beyond 64 bits.
    """
    return _shallow(decode_export, data)


def export_to_canonical(data: bytes) -> bytes:
    """Respell one JSON object from ``export_json`` in canonical ``convex_encoded_json``.

    Raises:
        ValueError: as `loads_export`.
    """
    if _spelled_otherwise(data):
        return dumps(loads_export(data))
    return _encoder.encode(_shallow(_as_it_is, data))


def canonical_to_export(data: bytes) -> bytes:
    """Respell canonical bytes in ``export_json``; they differ where there is an int64."""
    return dumps_export(loads(data)) if b'"$integer"' in data else data


def _spelled_otherwise(data: bytes) -> bool:
    if _OTHER_FIELD.search(data):  # quick, as it begins with one certain byte
        return True
    return data.count(b"[") != data.count(b"[]") and _OTHER_ITEM.search(data) is not None


def _as_it_is(json: Json) -> Json:
    return json


def _shallow(read: Callable[[Json], Value], data: bytes | str) -> Value:
    """Read JSON that is not nested deeper than Python can follow (Convex nests 16 deep at most)."""
    try:
        return read(_decoder.decode(data))
    except RecursionError:
        raise ValueError("nested too deeply") from None


# Rows as a deployment spells them, made canonical; the ones that are so already are only looked at.

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
