"""Index keys and ranges of them, as bytes.

An index key is the concatenation of the order-preserving bytes of the indexed values, `_creationTime` and
`_id` (`sync_tool.encoding.order`), so every range of any index is one half-open range of bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from sync_tool.encoding.order import MISSING, sort_key
from sync_tool.encoding.values import Value

_LAST: Final = b"\xff"
"""Sorts after every continuation of a key: the first byte of a value's key is at most 9."""


CATALOG: Final = -1
"""Number of an index that does not exist, whose keys are the names of tables: for who reads which there are."""

IMPORTS: Final = -2
"""The same for snapshot imports; their ids are the keys."""

EVERYTHING: Final = -3
"""Stands, among what a commit touched, for all keys of all indexes."""


class Interval(NamedTuple):
    """All keys of one index with ``start <= key < stop``."""

    number: int
    """Number of the index in the store."""
    start: bytes
    stop: bytes

    def holds(self, number: int, key: bytes) -> bool:
        """Whether a key of an index lies inside."""
        return number == EVERYTHING or (number == self.number and self.start <= key < self.stop)


def key_of(values: Sequence[Value]) -> bytes:
    """Return the key, or the prefix of one, that these values make; `MISSING` stands for no value."""
    return b"".join(map(sort_key, values))


def field_of(document: dict[str, Value], path: str) -> Value:
    """Return the value at a dotted field path, or `MISSING`."""
    if "." not in path:
        return document.get(path, MISSING)
    value: Value = document
    for name in path.split("."):
        if type(value) is not dict or name not in value:
            return MISSING
        value = value[name]
    return value


class Bound(NamedTuple):
    """One end of a range: a prefix of index keys, and whether keys that begin with it belong to the range."""

    values: tuple[Value, ...]
    inclusive: bool


def interval(index: int, lower: Bound | None, upper: Bound | None) -> Interval:
    """Return the range between two bounds; None leaves an end open."""
    start = b"" if lower is None else key_of(lower.values) + (b"" if lower.inclusive else _LAST)
    stop = _LAST if upper is None else key_of(upper.values) + (_LAST if upper.inclusive else b"")
    return Interval(index, start, max(start, stop))


def equal_to(index: int, values: Sequence[Value]) -> Interval:
    """Return the range of keys that begin with these values."""
    prefix = key_of(values)
    return Interval(index, prefix, prefix + _LAST)


def after(key: bytes) -> bytes:
    """Return the first possible key after `key`."""
    return key + b"\x00"
