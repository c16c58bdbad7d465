"""JSONL, the master form: one row a line in Convex's ``convex_encoded_json``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from sync_tool.encoding.canonical import dumps, loads
from sync_tool.encoding.plain import plain_lines, plain_texts
from sync_tool.errors import Damaged
from sync_tool.files.bytes import open_input
from sync_tool.files.ready import ReadyPage
from sync_tool.messages.records import Record
from sync_tool.messages.rules import Fault
from sync_tool.rows.model import Names, Page, Row
from sync_tool.rows.reading import RowReader
from sync_tool.rows.typed import TypedRows, decode_lines, encode_lines

_BLOCK_BYTES: Final = 1 << 19


class JsonlWriter:
    """Writes rows as lines. Rows keep the spelling they came with; a deployment's is canonical."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, page: Page) -> None:
        """Append the rows of a page."""
        if isinstance(page, ReadyPage):
            for lines in page.ready.laid:
                self._stream.write(lines)
        else:
            self._stream.write(_lines_of(page))

    def finish(self) -> None:
        """JSONL has no end mark."""

    def close(self) -> None:
        """Nothing is held."""


def read_jsonl(path: Path, names: Names) -> Iterator[Page]:
    """Yield the rows of a JSONL file (``.zst`` and ``.gz`` too) in the file's order, in canonical spelling.

    Raises:
        Damaged: a line that is not a JSON object in UTF-8, or bytes that do not decompress; says which line.
        UsageError: the file cannot be opened.
    """
    with open_input(path) as stream:
        yield from read_lines(stream, str(path), names)


def read_lines(stream: BinaryIO, name: str, names: Names) -> Iterator[Page]:
    """Yield the rows of an open JSONL file; `name` is what messages call it.

    Raises:
        Damaged: as `read_jsonl`.
    """
    for lines in cut_lines(stream, name):
        yield from lines.pages(names)


def cut_jsonl(path: Path) -> Iterator[JsonlBlock]:
    """Yield the lines of a JSONL file (``.zst`` and ``.gz`` too) in pieces.

    Raises:
        Damaged: bytes that do not decompress.
        UsageError: the file cannot be opened.
    """
    with open_input(path) as stream:
        yield from cut_lines(stream, str(path))


def cut_lines(stream: BinaryIO, name: str) -> Iterator[JsonlBlock]:
    """Yield the lines of an open JSONL file in pieces; `name` is what messages call it."""
    number = 1
    for block in _blocks(stream):
        count = block.count(b"\n")
        yield JsonlBlock(name, number, block, len(block) - count)
        number += count


@dataclass(frozen=True, slots=True)
class JsonlBlock:
    """Whole lines of a JSONL file, each with a newline (`sync_tool.files.ready.Piece`)."""

    name: str
    """What messages call the file."""
    first: int
    """Number of the first line, from 1."""
    block: bytes
    size: int
    """How many bytes these are, without the newlines."""

    def parts(self, names: Names) -> Iterator[TypedRows | Page]:
        """Yield the rows, typed if each holds a message and nothing beside it.

        Raises:
            Damaged: as `pages`.
        """
        rows = decode_lines(self.block, names)
        if rows is not None:
            yield rows
        else:
            yield from self.pages(names)

    def pages(self, names: Names) -> Iterator[Page]:
        """Yield the rows in canonical spelling.

        Raises:
            Damaged: a line that is not a JSON object in UTF-8; says which.
        """
        reader = RowReader(names)
        values = plain_lines(self.block)
        if values is not None:
            yield reader.plain_page(values, self.size)
        else:
            yield _page(self.block.split(b"\n")[:-1], self.first, self.name, reader)


class JsonlForm:
    """Rows as lines (`sync_tool.files.ready.Form`)."""

    def lay_typed(self, rows: TypedRows, numbers: list[int], names: Names) -> bytes:  # noqa: ARG002  # the form of a Form
        """Return typed rows as canonical lines."""
        return encode_lines(rows, names)

    def lay_page(self, page: Page, names: Names) -> bytes:  # noqa: ARG002  # the form of a Form
        """Return the rows of a page as lines."""
        return _lines_of(page)


def _lines_of(page: Page) -> bytes:
    if page.block is not None:
        return page.block.lines()
    lines = [row.raw if b"\n" not in row.raw else dumps(row.value) for row in page.rows]
    return b"\n".join([*lines, b""]) if lines else b""


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Yield whole lines, each with a newline, in pieces of a good size."""
    begun: list[bytes] = []
    while data := stream.read(_BLOCK_BYTES):
        end = data.rfind(b"\n") + 1
        if end:
            yield b"".join([*begun, data[:end]])
            begun = []
        begun.append(data[end:])
    if any(begun):
        yield b"".join([*begun, b"\n"])


def _page(lines: list[bytes], first: int, name: str, reader: RowReader) -> Page:
    """Return lines that may be spelled in any way as rows in canonical spelling."""
    rows, size = [], 0
    for number, line in enumerate(lines, first):
        text = line.strip()
        if text:
            rows.append(_row(text, f"{name}, line {number}", reader))
            size += len(text)
    return Page(rows, size)


def _row(text: bytes, place: str, reader: RowReader) -> Row:
    plain = plain_texts([text])
    if plain:
        return reader.plain_row(plain[0])
    try:
        value = loads(text)
        if type(value) is not dict:
            raise ValueError("not a JSON object")  # noqa: TRY301
        return reader.row(dumps(value))
    except ValueError as error:
        raise Damaged(f"{place}: {error}") from None


# The lines of a JSONL file as records.

MAX_LINE_BYTES: Final = 16 << 20
"""A longer line is not held in memory. A document of 1 MiB is far shorter in any spelling."""
_CHUNK: Final = 1 << 20
_SPACE: Final = b" \t\r\n"
_BOM: Final = b"\xef\xbb\xbf"


def read_records(stream: BinaryIO, *, begins: bool = True) -> Iterator[Record]:
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
