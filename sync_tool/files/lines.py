"""The lines of a JSONL file: one splitter for every reader, and chunks of lines for other processes."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from sync_tool.errors import Damaged
from sync_tool.files.bytes import open_input
from sync_tool.messages.records import Record
from sync_tool.messages.rules import Fault
from sync_tool.rows.batch import Page, read_lines
from sync_tool.rows.model import Names
from sync_tool.text import size

# A longer line is not held in memory. A document of 1 MiB is far shorter, however its JSON is escaped.
MAX_LINE_BYTES: Final = 16 << 20
# Lines decoded together: of more, the objects leave the processor's cache before they are used.
BLOCK_BYTES: Final = 1 << 18
# Bytes of lines that another process reads itself from a plain file, or receives.
CHUNK_BYTES: Final = 1 << 20
_SPACE: Final = b" \t\r\n"
_BOM: Final = b"\xef\xbb\xbf"

LineBytes = bytes | int
"""Whole lines, each with its newline; or the length of one line that is too long to be held."""


def read_blocks(
    stream: BinaryIO, length: int | None = None, *, block: int = BLOCK_BYTES, longest: int = MAX_LINE_BYTES
) -> Iterator[LineBytes]:
    """Yield the lines of a stream, many at a time; a newline is added to the last if it has none.

    Args:
        stream: a buffered one.
        length: bytes to read; None for all.
        block: bytes to read at a time.
        longest: bytes of the longest line that is held.
    """
    begun: list[bytes] = []
    held = 0  # bytes of the line that has begun
    for data in _read(cast("io.BufferedIOBase", stream), length, block):
        end = data.find(b"\n") + 1
        if not end:
            held += len(data)
            begun = [*begun, data] if held <= longest else []
            continue
        if held + end - 1 > longest:
            yield held + end
            begun, data = [], data[end:]  # noqa: PLW2901
        end = data.rfind(b"\n") + 1
        if end:
            yield b"".join([*begun, data[:end]])
        begun, held = [data[end:]], len(data) - end
    if held > longest:
        yield held
    elif held:
        yield b"".join([*begun, b"\n"])


def _read(stream: io.BufferedIOBase, length: int | None, block: int) -> Iterator[bytes]:
    # read1 calls the layer below once: bytes before broken ones are not lost with them
    while data := stream.read1(block if length is None else min(block, length)):
        yield data
        length = None if length is None else length - len(data)


@dataclass(frozen=True, slots=True)
class LineChunk:
    """Some lines of a file, small enough to be sent to another process (`sync_tool.files.chunks.Chunk`)."""

    name: str
    """Name of the file in messages."""
    first: int | None
    """Number of the first line, from 1; None if it has to be counted."""
    blocks: tuple[LineBytes, ...] = ()
    path: Path | None = None
    """The file, if the lines are to be read from `start` to `end`, its end if None."""
    start: int = 0
    end: int | None = None

    @property
    def begins(self) -> bool:
        """Whether these are the first lines of the file."""
        return self.first == 1

    @property
    def size(self) -> int:
        """Number of bytes."""
        if self.path is None:
            return sum(len(block) for block in self.blocks if isinstance(block, bytes))
        return (self.path.stat().st_size if self.end is None else self.end) - self.start

    def read(self, *, block: int = BLOCK_BYTES) -> Iterator[LineBytes]:
        """Yield the lines, of a file about `block` bytes at a time.

        Raises:
            UsageError: the file cannot be read.
        """
        if self.path is None:
            yield from self.blocks
            return
        with open_input(self.path) as stream:
            stream.seek(self.start)
            yield from read_blocks(stream, None if self.end is None else self.end - self.start, block=block)

    def pages(self, names: Names) -> Iterator[Page]:
        """Yield the rows in canonical form.

        Raises:
            Damaged: a line is not a row, or is too long; the error names it.
        """
        return pages_of(self.read(), self.name, names, self._first_line)

    def _first_line(self) -> int:
        """Return the number of the first line; counting is needed for an error only."""
        if self.first is not None or self.path is None:
            return self.first or 1
        with open_input(self.path) as stream:
            blocks = read_blocks(stream, self.start)
            return 1 + sum(block.count(b"\n") if isinstance(block, bytes) else 1 for block in blocks)


def pages_of(
    blocks: Iterable[LineBytes], name: str, names: Names, first_line: Callable[[], int] = lambda: 1
) -> Iterator[Page]:
    """Yield rows of lines in canonical form.

    Args:
        blocks: the lines.
        name: the file's name in messages.
        names: the names of the session and message fields.
        first_line: returns the number of the first line.

    Raises:
        Damaged: a line is not a row, or is too long; the error names it.
    """
    before = 0

    def place(number: int) -> str:
        return f"{name}, line {first_line() + before + number}"

    for block in blocks:
        if isinstance(block, int):
            raise Damaged(f"{place(0)}: the line is longer than {size(MAX_LINE_BYTES)}; no row is.")
        batch = read_lines(block, names, place)
        count = block.count(b"\n")
        yield Page(batch, len(block) - count)
        before += count


def ranges_in(path: Path, *, size: int = CHUNK_BYTES) -> Iterator[LineChunk]:
    """Yield chunks of a plain file; only the line ends at their borders are read.

    Raises:
        UsageError: the file cannot be read.
    """
    start = 0
    with open_input(path) as stream:
        while start + size < path.stat().st_size:
            stream.seek(start + size)
            _skip_line(stream)
            yield LineChunk(str(path), None if start else 1, path=path, start=start, end=stream.tell())
            start = stream.tell()
    yield LineChunk(str(path), None if start else 1, path=path, start=start)


def most_chunks(length: int) -> int:
    """Return the highest number of chunks of a plain file of this length; of one of unknown length (0) it is high."""
    return length // CHUNK_BYTES + 1 if length else sys.maxsize


def chunks_of(blocks: Iterable[LineBytes], name: str, *, size: int = CHUNK_BYTES) -> Iterator[LineChunk]:
    """Yield lines in chunks; lines before a damaged place are yielded before the error is raised."""
    first = 1
    gathered: list[LineBytes] = []
    gathered_bytes = 0
    try:
        for block in blocks:
            gathered.append(block)
            gathered_bytes += len(block) if isinstance(block, bytes) else 0
            if gathered_bytes >= size:
                yield LineChunk(name, first, tuple(gathered))
                first += sum(block.count(b"\n") if isinstance(block, bytes) else 1 for block in gathered)
                gathered, gathered_bytes = [], 0
    except Damaged:
        yield LineChunk(name, first, tuple(gathered))
        raise
    yield LineChunk(name, first, tuple(gathered))


def _skip_line(stream: BinaryIO) -> None:
    while (part := stream.readline(BLOCK_BYTES)) and not part.endswith(b"\n"):
        pass


def read_records(stream: BinaryIO, *, begins: bool = True, longest: int = MAX_LINE_BYTES) -> Iterator[Record]:
    """Yield the lines of a JSONL stream that are not empty; a line that is too long is a record with a fault.

    Args:
        stream: the lines.
        begins: whether they are the first of their file.
        longest: bytes of the longest line that is held.
    """
    number = 0
    for block in read_blocks(stream, longest=longest):
        if isinstance(block, int):
            number += 1
            yield too_long(number, block)
            continue
        for line in block.split(b"\n")[:-1]:
            number += 1
            if begins and number == 1 and line.startswith(_BOM):
                rest = line.removeprefix(_BOM).strip(_SPACE)
                yield Record(number, rest, Fault("byte-order-mark", "$"))
            elif text := line.strip(_SPACE):
                yield Record(number, text)


def too_long(number: int, length: int) -> Record:
    """Return a record for a line of this length that was not held."""
    return Record(number, b"", Fault("line-too-long", "$", f"{length:,} bytes"))
