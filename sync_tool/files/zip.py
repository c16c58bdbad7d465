"""Zip in the layout of Convex's own snapshots: ``messages/documents.jsonl`` and what says how to read it.

``documents.jsonl`` holds one row a line in ``export_json``, where a bare integer is an int64; the entry
``generated_schema.jsonl`` beside it says so with the one word ``"uniform"`` (get-convex/convex-backend,
``crates/exports/src/zip_uploader.rs``). `npx convex import` and `restore` take such a file as it is.
"""

from __future__ import annotations

import errno
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Final, Self, cast

import zstandard

from sync_tool.encoding.canonical import dumps, dumps_export, loads_export
from sync_tool.encoding.values import Value
from sync_tool.errors import Damaged, UsageError
from sync_tool.files.bytes import ALWAYS, TIMES
from sync_tool.files.zip_legacy import legacy_reader
from sync_tool.rows.model import Names, Page
from sync_tool.rows.reading import RowReader
from sync_tool.text import one_line, size

# Entries of a zip as lines: which ones hold a table, and reading them with every fault said clearly.

MAX_LINE: Final = 16 << 20
"""Longest line that is read: a row of 1 MiB cannot take more, however its JSON is escaped."""

_ENTRY = re.compile(r"(.*/)?([^/]+)/(documents|generated_schema)\.jsonl")
_COMPONENT = re.compile(r"(.*/)?_components/[^/]+/")
_ZSTD: Final = 93
_READ: Final = frozenset((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, _ZSTD))
_NOT_READ: Final = {1: "shrink", 6: "implode", 9: "deflate64", 12: "bzip2", 14: "lzma", 95: "xz", 98: "ppmd"}
_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")
_BUFFER: Final = 1 << 17
_FOREIGN: Final = (
    zipfile.BadZipFile, zlib.error, zstandard.ZstdError, EOFError, NotImplementedError, struct.error, ValueError,
)  # fmt: skip
"""What broken bytes make the libraries raise (ValueError: wrong offsets and names)."""


@dataclass(frozen=True, slots=True)
class Table:
    """The entries of one table."""

    documents: zipfile.ZipInfo
    schema: zipfile.ZipInfo | None


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip for reading.

    Raises:
        UsageError: there is no such file, or it cannot be read.
        Damaged: not a zip, or one that was cut off.
    """
    with ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(path))
        except (*_FOREIGN, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise UsageError(f"cannot read {path}: {error.strerror or error}.") from None
            raise Damaged(
                f"{path} is not a zip file, or cut off: its directory, which stands at the end, cannot be read."
            ) from None
        yield archive


@contextmanager
def _translated(place: str) -> Iterator[None]:
    """Say what the libraries raise in our words.

    Raises:
        Damaged: the bytes are broken.
        UsageError: the disk cannot be read.
    """
    try:
        yield
    except OSError as error:
        if error.errno != errno.EINVAL:  # which is what a place before the start of the file gives
            raise UsageError(f"{place}: cannot be read: {error.strerror or error}.") from None
        raise Damaged(f"{place}: the zip is damaged here: an impossible place.") from None
    except _FOREIGN as error:
        raise Damaged(f"{place}: the zip is damaged here: {one_line(str(error)) or type(error).__name__}.") from None


def find_table(archive: zipfile.ZipFile, path: Path, name: str) -> Table:
    """Return the entries of the table `name`, in whatever folder of the zip, outside Convex components.

    Raises:
        UsageError: there is no such table, or there are two.
    """
    found: dict[str, dict[str, list[zipfile.ZipInfo]]] = {}
    components = 0
    for info in archive.infolist():
        match = _ENTRY.fullmatch(info.filename)
        if match is None:
            continue
        if _COMPONENT.fullmatch(match[1] or ""):
            components += match[2] == name
            continue
        found.setdefault(match[2], {}).setdefault(match[3], []).append(info)
    documents = found.get(name, {}).get("documents", [])
    if not documents:
        raise _no_table(path, name, [table for table in found if "documents" in found[table]], components)
    schemas = found[name].get("generated_schema", [])
    for entries in (documents, schemas):
        if len(entries) > 1:
            raise UsageError(
                f"{path} holds the table {name!r} twice: {_entry(entries[0])} and {_entry(entries[1])}.",
                hint=[("", "take one of them out of the zip")],
            )
    return Table(documents[0], schemas[0] if schemas else None)


class EntryLines:
    """The lines of an entry, without line ends; empty ones are left out.

    Args:
        archive: the open zip.
        path: its name, for messages.
        info: the entry.

    Raises:
        UsageError: the entry is encrypted, compressed in a way that cannot be read, or unpacks to too much.
        Damaged: broken bytes, a wrong checksum, a line longer than any row.
    """

    def __init__(self, archive: zipfile.ZipFile, path: Path, info: zipfile.ZipInfo) -> None:
        _refuse(path, info)
        self._path = path
        self._where = f"{path}, {_entry(info)}"
        self._number = 0
        with ExitStack() as stack, _translated(self._where):
            self._stream = self._open(archive, info, stack)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Return the next line that is not empty."""
        while True:
            self._number += 1
            with _translated(self.place):
                line = self._stream.readline(MAX_LINE + 1)
            if not line:
                raise StopIteration
            if len(line) > MAX_LINE:
                raise Damaged(f"{self.place}: the line is longer than {size(MAX_LINE)}; no row is.")
            if text := line.strip():
                return text

    @property
    def place(self) -> str:
        """Where the last line stands: file, entry, number of the line."""
        return f"{self._where}, line {self._number}"

    def _open(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, stack: ExitStack) -> BinaryIO:
        if info.compress_type != _ZSTD:
            opened = stack.enter_context(archive.open(info))
            return io.BufferedReader(cast("io.RawIOBase", opened), _BUFFER)
        raw = stack.enter_context(self._path.open("rb"))  # the stack closes it
        return io.BufferedReader(_Zstd(raw, info), _BUFFER)


class _Zstd(io.RawIOBase):
    """An entry compressed with zstd, which the zip module of Python knows only from 3.14 on."""

    def __init__(self, raw: BinaryIO, info: zipfile.ZipInfo) -> None:
        raw.seek(info.header_offset)
        mark, name, extra = _LOCAL_HEADER.unpack(raw.read(_LOCAL_HEADER.size))
        if mark != b"PK\x03\x04":
            raise zipfile.BadZipFile("no entry where the directory says")
        raw.seek(name + extra, io.SEEK_CUR)
        packed = cast("IO[bytes]", io.BufferedReader(_Slice(raw, info.compress_size), _BUFFER))
        self._reader = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
        self._left = info.file_size
        self._wanted, self._sum = info.CRC, 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: object) -> int:
        """Read up to the size that the directory gives, and check the sum there."""
        view = memoryview(cast("bytearray", buffer))
        data = self._reader.read(min(len(view), self._left))
        if self._left and not data:
            raise EOFError("the entry ends too early")
        self._sum = zlib.crc32(data, self._sum)
        self._left -= len(data)
        if not self._left and self._sum != self._wanted:
            raise zipfile.BadZipFile("wrong checksum")
        view[: len(data)] = data
        return len(data)


class _Slice(io.RawIOBase):
    """The next bytes of a file, and no more."""

    def __init__(self, raw: BinaryIO, length: int) -> None:
        self._raw = raw
        self._left = length

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: object) -> int:
        """Read on."""
        view = memoryview(cast("bytearray", buffer))
        data = self._raw.read(min(len(view), self._left))
        self._left -= len(data)
        view[: len(data)] = data
        return len(data)


def _refuse(path: Path, info: zipfile.ZipInfo) -> None:
    """Refuse an entry that cannot be read, or would not end, before a byte of it is unpacked."""
    where = f"{path}, {_entry(info)}"
    if info.flag_bits & 1:
        raise UsageError(f"{where}: the entry is encrypted.", hint=[("", "unpack it and zip it again without")])
    if info.compress_type not in _READ:
        name = _NOT_READ.get(info.compress_type, "an unknown method")
        raise UsageError(
            f"{where}: the entry is compressed with {name} (number {info.compress_type}), which cannot be read.",
            hint=[("", "unpack it and zip it again; deflate, stored and zstd can be read")],
        )
    if info.file_size > max(ALWAYS, TIMES * info.compress_size):
        raise UsageError(
            f"{where} holds {size(info.file_size)} unpacked, from {size(info.compress_size)}.",
            hint=[("if that is right", "unpack it and zip it again without compression (zip -0)")],
        )


def _no_table(path: Path, name: str, tables: list[str], components: int) -> UsageError:
    hint = []
    if tables:
        hint.append(("tables there", ", ".join(one_line(table) for table in sorted(tables))))
        hint.append(("take one", "--table NAME"))
    if components:
        hint.append(("", "there is one inside a Convex component; those are out of reach for now"))
    return UsageError(f"{path} holds no table {name!r}.", hint=hint)


def _entry(info: zipfile.ZipInfo) -> str:
    return one_line(info.filename)


_UNIFORM: Final = b'"uniform"'
_FIXED_DATE: Final = (1980, 1, 1, 0, 0, 0)
_MODE: Final = 0o600 << 16
_ROWS_A_PAGE: Final = 1000
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class ZipWriter:
    """Writes rows into the entry of one table, as it goes: nothing is held but a buffer.

    The same rows give the same bytes: dates are fixed. The stream need not be able to seek.

    Raises:
        UsageError: the table's name cannot be one in Convex; unpacking such a zip could write elsewhere.
    """

    def __init__(self, stream: BinaryIO, names: Names) -> None:
        if not _IDENTIFIER.fullmatch(names.table):
            raise UsageError(f"{names.table!r} cannot be the name of a table.", hint=[("name it", "--table NAME")])
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
        with EntryLines(archive, path, table.documents) as lines:
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
    with EntryLines(archive, path, schema) as lines:
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
        """Append; after an error of the stream nothing more is written, or Python would add an end to the zip."""
        if self.let_go:
            return len(cast("bytes", data))
        try:
            return self._stream.write(cast("bytes", data))
        except OSError:
            self.let_go = True
            raise

    def flush(self) -> None:
        """Pass it on."""
        if not self.let_go:
            self._stream.flush()
