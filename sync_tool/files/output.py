"""Output that is either complete under its name or not there at all.

The bytes go to a temporary name in the same folder, mode 0600, are synced, then renamed, then the
folder is synced. A killed run leaves only the temporary name, which the next run takes over.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

import zstandard

from sync_tool.errors import ConvexMsgsError, Locked, OutputError, PipeClosed

COMPRESSIONS: Final = {".zst": "zstd", ".gz": "gzip"}
_ZSTD_LEVEL: Final = 3
_BUFFER: Final = 1 << 20


@contextmanager
def new_file(path: Path, *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under `path` only if the block ends without an error.

    A suffix ``.zst`` or ``.gz`` compresses.

    Raises:
        OutputError: `path` exists (without `overwrite`), or cannot be written: folder, rights, space.
        Locked: another run is writing the same file.
    """
    check_output(path, overwrite=overwrite)
    temporary = path.with_name(f".{path.name}.part")
    try:
        with _own(temporary) as raw:
            with compressed(raw, path) as stream:
                yield stream
            raw.flush()
            os.fsync(raw.fileno())
            check_output(path, overwrite=overwrite)
            temporary.rename(path)
            _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise translate(error, path) from None
    except Locked:
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Open standard output for bytes.

    Raises:
        PipeClosed: the reader went away.
        OutputError: it cannot be written, for example because the disk behind it is full.
    """
    stream = sys.stdout.buffer
    try:
        yield stream
        stream.flush()
    except BrokenPipeError:
        raise PipeClosed("standard output was closed.") from None
    except OSError as error:
        raise translate(error, Path("standard output")) from None


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
    if error.errno == errno.ENOSPC:
        return OutputError(f"no space left for {path}; nothing was written under that name.")
    if error.errno == errno.ENOENT:
        return OutputError(f"cannot write {path}: the folder {path.parent} does not exist.")
    return OutputError(f"cannot write {path}: {error.strerror or error}.")


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse what can be seen to be no good before anything is read: a folder, an existing file.

    Raises:
        OutputError: says which.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder.", hint=[("give", "the name of a file")])
    if not overwrite and path.exists():
        raise OutputError(f"{path} exists; nothing was written.", hint=[("replace it", "--overwrite")])


@contextmanager
def _own(temporary: Path) -> Iterator[BinaryIO]:
    """Open the temporary file and lock it; the lock dies with the process."""
    handle = os.open(temporary, os.O_RDWR | os.O_CREAT, 0o600)
    with open(handle, "wb", buffering=_BUFFER) as raw:  # noqa: PTH123  # a handle, not a path
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Locked(f"another run is writing {temporary.name[1:].removesuffix('.part')}.") from None
        os.ftruncate(handle, 0)
        yield raw


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
