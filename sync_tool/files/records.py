"""The records of a file, each with its line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sync_tool.errors import UsageError
from sync_tool.files.inputs import open_input
from sync_tool.files.lines import read_lines
from sync_tool.files.output import COMPRESSIONS
from sync_tool.files.pieces import Lines, Piece, pieces_in, pieces_of, read_blocks
from sync_tool.files.source import MessageFile
from sync_tool.model import Names
from sync_tool.records import Record
from sync_tool.schema.rules import Fault

STDIN: Final = "-"


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
        self.size = 0
        """About how many bytes the records are; 0 where nobody knows."""
        if str(path) == STDIN:
            if sys.stdin.isatty():
                raise UsageError("standard input is a terminal.", hint=[("give", "rows as JSONL, or a file")])
            self.names = names
        else:
            self._file = MessageFile(self._path, names)
            self.names = self._file.names
            self._format = self._file.format
            self.size = self._file.unpacked_bytes() if self._format == "jsonl" else 0

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

    def pieces(self) -> Iterator[Piece] | None:
        """Return the lines of the file in pieces; None if it is not one of lines.

        Raises:
            Damaged: in their midst, bytes that do not decompress.
            UsageError: then too, more came out of a compressed file than may.
        """
        if self._format == "stdin":
            return pieces_of(read_blocks(sys.stdin.buffer))
        if self._format != "jsonl":
            return None
        return pieces_of(self._unpacked()) if self._path.suffix in COMPRESSIONS else pieces_in(self._path)

    def _unpacked(self) -> Iterator[Lines]:
        with open_input(self._path, unpacked_limit=self._limit) as stream:
            yield from read_blocks(stream)

    def _parquet(self) -> Iterator[Record]:
        from sync_tool.files.parquet import read_parquet_records

        for number, found in enumerate(read_parquet_records(self._path), 1):
            if isinstance(found, bytes):
                yield Record(number, found)
            else:
                yield Record(number, b"", Fault("unreadable", "$", found))
