"""How large Convex counts a value, and the limits it holds values to.

Sources: get-convex/convex-backend, ``crates/value/src/size.rs``, ``object.rs``, ``array.rs`` and
``crates/common/src/document.rs``.
"""

from __future__ import annotations

from typing import Final

from sync_tool.encoding.values import Value

MAX_DOCUMENT_BYTES: Final = 1 << 20
MAX_DOCUMENT_NESTING: Final = 16
MAX_OBJECT_FIELDS: Final = 1024
MAX_ARRAY_ITEMS: Final = 8192
MAX_FIELD_NAME_BYTES: Final = 1024


def size_of(value: Value) -> int:
    """Return the bytes Convex counts for `value` (a whole document with its system fields, or any part)."""
    kind = type(value)
    if kind is dict:
        return _size_of_object(value)
    if kind is str:
        return (len(value) if value.isascii() else len(value.encode())) + 2
    if kind is float or kind is int:
        return 9
    if kind is list:
        size = 2
        for item in value:
            size += size_of(item)
        return size
    if kind is bytes:
        return len(value) + 2
    return 1


def _size_of_object(fields: dict[str, Value]) -> int:
    """Return the size of an object; sums of generators take twice as long."""
    size = 2
    for key, item in fields.items():
        size += (len(key) if key.isascii() else len(key.encode())) + 1
        if type(item) is str and item.isascii():  # nearly all there is
            size += len(item) + 2
        else:
            size += size_of(item)
    return size
