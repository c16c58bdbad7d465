"""Parts: compressed files of records, one a line, which is a row or ``{"_deleted":"<_id>"}``; later ones are newer.

No row can look like a deletion: fields of Convex documents do not begin with ``_``, except the system's two.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final, cast

import msgspec
import zstandard

from sync_tool.archive.layout import Layout, make_folder, unreadable
from sync_tool.archive.sealed_files import ArchivePart
from sync_tool.errors import Damaged
from sync_tool.files.bytes import ZstdStream, new_file
from sync_tool.files.private import open_regular

_DELETED: Final = b'{"_deleted":'
_CHUNK: Final = 1 << 20
# Longer than any row.
_LONGEST: Final = 16 << 20

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(dict[str, str]).decode


def deletion(document_id: str) -> bytes:
    """Return the record of a deleted row."""
    return _encode({"_deleted": document_id})


def deleted_id(record: bytes) -> str | None:
    """Return the ``_id`` of a deletion; None for a row.

    Raises:
        ValueError: it is neither.
    """
    return _decode(record)["_deleted"] if record.startswith(_DELETED) else None


class PartWriter:
    """Writes a part, which appears under its name with `finish`. A thread compresses it.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, layout: Layout, run: str, number: int) -> None:
        make_folder(layout.parts / run)
        self._layout = layout
        self._path = layout.part(run, number)
        self._stack = ExitStack()
        # A run that was interrupted just after this part's rename left it there; it does not count.
        self._stream = self._stack.enter_context(new_file(self._path, overwrite=True))
        self._thread = self._stack.enter_context(ThreadPoolExecutor(1, "part"))
        self._writing: Future[int] | None = None
        self.records = 0
        self.bytes = 0
        """Before compression."""

    def write(self, records: list[bytes]) -> None:
        """Append records."""
        data = b"\n".join([*records, b""])
        self._settle()
        self._writing = self._thread.submit(self._stream.write, data)
        self.records += len(records)
        self.bytes += len(data)

    def finish(self) -> ArchivePart:
        """Make the part durable and return its description."""
        self._settle()
        self._stack.close()
        return finished_part(self._layout, self._path, self.records)

    def _settle(self) -> None:
        """Wait for the thread, and raise its error."""
        if self._writing is not None:
            self._writing.result()

    def discard(self) -> None:
        """Remove the unfinished part."""
        error = _DiscardedError()  # an error in the block is how `new_file` knows that the file is not wanted
        with suppress(_DiscardedError):
            self._stack.__exit__(type(error), error, None)


class _DiscardedError(Exception):
    """The part is not wanted any more."""


def finished_part(layout: Layout, path: Path, records: int) -> ArchivePart:
    """Return the description of a finished file."""
    digest, size = sha256(), 0
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return ArchivePart(path.relative_to(layout.root).as_posix(), size, records, digest.hexdigest())


def read_part(path: Path, part: ArchivePart | None = None) -> Iterator[bytes]:
    """Yield the records of a part.

    Args:
        path: the file.
        part: its description in the run's file, checked at the end.

    Raises:
        Damaged: missing, cut off, or changed.
        UsageError: this user may not read it.
    """
    try:
        with open_regular(path) as raw:
            watched = _Watched(raw)
            number = 0
            for record in _lines(ZstdStream(cast("BinaryIO", watched)), path):
                number += 1
                yield record
            while watched.read(_CHUNK):
                pass
    except FileNotFoundError:
        raise Damaged(f"{path} is missing.") from None
    except PermissionError:
        raise unreadable(path) from None
    except (zstandard.ZstdError, EOFError) as error:
        raise Damaged(f"{path} is damaged: {error}.") from None
    except OSError as error:
        raise Damaged(f"{path} cannot be read: {error.strerror or error}.") from None
    if part is not None and (watched.size, watched.hexdigest, number) != (part.bytes, part.sha256, part.records):
        raise Damaged(f"{path} is damaged: its sha256 is not what the run's file says.")


class _Watched:
    """A file that counts and digests the bytes that are read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = sha256()
        self.size = 0

    def read(self, count: int = -1) -> bytes:
        """Read the next bytes."""
        data = self._file.read(count)
        self._digest.update(data)
        self.size += len(data)
        return data

    @property
    def hexdigest(self) -> str:
        """The sha256 of the bytes read."""
        return self._digest.hexdigest()


def _lines(packed: ZstdStream, path: Path) -> Iterator[bytes]:
    stream, rest = io.BufferedReader(packed, _CHUNK), b""
    while chunk := stream.read(_CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _LONGEST:
            raise Damaged(f"{path} is damaged: it holds a line longer than any row.")
        yield from lines
    if rest:
        raise Damaged(f"{path} is damaged: its last line is cut off.")
