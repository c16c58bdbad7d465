"""Arrow arrays made of Python lists, straight in their memory layout.

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


def _strings(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if values.count(None) == len(values):
        return pa.nulls(len(values), kind)
    validity = _validity(values)
    texts = ["" if value is None else value for value in values] if validity else values
    data = "".join(texts).encode()
    lengths = map(len, texts) if data.isascii() else (len(text.encode()) for text in texts)
    buffers = [validity, pa.py_buffer(array("i", accumulate(lengths, initial=0))), pa.py_buffer(data)]
    return pa.Array.from_buffers(kind, len(values), buffers)


def _validity(values: Sequence[Any]) -> pa.Buffer | None:
    """Return the bitmap of what is not null, first value in the lowest bit; None where nothing is null."""
    nothing = values.count(None)
    if not nothing:
        return None
    there = pa.py_buffer(bytes([value is not None for value in values]))
    return pa.Array.from_buffers(pa.uint8(), len(values), [None, there]).cast(pa.bool_()).buffers()[1]
