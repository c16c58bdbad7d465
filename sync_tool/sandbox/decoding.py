"""Reads argument JSON as strictly as a deployment does, in one walk.

`sync_tool.encoding.values.decode` is lenient where a file may be; a server must not be: it refuses field
names that Convex has none of, ordinary numbers in a ``$float``, and arrays and objects beyond the limits.
Source: get-convex/convex-backend, ``crates/value/src/json/mod.rs``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final

from sync_tool.encoding import sizes
from sync_tool.encoding.values import Json, Value, decode
from sync_tool.sandbox.limits import MAX_VALUE_NESTING

_FIELD_NAME: Final = re.compile(r"(?!\$)[ -~]*")
_MOST_REMEMBERED: Final = 10_000
_good_names: set[str] = set()
"""Names that were found to be field names: the same few come again with every document."""
_AS_THEY_ARE: Final = frozenset((str, float, bool, type(None)))
"""What JSON's values are decoded to as they stand."""
_TAGS: Final = ("$bytes", "$integer", "$float")


def _number(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        raise ValueError("Arbitrary precision JSON integers unsupported") from None


def decode_strictly(json: Json, depth: int = 0, on_int: Callable[[int], Value] = _number) -> Value:
    """Return the Convex value that ``convex_encoded_json`` spells, or another spelling if bare integers differ.

    Raises:
        ValueError: it spells none; the text is the backend's.
    """
    kind = type(json)
    if kind in _AS_THEY_ARE:
        return json
    if kind is int:
        return on_int(json)
    if depth >= MAX_VALUE_NESTING:
        raise ValueError(f"Value is too nested (more than maximum nesting {MAX_VALUE_NESTING})")
    if kind is list:
        if len(json) > sizes.MAX_ARRAY_ITEMS:
            limit = sizes.MAX_ARRAY_ITEMS
            raise ValueError(f"Array length is too long ({len(json)} > maximum length {limit})")
        return [decode_strictly(item, depth + 1, on_int) for item in json]
    if len(json) == 1 and next(iter(json)) in _TAGS:
        return _tagged(json)
    return _object(json, depth, on_int)


def _object(json: dict[str, Json], depth: int, on_int: Callable[[int], Value]) -> dict[str, Value]:
    if len(json) > sizes.MAX_OBJECT_FIELDS:
        limit = sizes.MAX_OBJECT_FIELDS
        raise ValueError(f"Object has too many fields ({len(json)} > maximum number {limit})")
    if not json.keys() <= _good_names:
        _check_names(json)
    values = json.copy()
    for name, item in json.items():
        if type(item) not in _AS_THEY_ARE:
            values[name] = decode_strictly(item, depth + 1, on_int)
    return values


def _check_names(json: dict[str, Json]) -> None:
    for name in json:
        if _FIELD_NAME.fullmatch(name) is None:
            raise ValueError(_name_fault(name))
        if len(name) > sizes.MAX_FIELD_NAME_BYTES:
            limit = sizes.MAX_FIELD_NAME_BYTES
            raise ValueError(f"Field name is too long ({len(name)} > maximum {limit})")
        if len(_good_names) < _MOST_REMEMBERED:
            _good_names.add(name)


def _name_fault(name: str) -> str:
    if name.startswith("$"):
        return f"Field name {name} starts with '$', which is reserved."
    return f"Field name {name} has invalid character: Field names can only contain non-control ASCII characters"


def _tagged(json: dict[str, Json]) -> Value:
    value = decode(json)
    if "$float" in json and value != 0.0 and math.isfinite(value):
        raise ValueError(f"Float64 {value!r} should be encoded as a number")
    return value
