"""How large Convex counts a value, and the limits it holds values to.

Sources: get-convex/convex-backend, ``crates/value/src/size.rs``, ``object.rs``, ``array.rs`` and
``crates/common/src/document.rs``.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

from sync_tool.encoding.values import Value

MAX_DOCUMENT_BYTES: Final = 1 << 20
MAX_DOCUMENT_NESTING: Final = 16
MAX_OBJECT_FIELDS: Final = 1024
MAX_ARRAY_ITEMS: Final = 8192
MAX_FIELD_NAME_BYTES: Final = 1024


class Measured(NamedTuple):
    """Result of `measure`."""

    size: int
    """Bytes that Convex counts."""
    nesting: int
    """0 for a value that holds no others, 1 for a flat list or object."""
    plain: bool
    """True if JSON writes it without tags (`sync_tool.encoding.plain`)."""


def measure(value: Value) -> Measured:
    """Measure a value in one pass, one level after the other: calling itself would take three times as long."""
    size, nesting, plain = -2, -1, True
    level: list[Any] = [[value]]
    while level:
        nesting += 1
        below: list[Any] = []
        for holder in level:
            size += 2
            if not holder:  # every message has several of these
                continue
            items = holder
            if type(holder) is dict:
                names = "".join(holder)
                size += (len(names) if names.isascii() else len(names.encode())) + len(holder)
                items = holder.values()
            for item in items:
                kind = type(item)
                if kind is str:  # nearly all there is
                    size += (len(item) if item.isascii() else len(item.encode())) + 2
                elif kind is dict or kind is list:
                    below.append(item)
                else:
                    added, as_it_is = _measure_one(item)
                    size += added
                    plain = plain and as_it_is
        level = below
    return Measured(size, nesting, plain)


def size_of(value: Value) -> int:
    """Return the bytes Convex counts for `value` (a whole document with its system fields, or any part)."""
    if type(value) is str and value.isascii():
        return len(value) + 2
    return measure(value).size


def _measure_one(value: Value) -> tuple[int, bool]:
    """Return the size of a value that holds no others, and whether it is plain."""
    kind = type(value)
    if kind is float:
        return 9, math.isfinite(value) and (value != 0.0 or math.copysign(1.0, value) > 0)
    if kind is int:
        return 9, False
    if kind is bytes:
        return len(value) + 2, False
    return 1, value is None or kind is bool
