"""Rows put into the form of the output in other processes, and joined here as if one process had done it all.

A source that can be cut gives `RowChunk`s; `ready_pages` lays each out and yields them in order, as pages that only the
writer of that form can write. Rows are numbered within their session from the start of their piece, so that
the writer adds how many of its session there were before.
"""

from __future__ import annotations

from array import array
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby, repeat
from operator import itemgetter
from typing import Any, Final, NamedTuple, Protocol

from sync_tool.parallel.processes import in_processes
from sync_tool.rows.model import Names, Page, Row
from sync_tool.rows.reading import RowReader
from sync_tool.rows.sorting import TEXT, Key, in_file_order, keys_of
from sync_tool.rows.typed import TypedRows, decode_lines

_ROWS_A_PIECE: Final = 1000


class RowChunk(Protocol):
    """Some rows that follow one another in their source; travels to the process that reads them."""

    def parts(self, names: Names) -> Iterator[TypedRows | Page]:
        """Yield the rows, as pages where they are not all of the kind that `TypedRows` holds."""

    @property
    def size(self) -> int:
        """How many bytes of documents were read for them."""


class Form(Protocol):
    """How rows of an output format are laid out, by an object that can be pickled."""

    def lay_typed(self, rows: TypedRows, numbers: list[int], names: Names) -> Any:
        """Return typed rows as the writer takes them."""

    def lay_page(self, page: Page, names: Names) -> Any:
        """Return the rows of a page, which are numbered, as the writer takes them."""


class Ready(NamedTuple):
    """The rows of a piece as the writer takes them, and what is to be known of them beside."""

    size: int
    rows: int
    sessions: int
    """How many stretches of rows of one session there are."""
    first_run: int
    """How many rows the first stretch has."""
    last_run: int
    keys: tuple[Key, Key] | None
    """Where the first and the last row stand in session order; None where there are no rows."""
    in_order: bool
    hashes: bytes
    """64 bits of each ``_id`` that is not empty, the same in all processes of one call."""
    laid: list[Any]


class ReadyPage(Page):
    """Rows that are in the form of an output already; only its writer can do something with them."""

    __slots__ = ("before", "ready")

    def __init__(self, ready: Ready, before: int) -> None:
        super().__init__([], ready.size)
        self.ready = ready
        self.before = before
        """How many rows of the session of the first one were yielded before."""

    @property
    def rows(self) -> list[Row]:
        """Never there.

        Raises:
            TypeError: always.
        """
        raise TypeError("these rows are laid out for a writer")

    @rows.setter
    def rows(self, rows: list[Row]) -> None:  # noqa: ARG002  # the form of a setter
        raise TypeError("these rows are laid out for a writer")

    @property
    def count(self) -> int:
        """How many rows these are."""
        return self.ready.rows

    @property
    def begun(self) -> int:
        """How many sessions begin here."""
        return self.ready.sessions - (1 if self.before else 0)


def ready_pages(pieces: Iterable[RowChunk], form: Form, names: Names, processes: int) -> Generator[ReadyPage]:
    """Yield the rows of pieces as the writer of a form takes them; the processes start at once.

    Raises:
        ConvexMsgsError: whatever the pieces raise when they are read; or a process was killed.
    """
    return _joined(in_processes(partial(_lay_out, form, names), pieces, processes))


def _joined(found: Generator[Ready]) -> Generator[ReadyPage]:
    session, count = None, 0
    with closing(found):
        for ready in found:
            if ready.keys is None:
                yield ReadyPage(ready, 0)
                continue
            first, last = ready.keys
            before = count if first[:2] == session else 0
            yield ReadyPage(ready, before)
            session, count = last[:2], ready.last_run + (before if ready.sessions == 1 else 0)


def _lay_out(form: Form, names: Names, piece: RowChunk) -> Ready:
    """Lay out one piece; runs in a process of its own."""
    keys: list[Key] = []
    runs: list[int] = []
    laid = []
    for part in piece.parts(names):
        if isinstance(part, Page):
            found = keys_of(part)
            _number(part, _numbers(found, keys, runs))
            laid.append(form.lay_page(part, names))
        else:
            found = list(zip(repeat(TEXT), part.sessions, part.times, part.ids))
            laid.append(form.lay_typed(part, _numbers(found, keys, runs), names))
        keys += found
    hashes = array("q", [hash(key[-1]) for key in keys if key[-1]]).tobytes()
    if not keys:
        return Ready(piece.size, 0, 0, 0, 0, None, in_order=True, hashes=b"", laid=[])
    return Ready(
        piece.size, len(keys), len(runs), runs[0], runs[-1], (keys[0], keys[-1]), in_file_order(keys), hashes, laid
    )  # fmt: skip


def _numbers(found: list[Key], before: list[Key], runs: list[int]) -> list[int]:
    """Return the number of each row in its session, from 1; `runs`, how many rows each stretch has, goes on."""
    numbers: list[int] = []
    session = before[-1][:2] if before else None
    for this, same in groupby(map(itemgetter(0, 1), found)):
        count = len(list(same))
        if this == session:
            runs[-1] += count
        else:
            runs.append(count)
        numbers += range(runs[-1] - count + 1, runs[-1] + 1)
        session = None
    return numbers


def _number(page: Page, numbers: list[int]) -> None:
    if page.block is not None:
        page.block.numbers = numbers
    else:
        for row, number in zip(page.rows, numbers, strict=True):
            row.n = number


@dataclass(frozen=True, slots=True)
class Documents:
    """Rows that a source has read already (`RowChunk`)."""

    raws: list[bytes]
    size: int

    def parts(self, names: Names) -> Iterator[TypedRows | Page]:
        """Yield the rows, typed if each holds a message and nothing beside it."""
        rows = decode_lines(b"\n".join([*self.raws, b""]), names)
        if rows is None:
            reader = RowReader(names)
            yield Page(list(map(reader.row, self.raws)), self.size)
        else:
            yield rows


def cut_pages(pages: Iterable[Page]) -> Iterator[Documents]:
    """Yield the rows of pages in pieces that are decoded at once: values take ten times the room of their JSON."""
    for page in pages:
        block = page.block
        raws = [row.raw for row in page.rows] if block is None else block.texts()
        size = page.bytes
        for start in range(0, max(1, len(raws)), _ROWS_A_PIECE):
            yield Documents(raws[start : start + _ROWS_A_PIECE], size)
            size = 0
