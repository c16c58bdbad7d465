"""A file as a source of messages."""

from __future__ import annotations

import io
import os
import shutil
import sys
from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from sync_tool.errors import OutputError, UsageError
from sync_tool.files.bytes import COMPRESSIONS, open_input
from sync_tool.files.formats import format_of, names_a_format
from sync_tool.files.lines import LineBytes, LineChunk, chunks_of, pages_of, ranges_in, read_blocks, read_records
from sync_tool.files.openai import read_openai, starts_as_openai
from sync_tool.messages.records import Record
from sync_tool.messages.rules import Fault
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Names
from sync_tool.rows.stored import StoredRows

if TYPE_CHECKING:
    from sync_tool.files.chunks import Chunk

_COMPRESSES: Final = 8
"""How many times smaller chat history usually is in .zst and .gz files, which do not say what is in them."""


class MessageFiles(StoredRows):
    """Rows in files whose records can also be looked at one by one."""

    @property
    @abstractmethod
    def files(self) -> tuple[MessageFile, ...]:
        """The files, in order."""


class MessageFile(MessageFiles):
    """A JSONL, Parquet or zip file of rows, in whatever order, or JSONL of OpenAI's conversations.

    Args:
        path: the file; its suffix names the format.
        names: how the session and message fields are called (Parquet says so itself), and the table in a zip.

    Raises:
        UsageError: no such file, or a format that cannot be read.
    """

    def __init__(self, path: Path, names: Names | None = None) -> None:
        self.path = path
        self._format = _format_of(path)
        if self._format == "md":
            raise UsageError(f"{path}: a transcript cannot be read back; use JSONL or Parquet.")
        if not path.is_file():
            raise UsageError(f"cannot read {path}: {'it is a folder' if path.is_dir() else 'there is no such file'}.")
        self._asked_names = names or Names()
        if self._format == "jsonl" and starts_as_openai(path, self._asked_names.message_field):
            self._format = "openai"

    def __repr__(self) -> str:
        return f"<MessageFile {self.path}>"

    @property
    def files(self) -> tuple[MessageFile, ...]:
        """The file alone."""
        return (self,)

    @property
    def format(self) -> str:
        """Format by the suffix and, of JSONL, the first line: ``jsonl``, ``openai``, ``parquet`` or ``zip``."""
        return self._format

    @property
    def title(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def method(self) -> str:
        """Files are read from the start to the end."""
        return f"reading the file {self.path}"

    @cached_property
    def names(self) -> Names:
        """How the table and its fields are called."""
        if self._format != "parquet":
            return self._asked_names
        from sync_tool.files.parquet import read_parquet

        return read_parquet(self.path)[0]

    def count(self) -> int | None:
        """Return the number of rows where the file says it (Parquet)."""
        if self._format != "parquet":
            return None
        from sync_tool.files.parquet import count_rows

        return count_rows(self.path)

    def unpacked_bytes(self) -> int:
        """Return about how many bytes the rows are."""
        if self._format == "zip":
            from sync_tool.files.zip import size_inside

            return size_inside(self.path, self.names.table)
        compressed = self._format == "parquet" or self.path.suffix in COMPRESSIONS
        return self.path.stat().st_size * (_COMPRESSES if compressed else 1)

    def chunks(self) -> Iterator[Chunk] | None:
        """Return the rows of JSONL and Parquet as chunks."""
        if self._format == "jsonl":
            return _line_chunks(self.path, None)
        if self._format == "parquet":
            from sync_tool.files.parquet import row_groups_in

            return row_groups_in(self.path)
        return None

    def stored(self) -> Iterator[Page]:
        """Yield the rows in the file's order."""
        if self._format == "parquet":
            from sync_tool.files.parquet import read_parquet

            return read_parquet(self.path)[1]
        if self._format == "zip":
            from sync_tool.files.zip import read_zip

            return read_zip(self.path, self.names)
        if self._format == "openai":
            return read_openai(self.path, self.names)
        from sync_tool.files.jsonl import read_jsonl

        return read_jsonl(self.path, self.names)


def _format_of(path: Path) -> str:
    """Return the format that a name stands for; a slip in the name is not answered with formats."""
    if not names_a_format(path) and not path.exists():
        raise UsageError(f"there is no file or folder {str(path)!r}.")
    if path.suffix == ".env" or path.name.startswith(".env"):
        raise UsageError(f"{path} holds no messages.", hint=[("the deployment of that env file?", f"@{path}")])
    return format_of(path)


def _line_chunks(path: Path, limit: int | None) -> Iterator[LineChunk]:
    return chunks_of(_unpacked(path, limit), str(path)) if path.suffix in COMPRESSIONS else ranges_in(path)


def _unpacked(path: Path, limit: int | None) -> Iterator[LineBytes]:
    with open_input(path, unpacked_limit=limit) as stream:
        yield from read_blocks(stream)


# The records of a file, each with its line.

STDIN: Final = "-"


class RecordFile:
    """A file whose records are looked at one by one.

    Args:
        path: a JSONL file, compressed or not, a Parquet file, a zip; ``-`` for JSONL on standard input.
        names: how the session and message fields are called (Parquet says so itself), and the table in a zip.
        unpacked_limit: most bytes that may come out of a compressed file; None for the usual bound.
        again: True to copy standard input into a temporary file, so that it can be read again.

    Raises:
        UsageError: no such file, a format that cannot be read, or standard input is a terminal.
        Damaged: a Parquet file whose end cannot be read.
    """

    def __init__(
        self, path: str | Path, names: Names, *, unpacked_limit: int | None = None, again: bool = False
    ) -> None:
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
            self._copy = StandardInput(names) if again else None
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
            yield from read_records(self._stdin())
        elif self._format == "jsonl":
            with open_input(self._path, unpacked_limit=self._limit) as stream:
                yield from read_records(stream)
        elif self._format == "parquet":
            yield from self._parquet()
        else:
            rows = (row for page in self._file.stored() for row in page.rows)
            for number, row in enumerate(rows, 1):
                yield Record(number, row.raw)

    def chunks(self) -> Iterator[LineChunk] | None:
        """Return the lines of the file as chunks; None if it does not consist of lines.

        Raises:
            Damaged: while they are read, bytes that do not decompress.
            UsageError: while they are read, too much comes out of a compressed file.
        """
        if self._format == "stdin":
            return chunks_of(read_blocks(self._stdin()), "stdin")
        return _line_chunks(self._path, self._limit) if self._format == "jsonl" else None

    def _stdin(self) -> BinaryIO:
        return sys.stdin.buffer if self._copy is None else self._copy.from_start()

    def _parquet(self) -> Iterator[Record]:
        from sync_tool.files.parquet import read_parquet_records

        for number, found in enumerate(read_parquet_records(self._path), 1):
            if isinstance(found, bytes):
                yield Record(number, found)
            else:
                yield Record(number, b"", Fault("unreadable", "$", found))


# Standard input as a source of messages: JSONL, kept in a temporary file so that it can be read again.

_BUFFER: Final = 1 << 20


class StandardInput(StoredRows):
    """JSONL rows from standard input, in whatever order.

    Args:
        names: how the session and message fields are called.
        stream: what is read in place of standard input.

    Raises:
        UsageError: standard input is a terminal.
    """

    def __init__(self, names: Names | None = None, stream: BinaryIO | None = None) -> None:
        self._stream = stream or sys.stdin.buffer
        self._names = names or Names()
        if self._stream.isatty():
            raise UsageError("standard input is a terminal.", hint=[("give", "rows as JSONL, such as: … | COMMAND -")])

    @property
    def title(self) -> str:
        """Name for people."""
        return "stdin"

    @property
    def method(self) -> str:
        """It is copied first."""
        return "reading standard input into a temporary file"

    @property
    def names(self) -> Names:
        """How the table and its fields are called, as was said."""
        return self._names

    def unpacked_bytes(self) -> int:
        """Return how many bytes came in."""
        return os.fstat(self._file.fileno()).st_size

    def chunks(self) -> Iterator[LineChunk]:
        """Return the lines as chunks, in the order they came in."""
        return chunks_of(self._blocks(), self.title)

    def stored(self) -> Iterator[Page]:
        """Yield the rows in the order they came in."""
        return pages_of(self._blocks(), self.title, self.names)

    def from_start(self) -> BinaryIO:
        """Return a stream of its own over everything that came in."""
        return io.BufferedReader(_Again(self._file.fileno()), _BUFFER)

    def _blocks(self) -> Iterator[LineBytes]:
        return read_blocks(self.from_start())

    def close(self) -> None:
        """Give the temporary file back."""
        if "_file" in self.__dict__:
            self._file.close()

    @cached_property
    def _file(self) -> BinaryIO:
        """Everything that came in; the system deletes it when it is closed, also when the process is killed."""
        file = cast("BinaryIO", TemporaryFile())  # noqa: SIM115  # closed in close()
        try:
            shutil.copyfileobj(self._stream, file, _BUFFER)
            file.flush()
        except OSError as error:
            file.close()
            raise OutputError(
                f"cannot keep standard input in the temporary folder: {error.strerror or error}.",
                hint=[("another", "TMPDIR=/folder/with/space")],
            ) from None
        return file


class _Again(io.RawIOBase):
    """A file from its start, with a place of its own, so that several can read it at the same time."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: object) -> int:
        """Read on."""
        count = os.preadv(self._handle, [cast("bytearray", buffer)], self._at)
        self._at += count
        return count
