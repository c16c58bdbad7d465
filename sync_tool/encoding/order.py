"""The order in which a Convex index keeps values, as bytes that compare the same way.

missing < null < int64 < float64 < boolean < string < bytes < array < object
(get-convex/convex-backend, ``crates/value/src/sorting.rs``; strings compare by their UTF-8 bytes,
which is why neither Python's nor JavaScript's own string order will do).
"""

from __future__ import annotations

import struct
from typing import Final

from sync_tool.encoding.values import Value

_END: Final = b"\x00"


class Missing:
    """The type of `MISSING`."""

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"  # one object in every process


MISSING: Final = Missing()
"""Stands for a field that a document does not have; sorts before null."""


def sort_key(value: Value) -> bytes:
    """Return bytes whose order is the index order of `value` (or of `MISSING`); no key is a prefix of another one.

    Raises:
        ValueError: not a Convex value.
    """
    kind = type(value)
    if kind is str:
        return b"\x06" + _terminated(value.encode("utf-8"))
    if value is MISSING:
        return b"\x01"
    if value is None:
        return b"\x02"
    if kind is int:
        return b"\x03" + struct.pack(">Q", value + 2**63)
    if kind is float:
        return b"\x04" + _float_key(value)
    if kind is bool:
        return b"\x05" + (b"\x01" if value else b"\x00")
    if kind is bytes:
        return b"\x07" + _terminated(value)
    if kind is list:
        return b"\x08" + b"".join(map(sort_key, value)) + _END
    if kind is dict:
        fields = sorted(value.items(), key=lambda field: field[0].encode())
        return b"\x09" + b"".join(_field_key(name, item) for name, item in fields) + _END
    raise ValueError(f"{kind.__name__} is not a Convex value")


def same_value(left: Value, right: Value) -> bool:
    """Return whether an index treats two values as equal: NaN is itself, 0.0 is not -0.0, 1 is not True."""
    if type(left) is str and type(right) is str:
        return left == right
    return sort_key(left) == sort_key(right)


def _field_key(name: str, item: Value) -> bytes:
    return b"\x06" + _terminated(name.encode()) + sort_key(item)


def _terminated(data: bytes) -> bytes:
    """Escape zero bytes so that the terminator sorts before every longer string."""
    return data.replace(b"\x00", b"\x00\xff") + _END


def _float_key(number: float) -> bytes:
    """IEEE total order: flip all bits of negatives, the sign bit of the others."""
    (bits,) = struct.unpack(">Q", struct.pack(">d", number))
    return struct.pack(">Q", bits ^ 0xFFFFFFFFFFFFFFFF if bits >> 63 else bits | 1 << 63)
