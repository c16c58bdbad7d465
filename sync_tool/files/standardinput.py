"""Standard input as a source of messages: JSONL, kept in a temporary file so that it can be read again."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterator
from functools import cached_property
from tempfile import TemporaryFile
from typing import BinaryIO, Final, cast

from sync_tool.errors import OutputError, UsageError
from sync_tool.files.jsonl import Lines, cut_lines, read_lines
from sync_tool.files.stored import StoredRows
from sync_tool.model import Names, Page

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
        """What a person calls it."""
        return "stdin"

    @property
    def way(self) -> str:
        """It is copied first."""
        return "reading standard input into a temporary file"

    @property
    def names(self) -> Names:
        """How the table and its fields are called, as was said."""
        return self._names

    def unpacked_bytes(self) -> int:
        """Return how many bytes came in."""
        return os.fstat(self._file.fileno()).st_size

    def pieces(self) -> Iterator[Lines]:
        """Return the lines in pieces, in the order in which they came."""
        return cut_lines(io.BufferedReader(_Again(self._file.fileno()), _BUFFER), self.title)

    def stored(self) -> Iterator[Page]:
        """Yield the rows in the order in which they came."""
        return read_lines(io.BufferedReader(_Again(self._file.fileno()), _BUFFER), self.title, self.names)

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
        """Say yes."""
        return True

    def readinto(self, buffer: object) -> int:
        """Read on."""
        count = os.preadv(self._handle, [cast("bytearray", buffer)], self._at)
        self._at += count
        return count
