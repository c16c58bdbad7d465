"""Output that is either complete under its name or not there at all.

The bytes go to a temporary name in the same folder, mode 0600, are synced, then renamed, then the
folder is synced. A killed run leaves only the temporary name, which the next run takes over.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import hashlib
import io
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import zstandard

from sync_tool.errors import ConvexMsgsError, Damaged, Locked, OutputError, PipeClosed, UsageError
from sync_tool.files.private import open_own, rename_new
from sync_tool.text import harmless_json, size

if TYPE_CHECKING:
    from typing_extensions import Buffer

COMPRESSIONS: Final = {".zst": "zstd", ".gz": "gzip"}
_ZSTD_LEVEL: Final = 3
_BUFFER: Final = 1 << 20
_STDOUT: Final = Path("standard output")
_LONGEST_NAME: Final = 200
_MODE: Final = 0o600


@contextmanager
def new_file(
    path: Path, *, overwrite: bool = False, compress: bool = True, follow: bool = False, mode: int = _MODE
) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under `path` only if the block ends without an error.

    Args:
        path: a suffix ``.zst`` or ``.gz`` compresses.
        overwrite: replace what is there.
        compress: false leaves the suffix of `path` without effect.
        follow: replace the file that a symbolic link names, and keep the link; else the link is replaced.
        mode: of the file, whatever the umask.

    Raises:
        OutputError: `path` exists (without `overwrite`), or cannot be written: folder, rights, space.
        Locked: another run is writing the same file.
    """
    check_output(path, overwrite=overwrite)
    final = Path(os.path.realpath(path)) if follow and overwrite else path
    temporary = _temporary(final)
    try:
        with _own(temporary, final.name) as raw:
            with compressed(raw, path.suffix if compress else "") as stream:
                yield stream
            raw.flush()
            if mode != _MODE:
                os.fchmod(raw.fileno(), mode)
            os.fsync(raw.fileno())
            check_output(path, overwrite=overwrite)
            _place(temporary, final, overwrite=overwrite)
            _sync_folder(final.parent)
    except OSError as error:
        raise translate(error, path) from None


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Open standard output for bytes.

    Raises:
        PipeClosed: the reader went away.
        OutputError: it cannot be written, for example because the disk behind it is full.
    """
    if sys.stdout is None:
        raise OutputError("standard output is closed.", hint=[("give", "-o FILE")])
    stream = sys.stdout.buffer
    try:
        yield cast("BinaryIO", _Terminal(stream)) if stream.isatty() else stream
        stream.flush()
    except OSError as error:
        raise translate(error, _STDOUT) from None


class _Terminal(io.RawIOBase):
    """A terminal, to which no character goes that could change what it shows."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Buffer, /) -> int:
        """Write JSON with such characters as escapes."""
        text = bytes(data).decode("utf-8", "surrogateescape")
        self._stream.write(harmless_json(text).encode("utf-8", "surrogateescape"))
        return len(memoryview(data))


@contextmanager
def compressed(raw: BinaryIO, suffix: str) -> Iterator[BinaryIO]:
    """Compress data for `raw` if the suffix is one of a compression; `raw` stays open."""
    kind = COMPRESSIONS.get(suffix)
    if kind is None:
        yield raw
    elif kind == "zstd":
        with zstandard.ZstdCompressor(_ZSTD_LEVEL).stream_writer(raw, closefd=False) as writer:
            yield cast("BinaryIO", writer)
    else:  # mtime 0, so that the same rows give the same bytes
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as zipped:
            yield cast("BinaryIO", zipped)


def translate(error: OSError, path: Path) -> ConvexMsgsError:
    """Return our error for what the operating system said about writing `path`."""
    if error.errno == errno.EPIPE:
        return PipeClosed(f"{path} was closed.")
    if error.errno == errno.ENOSPC:
        left = "" if path == _STDOUT else "; nothing was written under that name"
        return OutputError(f"no space left for {path}{left}.")
    if error.errno == errno.ENOENT and not path.parent.exists():
        return OutputError(f"cannot write {path}: the folder {path.parent} does not exist.")
    return OutputError(f"cannot write {path}: {error.strerror or error}.")


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse what can be seen to be no good before anything is read: a folder, a device, an existing file.

    Raises:
        OutputError: says which.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink() and not overwrite:  # it leads nowhere yet, and where it leads is not the user's choice
            raise _exists(path) from None
        return
    except OSError as error:
        raise translate(error, path) from None
    except ValueError:
        raise OutputError(f"{str(path)!r} cannot be the name of a file.") from None
    if stat.S_ISDIR(mode):
        raise OutputError(f"{path} is a folder.", hint=[("give", "the name of a file")])
    if not stat.S_ISREG(mode):
        raise OutputError(f"{path} is no file but a device or a pipe.", hint=[("instead", f"-o - > {path}")])
    if not overwrite:
        raise _exists(path)


def _exists(path: Path) -> OutputError:
    return OutputError(f"{path} exists; nothing was written.", hint=[("replace it", "--overwrite")])


def _place(temporary: Path, final: Path, *, overwrite: bool) -> None:
    """Give a finished file its name; without `overwrite` nothing is replaced that has appeared meanwhile."""
    if overwrite:
        temporary.rename(final)
        return
    try:
        rename_new(temporary, final)
    except FileExistsError:
        raise _exists(final) from None


def _temporary(path: Path) -> Path:
    """Return the hidden name beside a file, within the length that names may have."""
    name = path.name
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    return path.with_name(f".{name}.part")


@contextmanager
def _own(temporary: Path, name: str) -> Iterator[BinaryIO]:
    """Open the temporary file and lock it; the lock dies with the process.

    After an error the file is removed, but only by the run whose lock it is.
    """
    while True:
        handle = open_own(temporary)
        with open(handle, "wb", buffering=_BUFFER) as raw:  # noqa: PTH123  # a handle, not a path
            lock(handle, name)
            if not _is_still(handle, temporary):
                continue  # another run renamed it between our opening and our lock: that file is finished
            if os.fstat(handle).st_nlink > 1:  # finished when it was killed, or a foreign file: this name alone goes
                temporary.unlink()
                continue
            try:
                os.ftruncate(handle, 0)
                yield raw
            except BaseException:
                with suppress(OSError):
                    temporary.unlink()
                raise
            return


def lock(handle: int, name: str) -> None:
    """Lock an open file for this process alone; the lock dies with the process.

    Raises:
        Locked: another process holds it.
        OutputError: the file system has no locks.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Locked(f"another run is writing {name}.") from None
    except OSError as error:
        raise OutputError(
            f"cannot lock {name}: {error.strerror or error}.",
            hint=[("its file system has no locks", "write to another one, and copy the result")],
        ) from None


def _is_still(handle: int, path: Path) -> bool:
    """Return whether a path still names an open file."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# Unpacking compressed files: never past a bound, and never as if a file that was cut had just ended.

ALWAYS: Final = 4 << 30
"""So many bytes may come out of any file."""
TIMES: Final = 200
"""So many times its own size may come out of a larger one. (JSONL of chats shrinks 5 to 20 times.)"""
_PACKED_CHUNK: Final = 4096
"""A block of 4 bytes may hold 128 KiB: a larger chunk could fill the memory."""


class Unpacked(io.RawIOBase):
    """Passes on what a decompressor gives until it is too much.

    Args:
        stream: the decompressor.
        path: the compressed file.
        limit: most bytes that may come out; None for the larger of `ALWAYS` and `TIMES` the file's size.
    """

    def __init__(self, stream: io.RawIOBase | io.BufferedIOBase, path: Path, limit: int | None) -> None:
        # one read of the file at a time: what came before broken bytes is not thrown away with them
        self._readinto = stream.readinto1 if isinstance(stream, io.BufferedIOBase) else stream.readinto
        self._path = path
        self._limit = max(ALWAYS, TIMES * path.stat().st_size) if limit is None else limit
        self._count = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: object) -> int:
        """Read on.

        Raises:
            UsageError: more came out than the limit.
        """
        count = self._readinto(cast("bytearray", buffer)) or 0
        self._count += count
        if self._count > self._limit:
            raise UsageError(
                f"{self._path} holds more than {size(self._limit)} unpacked, from {size(self._path.stat().st_size)}.",
                hint=[("if that is right", "unpack it first and give the plain file")],
            )
        return count


class ZstdStream(io.RawIOBase):
    """Decompressed zstd frames. (zstandard's own reader takes a truncated frame for its end.)

    Args:
        stream: the compressed bytes.
        length: number of compressed bytes; None for all.
    """

    def __init__(self, stream: BinaryIO, length: int | None = None) -> None:
        self._stream = stream
        self._left = sys.maxsize if length is None else length
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._rest = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: object) -> int:
        """Read on.

        Raises:
            EOFError: the bytes end inside a frame.
            zstandard.ZstdError: they are broken.
        """
        while not self._ready:
            packed = self._rest or self._stream.read(min(_PACKED_CHUNK, self._left))
            if not packed:
                if self._frame is not None:
                    raise EOFError("it ends in the middle")
                return 0
            self._left -= 0 if self._rest else len(packed)
            self._unpack(packed)
        target = cast("bytearray", buffer)
        count = min(len(target), len(self._ready))
        target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _unpack(self, packed: bytes) -> None:
        if self._frame is None:
            self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._ready = memoryview(self._frame.decompress(packed))
        self._rest = b""
        if self._frame.eof:
            self._rest, self._frame = self._frame.unused_data, None


# Opening files for reading, compressed or not, with foreign errors translated.


@contextmanager
def open_input(path: Path, *, unpacked_limit: int | None = None) -> Iterator[BinaryIO]:
    """Open a file for reading bytes; a suffix ``.zst`` or ``.gz`` decompresses.

    Args:
        path: the file.
        unpacked_limit: most bytes that may come out of a compressed one (`sync_tool.files.bytes`).

    Raises:
        UsageError: there is no such file, it cannot be read, or too much comes out of it.
        Damaged: the compressed bytes are cut off or broken.
    """
    try:
        with path.open("rb") as raw:
            kind = COMPRESSIONS.get(path.suffix)
            if kind is None:
                yield raw
            elif kind == "zstd":
                yield _bounded(ZstdStream(raw), path, unpacked_limit)
            else:
                with gzip.GzipFile(fileobj=raw, mode="rb") as zipped:
                    yield _bounded(zipped, path, unpacked_limit)
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
        raise Damaged(f"{path} is damaged: {error}.") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}.") from None


def _bounded(stream: io.RawIOBase | io.BufferedIOBase, path: Path, limit: int | None) -> BinaryIO:
    return io.BufferedReader(Unpacked(stream, path, limit), _BUFFER)
