"""Results of functions in the formats of clients; HTTP and WebSocket share them.

A stored document in a result is a `Row`: its bytes are copied into ``convex_encoded_json`` answers unchanged, which
makes large pages cheap. Source of the formats: get-convex/convex-backend, ``crates/value/src/export.rs``.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Final

import msgspec

from sync_tool.encoding import sizes
from sync_tool.encoding.values import Json, Value, encode, encode_clean, encode_export
from sync_tool.sandbox.database.documents import Row
from sync_tool.sandbox.faults import FunctionError, bad_request
from sync_tool.sandbox.limits import binary_size

Walk = Callable[[Value], Json]

ENCODED: Final = "convex_encoded_json"
CLEAN: Final = "json"

_FORMATS: Final[dict[str, Walk]] = {
    ENCODED: encode,
    "convex_json": encode,
    CLEAN: encode_clean,
    "convex_clean_json": encode_clean,
    "export_json": encode_export,
}

_size: Final = attrgetter("size")
_body: Final = attrgetter("body")

_encoder = msgspec.json.Encoder(order="sorted")


def check_format(name: str) -> None:
    """Raise ServerError 400 for an unknown format."""
    if name not in _FORMATS:
        raise bad_request("BadFormat", f"{name} is not a valid format. Valid formats are: json")


def encode_result(value: Value, format_name: str) -> bytes:
    """Return a result as JSON text."""
    check_format(format_name)
    walk = _FORMATS[format_name]
    return _encoder.encode(_with_raw_rows(value) if walk is encode else _convert(value, walk))


def to_json_bytes(json: Json) -> bytes:
    """Encode JSON."""
    return _encoder.encode(json)


def check_result(value: Value, path: str, limit: int) -> None:
    """Raise FunctionError if a result exceeds the limits of a return value."""
    try:
        size = _measure(value)
    except ValueError as error:
        raise FunctionError(f"Function {path} return value invalid: {error}") from None
    if size > limit:
        actual = f"(actual: {binary_size(size)}, limit: {binary_size(limit)})"
        raise FunctionError(f"Function {path} return value is too large {actual}")


def _all_rows(values: list[Value]) -> bool:
    return {*map(type, values)} == {Row}


def _with_raw_rows(value: Value) -> Json:
    kind = type(value)
    if kind is Row:
        return msgspec.Raw(value.body)
    if kind is list:
        return list(map(msgspec.Raw, map(_body, value)) if _all_rows(value) else map(_with_raw_rows, value))
    if kind is dict:
        return {name: _with_raw_rows(item) for name, item in value.items()}
    return encode(value)


def _convert(value: Value, walk: Walk) -> Json:
    kind = type(value)
    if kind is Row:
        return walk(value.document)
    if kind is list:
        return [_convert(item, walk) for item in value]
    if kind is dict:
        return {name: _convert(item, walk) for name, item in value.items()}
    return walk(value)


def _measure(value: Value) -> int:
    kind = type(value)
    if kind is Row:
        return int(value.size)
    if kind is list:
        if len(value) > sizes.MAX_ARRAY_ITEMS:
            limit = sizes.MAX_ARRAY_ITEMS
            raise ValueError(f"Array length is too long ({len(value)} > maximum length {limit})")
        return 2 + sum(map(_size if _all_rows(value) else _measure, value))
    if kind is dict:
        return 2 + sum(len(name) + 1 + _measure(item) for name, item in value.items())
    return sizes.size_of(value)
