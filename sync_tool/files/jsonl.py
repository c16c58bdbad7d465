"""JSONL, the master form: one row a line in Convex's ``convex_encoded_json``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from sync_tool.encoding.canonical import dumps, loads
from sync_tool.encoding.plain import plain_lines, plain_texts
from sync_tool.errors import Damaged
from sync_tool.files.inputs import open_input
from sync_tool.model import Names, Page, Row
from sync_tool.rowreader import RowReader

_BLOCK_BYTES: Final = 1 << 19


class JsonlWriter:
    """Writes rows as lines. Rows keep the spelling they came with; a deployment's is canonical."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, page: Page) -> None:
        """Append the rows of a page."""
        if page.block is not None:
            self._stream.write(page.block.lines())
        elif page.rows:
            lines = [row.raw if b"\n" not in row.raw else dumps(row.value) for row in page.rows]
            lines.append(b"")
            self._stream.write(b"\n".join(lines))

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
    reader = RowReader(names)
    number = 1
    for block in _blocks(stream):
        values = plain_lines(block)
        if values is not None:
            yield reader.plain_page(values, len(block) - len(values))
            number += len(values)
        else:
            lines = block.split(b"\n")[:-1]
            yield _page(lines, number, name, reader)
            number += len(lines)


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
