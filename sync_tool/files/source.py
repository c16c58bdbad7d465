"""A file as a source of messages."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sync_tool.errors import UsageError
from sync_tool.files.formats import format_of, names_a_format
from sync_tool.files.openai import read_openai, starts_as_openai
from sync_tool.files.output import COMPRESSIONS
from sync_tool.files.stored import StoredRows
from sync_tool.model import Names, Page

if TYPE_CHECKING:
    from sync_tool.files.ready import Piece

_COMPRESSES: Final = 8
"""How many times smaller chat history usually is in .zst and .gz files, which do not say what is in them."""


class MessageFile(StoredRows):
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
    def format(self) -> str:
        """What it is, by its suffix and, of JSONL, its first line: ``jsonl``, ``openai``, ``parquet`` or ``zip``."""
        return self._format

    @property
    def title(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def way(self) -> str:
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

    def pieces(self) -> Iterator[Piece] | None:
        """Return the rows of JSONL and Parquet in pieces."""
        if self._format == "jsonl":
            from sync_tool.files.jsonl import cut_jsonl

            return cut_jsonl(self.path)
        if self._format == "parquet":
            from sync_tool.files.parquet import cut_parquet

            return cut_parquet(self.path)
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
