"""Unpacking compressed files: never past a bound, and never as if a file that was cut had just ended."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO, Final, cast

import zstandard

from sync_tool.errors import UsageError
from sync_tool.text import size

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
        """Say yes."""
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
    """The frames of a ``.zst`` file, unpacked. (zstandard's own reader takes a frame that was cut for its end.)

    Args:
        stream: the compressed bytes.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._rest = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: object) -> int:
        """Read on.

        Raises:
            EOFError: the bytes end inside a frame.
            zstandard.ZstdError: they are broken.
        """
        while not self._ready:
            packed = self._rest or self._stream.read(_PACKED_CHUNK)
            if not packed:
                if self._frame is not None:
                    raise EOFError("it ends in the middle")
                return 0
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
