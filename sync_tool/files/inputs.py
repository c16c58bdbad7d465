"""Opening files for reading, compressed or not, with foreign errors translated."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import zstandard

from sync_tool.errors import Damaged, UsageError
from sync_tool.files.output import COMPRESSIONS
from sync_tool.files.unpacking import Unpacked, ZstdStream

_BUFFER = 1 << 20


@contextmanager
def open_input(path: Path, *, unpacked_limit: int | None = None) -> Iterator[BinaryIO]:
    """Open a file for reading bytes; a suffix ``.zst`` or ``.gz`` decompresses.

    Args:
        path: the file.
        unpacked_limit: most bytes that may come out of a compressed one (`sync_tool.files.unpacking`).

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
