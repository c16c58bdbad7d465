"""The lines of a file, very many at a time, for one process or several."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

from sync_tool.errors import Damaged
from sync_tool.files.bytes import open_input
from sync_tool.files.jsonl import MAX_LINE_BYTES, pass_over

LineBytes = bytes | int
"""LineBytes, each with its newline; or how many bytes a line has that is too long to be held."""

_READ: Final = 1 << 16
"""Bytes that are looked at together: what is made of so many is still in the processor's cache when it is done with."""
_SENT: Final = 1 << 20
"""Bytes that are sent to another process together."""
_RANGE: Final = 4 << 20
"""Bytes of a file that another process reads itself."""


class Range(NamedTuple):
    """Whole lines of a plain file, by the places of their bytes."""

    path: Path
    start: int
    end: int | None
    """None for all there is behind `start`."""


class LineChunk(NamedTuple):
    """Some lines of a file, as another process can be told of them."""

    first: bool
    """Does the file begin with them?"""
    lines: tuple[LineBytes, ...] | Range

    def read(self) -> Iterator[LineBytes]:
        """Yield the lines.

        Raises:
            UsageError: the file cannot be read.
        """
        if not isinstance(self.lines, Range):
            yield from self.lines
            return
        path, start, end = self.lines
        with open_input(path) as stream:
            stream.seek(start)
            yield from read_blocks(stream, None if end is None else end - start)


def pieces_in(path: Path) -> Iterator[LineChunk]:
    """Yield the pieces of a plain file; of the lines nothing is read but their ends where a piece ends.

    Raises:
        UsageError: the file cannot be read.
    """
    start = 0
    with open_input(path) as stream:
        while start + _RANGE < path.stat().st_size:
            stream.seek(start + _RANGE)
            pass_over(stream)
            yield LineChunk(start == 0, Range(path, start, stream.tell()))
            start = stream.tell()
    yield LineChunk(start == 0, Range(path, start, None))


def most_pieces(size: int) -> int:
    """Return how many pieces a plain file of so many bytes has at most; one whose size is not known, 0, has many."""
    return size // _RANGE + 1 if size else sys.maxsize


def pieces_of(blocks: Iterable[LineBytes]) -> Iterator[LineChunk]:
    """Yield lines in pieces; those before a place that is damaged are yielded before that is raised."""
    first = True
    gathered: list[LineBytes] = []
    size = 0
    try:
        for block in blocks:
            gathered.append(block)
            size += len(block) if isinstance(block, bytes) else 0
            if size >= _SENT:
                yield LineChunk(first, tuple(gathered))
                first, gathered, size = False, [], 0
    except Damaged:
        yield LineChunk(first, tuple(gathered))
        raise
    yield LineChunk(first, tuple(gathered))


def read_blocks(stream: BinaryIO, size: int | None = None) -> Iterator[LineBytes]:
    """Yield the lines of a stream, a newline added to the last if it has none.

    Args:
        stream: a buffered one.
        size: how many bytes of it; None for all.
    """
    begun: list[bytes] = []
    length = 0  # of the line that has begun
    for data in _read(cast("io.BufferedIOBase", stream), size):
        end = data.find(b"\n") + 1
        if not end:
            length += len(data)
            begun = [*begun, data] if length <= MAX_LINE_BYTES else []
            continue
        if length + end - 1 > MAX_LINE_BYTES:
            yield length + end
            begun, data = [], data[end:]  # noqa: PLW2901
        end = data.rfind(b"\n") + 1
        if end:
            yield b"".join([*begun, data[:end]])
        begun, length = [data[end:]], len(data) - end
    if length > MAX_LINE_BYTES:
        yield length
    elif length:
        yield b"".join([*begun, b"\n"])


def _read(stream: io.BufferedIOBase, size: int | None) -> Iterator[bytes]:
    # read1 reads from what is below once: what came before broken bytes is not thrown away with them
    while data := stream.read1(_READ if size is None else min(_READ, size)):
        yield data
        size = None if size is None else size - len(data)
