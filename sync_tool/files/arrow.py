"""Arrow arrays made of Python lists, straight from their memory layout.

``pyarrow.array`` would do, but wherever pandas is installed it imports it, to ask whether a list is one
of its series: 55 MB and half a second, in a tool that promises to stay small. Layout:
https://arrow.apache.org/docs/format/Columnar.html
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import pyarrow as pa


def array_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return an Arrow array of strings (``str``), doubles (``float``) or 64-bit integers (``int``), with nulls."""
    if pa.types.is_string(kind):
        return _strings(values, kind)
    code = "d" if pa.types.is_floating(kind) else "q"
    numbers = array(code, [0 if value is None else value for value in values])
    return pa.Array.from_buffers(kind, len(values), [_validity(values), pa.py_buffer(numbers)])


def _strings(values: Sequence[str | None], kind: pa.DataType) -> pa.Array:
    texts = [b"" if value is None else value.encode() for value in values]
    offsets = array("i", [0, *accumulate(map(len, texts))])
    buffers = [_validity(values), pa.py_buffer(offsets), pa.py_buffer(b"".join(texts))]
    return pa.Array.from_buffers(kind, len(values), buffers)


def _validity(values: Sequence[Any]) -> pa.Buffer | None:
    """Return the bitmap of what is not null, first value in the lowest bit; None where nothing is null."""
    if None not in values:
        return None
    bits = bytearray((len(values) + 7) // 8)
    for place, value in enumerate(values):
        if value is not None:
            bits[place >> 3] |= 1 << (place & 7)
    return pa.py_buffer(bytes(bits))
