"""Zip in the layout of Convex's own snapshots: ``messages/documents.jsonl`` and what says how to read it.

``documents.jsonl`` holds one row a line in ``export_json``, where a bare integer is an int64; the entry
``generated_schema.jsonl`` beside it says so with the one word ``"uniform"`` (get-convex/convex-backend,
``crates/exports/src/zip_uploader.rs``). `npx convex import` and `restore` take such a file as it is.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, BinaryIO, Final, cast

from sync_tool.encoding.canonical import dumps, dumps_export, loads_export
from sync_tool.encoding.values import Value
from sync_tool.errors import Damaged
from sync_tool.files.legacyshapes import legacy_reader
from sync_tool.files.zipentries import Lines, find_table, open_zip
from sync_tool.model import Names, Page
from sync_tool.rowreader import RowReader

_UNIFORM: Final = b'"uniform"'
_FIXED_DATE: Final = (1980, 1, 1, 0, 0, 0)
_MODE: Final = 0o600 << 16
_ROWS_A_PAGE: Final = 1000


class ZipWriter:
    """Writes rows into the entry of one table, as it goes: nothing is held but a buffer.

    The same rows give the same bytes: dates are fixed. The stream need not be able to seek.
    """

    def __init__(self, stream: BinaryIO, names: Names) -> None:
        self._table = names.table
        self._forward = _Forward(stream)
        self._zip = zipfile.ZipFile(cast("IO[bytes]", self._forward), "w")
        self._documents: IO[bytes] | None = self._entry(f"{names.table}/documents.jsonl")

    def write(self, page: Page) -> None:
        """Append the rows of a page."""
        if page.rows and self._documents is not None:
            lines = [dumps_export(row.value) for row in page.rows]
            lines.append(b"")
            self._documents.write(b"\n".join(lines))

    def finish(self) -> None:
        """Write the word that says how rows are spelled, and the directory of the zip."""
        self._end_documents()
        with self._entry(f"{self._table}/generated_schema.jsonl") as schema:
            schema.write(_UNIFORM + b"\n")
        self._zip.close()

    def close(self) -> None:
        """Let go of the stream; Python would write an end into it later otherwise, as if all were there."""
        self._forward.let_go = True
        self._end_documents()
        self._zip.close()

    def _entry(self, name: str) -> IO[bytes]:
        info = zipfile.ZipInfo(name, _FIXED_DATE)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = _MODE
        # How large it becomes is not known before, so there is always room for 64 bits, as in Convex's own.
        return self._zip.open(info, "w", force_zip64=True)

    def _end_documents(self) -> None:
        if self._documents is not None:
            self._documents.close()
            self._documents = None


def read_zip(path: Path, names: Names) -> Iterator[Page]:
    """Yield the rows of the table `names.table` in the order of the file (Convex writes them by random id).

    Reads what Convex has written since March 2026 (``"uniform"``), and the older form in which int64 and
    bytes are strings and a shape beside them says which; without either, every number is a float64.

    Raises:
        Damaged: not a zip, cut off, a checksum that is wrong, a line that is no row; says entry and line.
        UsageError: no such table in it, a way of compression that cannot be read, or the file cannot be opened.
    """
    read_row = RowReader(names).row
    page = Page([], 0)
    with open_zip(path) as archive:
        table = find_table(archive, path, names.table)
        value_of = _value_reader(archive, path, table.schema)
        with Lines(archive, path, table.documents) as lines:
            for line in lines:
                try:
                    value = value_of(line)
                    if type(value) is not dict:
                        raise ValueError("not a JSON object")  # noqa: TRY301
                    page.rows.append(read_row(dumps(value)))
                except (ValueError, RecursionError) as error:
                    raise Damaged(f"{lines.place}: {error}") from None
                page.bytes += len(line)
                if len(page.rows) == _ROWS_A_PAGE:
                    yield page
                    page = Page([], 0)
    if page.rows:
        yield page


def size_inside(path: Path, table: str) -> int:
    """Return how many bytes the rows of `table` take when they are unpacked.

    Raises:
        Damaged, UsageError: as `read_zip`.
    """
    with open_zip(path) as archive:
        return find_table(archive, path, table).documents.file_size


def _value_reader(archive: zipfile.ZipFile, path: Path, schema: zipfile.ZipInfo | None) -> Callable[[bytes], Value]:
    """Return what reads a line, by what the generated schema says."""
    if schema is None:
        return legacy_reader(b'"unknown"', iter(()))
    with Lines(archive, path, schema) as lines:
        first = next(lines, b"")
        if first == _UNIFORM:
            return loads_export
        try:
            return legacy_reader(first, lines)
        except ValueError as error:
            raise Damaged(f"{lines.place}: {error}") from None


class _Forward(io.RawIOBase):
    """A stream that only goes forward, so that a zip is the same in a file, in a pipe and behind ``>>``."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.let_go = False
        """True when what is still written is dropped."""

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, data: object) -> int:
        """Append."""
        return len(cast("bytes", data)) if self.let_go else self._stream.write(cast("bytes", data))

    def flush(self) -> None:
        """Pass it on."""
        if not self.let_go:
            self._stream.flush()
