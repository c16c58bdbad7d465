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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import zstandard

from sync_tool.errors import ConvexMsgsError, Locked, OutputError, PipeClosed
from sync_tool.text import harmless_json

if TYPE_CHECKING:
    from typing_extensions import Buffer

COMPRESSIONS: Final = {".zst": "zstd", ".gz": "gzip"}
_ZSTD_LEVEL: Final = 3
_BUFFER: Final = 1 << 20
_STDOUT: Final = Path("standard output")
_LONGEST_NAME: Final = 200


@contextmanager
def new_file(path: Path, *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under `path` only if the block ends without an error.

    A suffix ``.zst`` or ``.gz`` compresses.

    Raises:
        OutputError: `path` exists (without `overwrite`), or cannot be written: folder, rights, space.
        Locked: another run is writing the same file.
    """
    check_output(path, overwrite=overwrite)
    final = Path(os.path.realpath(path))  # what a symbolic link names is written, and the link stays
    temporary = _temporary(final)
    try:
        with _own(temporary, final.name) as raw:
            with compressed(raw, path) as stream:
                yield stream
            raw.flush()
            os.fsync(raw.fileno())
            check_output(path, overwrite=overwrite)
            temporary.rename(final)
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
        """It is."""
        return True

    def write(self, data: Buffer, /) -> int:
        """Write JSON with such characters spelled as escapes."""
        text = bytes(data).decode("utf-8", "surrogateescape")
        self._stream.write(harmless_json(text).encode("utf-8", "surrogateescape"))
        return len(memoryview(data))


@contextmanager
def compressed(raw: BinaryIO, path: Path) -> Iterator[BinaryIO]:
    """Compress what is written to `raw` as the suffix of `path` says; `raw` stays open."""
    kind = COMPRESSIONS.get(path.suffix)
    if kind is None:
        yield raw
    elif kind == "zstd":
        with zstandard.ZstdCompressor(_ZSTD_LEVEL).stream_writer(raw, closefd=False) as writer:
            yield cast("BinaryIO", writer)
    else:  # mtime 0: the same rows give the same bytes
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
        raise OutputError(f"{path} exists; nothing was written.", hint=[("replace it", "--overwrite")])


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
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT, 0o600)
        with open(handle, "wb", buffering=_BUFFER) as raw:  # noqa: PTH123  # a handle, not a path
            lock(handle, name)
            if not _is_still(handle, temporary):
                continue  # another run renamed it between our opening and our lock: that file is finished
            try:
                os.ftruncate(handle, 0)
                yield raw
            except BaseException:
                with suppress(OSError):
                    temporary.unlink()
                raise
            return


def lock(handle: int, name: str) -> None:
    """Lock an open file for this process alone.

    Raises:
        Locked: another process holds it.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Locked(f"another run is writing {name}.") from None


def _is_still(handle: int, path: Path) -> bool:
    """Tell whether a path still names an open file."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
