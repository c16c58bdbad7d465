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

from sync_tool.encoding.canonical import canonical_to_export, dumps, loads_export
from sync_tool.encoding.values import Value
from sync_tool.errors import Damaged, UsageError
from sync_tool.files.bytes import ALWAYS, TIMES, ZstdStream
from sync_tool.files.lines import MAX_LINE_BYTES, read_blocks
from sync_tool.files.zip_legacy import legacy_reader
from sync_tool.rows.batch import Batch, Page, of_documents, read_exported
from sync_tool.rows.model import Names
from sync_tool.text import one_line, size

# Entries of a zip as lines: which ones hold a table, and reading them with every fault said clearly.

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
"""Errors that the libraries raise for broken bytes (ValueError: wrong offsets and names)."""


ValueReader = Callable[[bytes], Value]


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
    """Translate the errors of the libraries.

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


class _Entry:
    """The lines of an entry.

    Args:
        archive: the open zip.
        path: its name, for messages.
        info: the entry.

    Raises:
        UsageError: the entry is encrypted, its compression cannot be read, or it unpacks to too much.
        Damaged: broken bytes, a wrong checksum.
    """

    def __init__(self, archive: zipfile.ZipFile, path: Path, info: zipfile.ZipInfo) -> None:
        _refuse(path, info)
        self._path = path
        self._where = f"{path}, {_entry(info)}"
        self.before = 0
        """Number of lines before the last ones that were yielded."""
        with ExitStack() as stack, _translated(self._where):
            self._stream = self._open(archive, info, stack)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def blocks(self) -> Iterator[list[bytes]]:
        """Yield the lines, many at a time.

        Raises:
            Damaged: broken bytes, a wrong checksum, a line longer than any row.
        """
        blocks = read_blocks(self._stream, block=_BUFFER)
        count = 0
        while True:
            self.before += count
            with _translated(self.place(0)):
                block = next(blocks, None)
            if block is None:
                return
            if isinstance(block, int):
                raise Damaged(f"{self.place(0)}: the line is longer than {size(MAX_LINE_BYTES)}; no row is.")
            lines = block.split(b"\n")[:-1]
            count = len(lines)
            yield lines

    def texts(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that are not empty, stripped, with their number among the last ones, from 0."""
        for block in self.blocks():
            for number, line in enumerate(block):
                if text := line.strip():
                    yield number, text

    def place(self, number: int) -> str:
        """Return the place of a line of the last ones, counted from 0: file, entry, number of the line."""
        return f"{self._where}, line {self.before + number + 1}"

    def _open(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, stack: ExitStack) -> BinaryIO:
        if info.compress_type != _ZSTD:
            opened = stack.enter_context(archive.open(info))
            return io.BufferedReader(cast("io.RawIOBase", opened), _BUFFER)
        raw = stack.enter_context(self._path.open("rb"))  # the stack closes it
        return io.BufferedReader(_ZstdEntry(raw, info), _BUFFER)


class _ZstdEntry(io.RawIOBase):
    """An entry compressed with zstd, which Python's zip module reads from 3.14 on."""

    def __init__(self, raw: BinaryIO, info: zipfile.ZipInfo) -> None:
        raw.seek(info.header_offset)
        mark, name, extra = _LOCAL_HEADER.unpack(raw.read(_LOCAL_HEADER.size))
        if mark != b"PK\x03\x04":
            raise zipfile.BadZipFile("no entry where the directory says")
        raw.seek(name + extra, io.SEEK_CUR)
        self._stream = ZstdStream(raw, info.compress_size)
        self._left = info.file_size
        self._wanted, self._sum = info.CRC, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        """Read at most to the size in the directory, and check the sum there."""
        view = memoryview(cast("bytearray", buffer))[: self._left]
        count = self._stream.readinto(view) if self._left else 0
        if self._left and not count:
            raise EOFError("the entry ends too early")
        self._sum = zlib.crc32(view[:count], self._sum)
        self._left -= count
        if not self._left and self._sum != self._wanted:
            raise zipfile.BadZipFile("wrong checksum")
        return count


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
        if page.count and self._documents is not None:
            lines = page.batch.canonical_lines()
            if b'"$integer"' in lines:
                lines = b"\n".join([*map(canonical_to_export, lines.split(b"\n")[:-1]), b""])
            self._documents.write(lines)

    def finish(self) -> None:
        """Write the marker of the rows' encoding, and the directory of the zip."""
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
    with open_zip(path) as archive:
        table = find_table(archive, path, names.table)
        value_of = _value_reader(archive, path, table.schema)
        with _Entry(archive, path, table.documents) as entry:
            for lines in entry.blocks():
                yield Page(_rows(lines, entry, value_of, names), sum(map(len, lines)))


def _rows(lines: list[bytes], entry: _Entry, value_of: ValueReader, names: Names) -> Batch:
    if value_of is loads_export and b"" not in lines:
        try:
            return read_exported(lines, names)
        except ValueError:
            pass  # one by one, to name the line
    raws = []
    for number, line in enumerate(lines):
        if text := line.strip():
            try:
                value = value_of(text)
                if type(value) is not dict:
                    raise ValueError("not a JSON object")  # noqa: TRY301
                raws.append(dumps(value))
            except (ValueError, RecursionError) as error:
                raise Damaged(f"{entry.place(number)}: {error}") from None
    return of_documents(raws, names)


def size_inside(path: Path, table: str) -> int:
    """Return how many bytes the rows of `table` take when they are unpacked.

    Raises:
        Damaged, UsageError: as `read_zip`.
    """
    with open_zip(path) as archive:
        return find_table(archive, path, table).documents.file_size


def _value_reader(archive: zipfile.ZipFile, path: Path, schema: zipfile.ZipInfo | None) -> ValueReader:
    """Return the function that reads a line, according to the generated schema."""
    if schema is None:
        return legacy_reader(b'"unknown"', iter(()))
    with _Entry(archive, path, schema) as entry:
        lines = entry.texts()
        last, first = next(lines, (0, b""))
        if first == _UNIFORM:
            return loads_export

        def rest() -> Iterator[bytes]:
            nonlocal last
            for last, text in lines:  # noqa: B007  # the error below names the last line
                yield text

        try:
            return legacy_reader(first, rest())
        except ValueError as error:
            raise Damaged(f"{entry.place(last)}: {error}") from None


class _Forward(io.RawIOBase):
    """A stream that only goes forward, so that a zip is the same in a file, in a pipe and behind ``>>``."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.let_go = False
        """True when what is still written is dropped."""

    def writable(self) -> bool:
        """Return True."""
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
