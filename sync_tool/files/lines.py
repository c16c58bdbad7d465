"""The lines of a JSONL file as records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

from sync_tool.records import Record
from sync_tool.schema.rules import Fault

MAX_LINE_BYTES: Final = 16 << 20
"""A longer line is not held in memory. A document of 1 MiB is far shorter in any spelling."""
_CHUNK: Final = 1 << 20
_SPACE: Final = b" \t\r\n"
_BOM: Final = b"\xef\xbb\xbf"


def read_lines(stream: BinaryIO, *, begins: bool = True) -> Iterator[Record]:
    """Yield the lines of a JSONL stream that are not empty; one that is too long is passed over, not held.

    Args:
        stream: the lines.
        begins: whether they are the first of their file.
    """
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            yield too_long(number, len(line) + pass_over(stream))
        elif begins and number == 1 and line.startswith(_BOM):
            rest = line.removeprefix(_BOM).strip(_SPACE)
            yield Record(number, rest, Fault("byte-order-mark", "$"))
        elif text := line.strip(_SPACE):
            yield Record(number, text)


def too_long(number: int, length: int) -> Record:
    """Return what stands for a line of so many bytes that was passed over."""
    return Record(number, b"", Fault("line-too-long", "$", f"{length:,} bytes"))


def pass_over(stream: BinaryIO) -> int:
    """Read to the end of the line; return how many bytes that were."""
    length = 0
    while part := stream.readline(_CHUNK):
        length += len(part)
        if part.endswith(b"\n"):
            break
    return length
