"""Arrow arrays made of Python lists and back, straight from their memory layout.

``pyarrow.array`` would do, but wherever pandas is installed it imports it, to ask whether a list is one
of its series: 55 MB and half a second, in a tool that promises to stay small; and ``to_pylist`` makes an Arrow
scalar of every value on its way. Layout:
https://arrow.apache.org/docs/format/Columnar.html
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate, pairwise
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


def list_of(column: pa.Array) -> list[Any]:
    """Return the values of a column; None where it is null.

    Raises:
        ValueError: text that is not UTF-8.
    """
    if column.null_count == len(column):
        return [None] * len(column)
    if not pa.types.is_string(column.type):
        return _numbers(column)
    _, offsets, data = column.buffers()
    ends = memoryview(offsets).cast("i")[column.offset : column.offset + len(column) + 1].tolist()
    texts = _cut(bytes(memoryview(data)[ends[0] : ends[-1]]) if data is not None else b"", ends)
    if column.null_count:
        there = memoryview(column.is_valid().cast(pa.uint8()).buffers()[1])
        texts = [text if valid else None for text, valid in zip(texts, there, strict=True)]
    return texts


def _cut(data: bytes, ends: list[int]) -> list[Any]:
    """Cut bytes into texts; where all is ASCII, bytes and characters are counted alike."""
    first = ends[0]
    if data.isascii():
        text = data.decode("ascii")
        return [text[start - first : end - first] for start, end in pairwise(ends)]
    return [data[start - first : end - first].decode() for start, end in pairwise(ends)]


def _numbers(column: pa.Array) -> list[Any]:
    if column.null_count or not pa.types.is_float64(column.type):
        return list(column.to_pylist())
    values: memoryview[Any] = memoryview(column.buffers()[1]).cast("d")
    return list(values[column.offset : column.offset + len(column)])


def _validity(values: Sequence[Any]) -> pa.Buffer | None:
    """Return the bitmap of what is not null, first value in the lowest bit; None where nothing is null."""
    nothing = values.count(None)
    if not nothing:
        return None
    bits = bytearray((len(values) + 7) // 8)
    for place, value in enumerate(values):
        if value is not None:
            bits[place >> 3] |= 1 << (place & 7)
    return pa.py_buffer(bytes(bits))
