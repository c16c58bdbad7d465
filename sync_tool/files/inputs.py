"""Opening files for reading, compressed or not, with foreign errors translated."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from sync_tool.errors import Damaged, UsageError
from sync_tool.files.output import COMPRESSIONS

_BUFFER = 1 << 20


@contextmanager
def open_input(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading bytes; a suffix ``.zst`` or ``.gz`` decompresses.

    Raises:
        UsageError: there is no such file, or it cannot be read.
        Damaged: the compressed bytes are cut off or broken.
    """
    try:
        with path.open("rb") as raw:
            kind = COMPRESSIONS.get(path.suffix)
            if kind is None:
                yield raw
            elif kind == "zstd":
                with zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as reader:
                    yield io.BufferedReader(cast("io.RawIOBase", reader), _BUFFER)
            else:
                with gzip.GzipFile(fileobj=raw, mode="rb") as zipped:
                    yield cast("BinaryIO", zipped)
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
        raise Damaged(f"{path} is damaged: {error}.") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}.") from None
