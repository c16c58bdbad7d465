"""Convex values in Python, and the three JSON spellings that a deployment speaks.

Throughout this package a Convex value is a plain Python value:

=========  ==========================================
Convex     Python
=========  ==========================================
null       ``None``
boolean    ``bool``
int64      ``int`` (and an ``int`` is always an int64)
float64    ``float`` (also where it is integral: ``5.0``)
string     ``str``
bytes      ``bytes``
array      ``list``
object     ``dict`` with ``str`` keys
=========  ==========================================

The spellings (get-convex/convex-backend, ``crates/value/src/export.rs``):

- ``convex_encoded_json``: lossless, describes itself: ``{"$integer"}``, ``{"$bytes"}``, ``{"$float"}``.
- ``export_json``: bare integers are int64. ``data/sync`` and zips marked ``"uniform"`` use it.
- ``json``: for people. int64 and bytes become strings, so it cannot be read back.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Callable
from typing import Any, Final, TypeAlias

Value: TypeAlias = Any
"""A Convex value as described above. (A recursive union would make every caller cast.)"""

Json: TypeAlias = Any
"""Result of a JSON parser."""

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1


def encode(value: Value) -> Json:
    """Spell `value` as ``convex_encoded_json``; integral floats stay floats.

    Raises:
        ValueError: an ``int`` outside int64, or a type that no Convex value has.
    """
    return _walk(value, _encode_int, _tag_bytes, _tag_float)


def encode_export(value: Value) -> Json:
    """Spell `value` as ``export_json``: bare integers for int64."""
    return _walk(value, _checked_int, _tag_bytes, _tag_float)


def encode_clean(value: Value) -> Json:
    """Spell `value` as ``json``: int64 as decimal text, bytes as base64 text, NaN as ``"NaN"``. Lossy."""
    return _walk(value, str, _base64, _clean_float)


def decode(json: Json) -> Value:
    """Read ``convex_encoded_json``: every bare number is a float64, with or without a point.

    Raises:
        ValueError: an unknown ``$`` tag, a tag whose content is not what it says, or a number beyond float64.
    """
    return _unwalk(json, _float)


def decode_export(json: Json) -> Value:
    """Read ``export_json``: a bare integer literal is an int64, a literal with point or exponent a float64."""
    return _unwalk(json, _checked_int)


def _walk(
    value: Value,
    on_int: Callable[[int], Json],
    on_bytes: Callable[[bytes], Json],
    on_float: Callable[[float], Json],
) -> Json:
    """Rebuild `value` with integers, bytes and odd floats (NaN, infinities, -0) encoded by the callbacks."""
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if kind is float:
        plain = math.isfinite(value) and (value != 0.0 or math.copysign(1.0, value) > 0)
        return value if plain else on_float(value)
    if kind is dict:
        return {
            key: item if type(item) is str else _walk(item, on_int, on_bytes, on_float) for key, item in value.items()
        }
    if kind is list:
        return [_walk(item, on_int, on_bytes, on_float) for item in value]
    if kind is int:
        return on_int(value)
    if kind is bytes:
        return on_bytes(value)
    raise ValueError(f"{kind.__name__} is not a Convex value")


def _unwalk(json: Json, on_int: Callable[[int], Value]) -> Value:
    kind = type(json)
    if kind is str or json is None or kind is bool or kind is float:
        return json
    if kind is dict:
        if len(json) == 1:
            (key,) = json
            if key.startswith("$"):
                return _untag(key, json[key])
        return {key: item if type(item) is str else _unwalk(item, on_int) for key, item in json.items()}
    if kind is list:
        return [_unwalk(item, on_int) for item in json]
    if kind is int:
        return on_int(json)
    raise ValueError(f"{kind.__name__} does not come out of a JSON parser")


def _checked_int(number: int) -> int:
    if not INT64_MIN <= number <= INT64_MAX:
        raise ValueError(f"{number} does not fit into an int64")
    return number


def _encode_int(number: int) -> Json:
    return {"$integer": _base64(_checked_int(number).to_bytes(8, "little", signed=True))}


def _tag_bytes(data: bytes) -> Json:
    return {"$bytes": _base64(data)}


def _tag_float(number: float) -> Json:
    return {"$float": _base64(struct.pack("<d", number))}


def _float(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        raise ValueError("a number that is too large for a float64") from None


def _clean_float(number: float) -> Json:
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _untag(tag: str, content: Json) -> Value:
    if tag not in ("$integer", "$float", "$bytes"):
        raise ValueError(f"unknown tag {tag!r}: a Convex field name does not begin with '$'")
    if type(content) is not str:
        raise ValueError(f"{tag} needs a base64 string")
    try:
        data = base64.b64decode(content, validate=True)
    except binascii.Error as error:
        raise ValueError(f"{tag} needs a base64 string: {error}") from None
    if tag == "$bytes":
        return data
    if len(data) != 8:
        raise ValueError(f"{tag} needs 8 bytes, not {len(data)}")
    if tag == "$integer":
        return int.from_bytes(data, "little", signed=True)
    (number,) = struct.unpack("<d", data)
    return number
