"""The records of a file, each with its line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from sync_tool.errors import UsageError
from sync_tool.files.inputs import open_input
from sync_tool.files.source import MessageFile
from sync_tool.model import Names
from sync_tool.records import Record
from sync_tool.schema.rules import Fault

MAX_LINE_BYTES: Final = 16 << 20
"""A longer line is not held in memory. A document of 1 MiB is far shorter in any spelling."""
STDIN: Final = "-"
_CHUNK: Final = 1 << 20
_SPACE: Final = b" \t\r\n"
_BOM: Final = b"\xef\xbb\xbf"


class RecordFile:
    """A file whose records are looked at one by one.

    Args:
        path: a JSONL file, compressed or not, a Parquet file, a zip; ``-`` for JSONL on standard input.
        names: how the session and message fields are called (Parquet says so itself), and the table in a zip.
        unpacked_limit: most bytes that may come out of a compressed file; None for the usual bound.

    Raises:
        UsageError: no such file, a format that cannot be read, or standard input is a terminal.
        Damaged: a Parquet file whose end cannot be read.
    """

    def __init__(self, path: str | Path, names: Names, *, unpacked_limit: int | None = None) -> None:
        self.title = "stdin" if str(path) == STDIN else str(path)
        self._path = Path(path)
        self._limit = unpacked_limit
        self._format = "stdin"
        if str(path) == STDIN:
            if sys.stdin.isatty():
                raise UsageError("standard input is a terminal.", hint=[("give", "rows as JSONL, or a file")])
            self.names = names
        else:
            self._file = MessageFile(self._path, names)
            self.names = self._file.names
            self._format = self._file.format

    def records(self) -> Iterator[Record]:
        """Yield the records in the file's order.

        Raises:
            Damaged: bytes that do not decompress, or Parquet or a zip that is broken.
            UsageError: more came out of a compressed file than may.
        """
        if self._format == "stdin":
            yield from read_lines(sys.stdin.buffer)
        elif self._format == "jsonl":
            with open_input(self._path, unpacked_limit=self._limit) as stream:
                yield from read_lines(stream)
        elif self._format == "parquet":
            yield from self._parquet()
        else:
            rows = (row for page in self._file.stored() for row in page.rows)
            for number, row in enumerate(rows, 1):
                yield Record(number, row.raw)

    def _parquet(self) -> Iterator[Record]:
        from sync_tool.files.parquet import read_parquet_records

        for number, found in enumerate(read_parquet_records(self._path), 1):
            if isinstance(found, bytes):
                yield Record(number, found)
            else:
                yield Record(number, b"", Fault("unreadable", "$", found))


def read_lines(stream: BinaryIO) -> Iterator[Record]:
    """Yield the lines of a JSONL stream that are not empty; one that is too long is passed over, not held."""
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            length = len(line) + _pass_over(stream)
            yield Record(number, b"", Fault("line-too-long", "$", f"{length:,} bytes"))
        elif number == 1 and line.startswith(_BOM):
            rest = line.removeprefix(_BOM).strip(_SPACE)
            yield Record(number, rest, Fault("byte-order-mark", "$"))
        elif text := line.strip(_SPACE):
            yield Record(number, text)


def _pass_over(stream: BinaryIO) -> int:
    """Read to the end of the line; return how many bytes that were."""
    length = 0
    while part := stream.readline(_CHUNK):
        length += len(part)
        if part.endswith(b"\n"):
            break
    return length
