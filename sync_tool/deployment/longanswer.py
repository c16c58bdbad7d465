"""A JSON object of any size, in a file, whose one long array is read in pieces.

An answer of ``data/sync`` may have hundreds of megabytes, and what a reader must know first (the cursor) comes last.
So the file is gone through once, a window at a time, to find where the array's elements begin and end.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from typing import BinaryIO, Final

_WINDOW: Final = 1 << 20
_LONGEST: Final = 64 << 20
"""No element is as long, nor what stands around the array: a document has 1 MiB, of which JSON makes six at most."""

_DEEPEST: Final = 24
"""Documents are nested 16 deep at most; around them are a few more."""


def _inside(depth: int) -> bytes:
    """Return a pattern for what stands between two brackets; none of it is ever gone through twice."""
    flat = rb'[^"{}\[\]]++|' + _STRING
    inside = rb"(?:%b)*+" % flat
    for _ in range(depth):
        inside = rb"(?:%b|[{\[]%b[}\]])*+" % (flat, inside)
    return inside


_STRING: Final = rb'"(?:[^"\\]++|\\.)*+"'
_INSIDE: Final = _inside(_DEEPEST)
_VALUE: Final = rb'(?:[{\[]%b[}\]]|%b|[^",{}\[\]\s]++)' % (_INSIDE, _STRING)
_MEMBER: Final = rb"\s*+%b\s*+:\s*+%b\s*+," % (_STRING, _VALUE)
_ELEMENT: Final = rb"\{%b\}" % _INSIDE
_RUN: Final = rb"\s*+(%b(?:\s*+,\s*+%b)*+)" % (_ELEMENT, _ELEMENT)

_FIRST_RUN: Final = re.compile(_RUN, re.DOTALL)
_NEXT_RUN: Final = re.compile(rb"\s*+," + _RUN, re.DOTALL)
_END: Final = re.compile(rb"\s*+\]")


class LongAnswer:
    """The index of one file.

    Args:
        file: holds one JSON object.
        member: the member of that object whose value is the long array of objects.

    Raises:
        ValueError: it does not.

    Attributes:
        rest: the same object with the array empty, as JSON text.
    """

    def __init__(self, file: BinaryIO, member: str) -> None:
        self._file = file
        self._pieces = array("Q")
        """Offsets: begin and end of the first piece, of the second one, …; each holds whole elements."""
        head = re.compile(rb'\s*+\{(?:%b)*?\s*+"%b"\s*+:\s*+\[' % (_MEMBER, member.encode()), re.DOTALL)
        file.seek(0)
        window = file.read(_WINDOW)
        while (begin := head.match(window)) is None:
            window = self._longer(window)
        self.rest = begin[0] + b"]" + self._index(window, begin.end())

    def pieces(self) -> Iterator[bytes]:
        """Yield the array's elements, some at a time, as JSON arrays; as often as wanted."""
        offsets = self._pieces
        for index in range(0, len(offsets), 2):
            self._file.seek(offsets[index])
            yield b"[" + self._file.read(offsets[index + 1] - offsets[index]) + b"]"

    def _index(self, window: bytes, position: int) -> bytes:
        """Go through the array that begins there; return what follows it."""
        base, run = 0, _FIRST_RUN
        while (end := _END.match(window, position)) is None:
            if found := run.match(window, position):
                self._pieces.extend((base + found.start(1), base + found.end(1)))
                position, run = found.end(), _NEXT_RUN
            else:
                base, window, position = base + position, self._longer(window[position:]), 0
        after = window[end.end() :] + self._file.read(_LONGEST)
        if len(after) >= _LONGEST:
            raise ValueError("a text in it is too long")
        return after

    def _longer(self, window: bytes) -> bytes:
        """Return the window with more of the file behind it."""
        more = self._file.read(_WINDOW)
        if not more:
            raise ValueError("it ends too early, or is nested too deeply")
        if len(window) > _LONGEST:
            raise ValueError("a text in it is too long")
        return window + more
