"""A JSON object of any size, in a file, whose one long array is read in pieces.

An answer of ``data/sync`` may have hundreds of megabytes, and what a reader must know first (the cursor) comes last.
So the file is gone through once, which keeps everything but the array's elements, and where these are.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from typing import BinaryIO, Final

_WINDOW: Final = 1 << 20
_LONGEST: Final = 64 << 20
"""No text between two brackets is as long: a document has 1 MiB at most, of which JSON makes six."""

_BRACKET: Final = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+([{}\[\]])', re.DOTALL)
"""Everything up to and with the next bracket that stands in no string; no match as long as that is not there."""

_OPENING: Final = (b"{", b"[")


class LongAnswer:
    """The index of one file.

    Args:
        file: holds one JSON object.
        member: the member of that object whose value is the long array of objects.

    Raises:
        ValueError: the brackets do not match, or the array holds something else than objects.

    Attributes:
        rest: the same object with the array empty, as JSON text.
    """

    def __init__(self, file: BinaryIO, member: str) -> None:
        self._file = file
        self._start = re.compile(rb'"%s"\s*:\s*\[\Z' % member.encode())
        self._pieces = array("Q")
        """Offsets: begin and end of the first piece, of the second one, …; each holds whole elements."""
        self._rest: list[bytes] = []
        self._depth = 0
        self._inside = False
        self._element = 0
        for offset, text in _brackets(file):
            self._take(offset, text)
        if self._depth or self._inside:
            raise ValueError("it ends too early")
        self.rest = b"".join(self._rest)

    def pieces(self) -> Iterator[bytes]:
        """Yield the array's elements, some at a time, as JSON arrays; as often as wanted."""
        offsets = self._pieces
        for index in range(0, len(offsets), 2):
            self._file.seek(offsets[index])
            yield b"[" + self._file.read(offsets[index + 1] - offsets[index]) + b"]"

    def _take(self, offset: int, text: bytes) -> None:
        """Go past a bracket and what stands before it; `offset` is where that begins."""
        opening = text[-1:] in _OPENING
        if self._inside and self._depth == 2:
            self._between(offset, text)
        elif not self._inside:
            self._rest.append(text)
            self._inside = opening and self._depth == 1 and self._start.search(text) is not None
        elif self._depth == 3 and not opening:
            self._add(self._element, offset + len(text))
        self._depth += 1 if opening else -1

    def _between(self, offset: int, text: bytes) -> None:
        """An element begins, or the array ends."""
        ends = text[-1:] == b"]"
        before = b"," if self._pieces and not ends else b""
        if text[:-1].strip() != before or text[-1:] not in (b"]", b"{"):
            raise ValueError("it holds something else than objects")
        if ends:
            self._rest.append(b"]")
            self._inside = False
        self._element = offset + len(text) - 1

    def _add(self, begin: int, end: int) -> None:
        """Note an element, in the piece before it if that is small."""
        if self._pieces and end - self._pieces[-2] <= _WINDOW:
            self._pieces[-1] = end
        else:
            self._pieces.extend((begin, end))


def _brackets(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield each bracket of a file with all that stands before it, and the offset of that."""
    file.seek(0)
    base, position, window = 0, 0, b""
    while chunk := file.read(_WINDOW):
        base, position, window = base + position, 0, window[position:] + chunk
        while found := _BRACKET.match(window, position):
            yield base + position, found[0]
            position = found.end()
        if len(window) - position > _LONGEST:
            raise ValueError("a text in it is too long")
