"""How an export is divided into the files of a folder: by size, by session, by month."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Literal

from sync_tool.encoding.order import same_value
from sync_tool.encoding.values import Value, decode, encode
from sync_tool.files.manifest import Part
from sync_tool.files.names import safe_name
from sync_tool.model import MISSING, Page, Position, Row, Selection
from sync_tool.ports import Source
from sync_tool.text import YEAR_10000_MS, moment

PartitionBy = Literal["none", "session", "month"]

_ROWS_A_PART: Final = 500_000
_BYTES_A_PART: Final = 512 << 20
_AFTER_ALL_TIMES: Final = float(2**53)
"""Sorts after every creation time; those are below 2^53."""
_UNDATED: Final = "undated"


@dataclass(slots=True)
class Portion:
    """The pages of one file to be."""

    name: str
    """Path without suffix, relative to the folder."""
    label: str
    pages: Iterator[Page]
    session: Value = None
    """The session id as ``convex_encoded_json``, where the file is one session."""


Read = Callable[[Selection, Position | None], Iterator[Page]]
"""Reads the selected rows behind a position."""


def portions(source: Source, read: Read, selection: Selection, by: PartitionBy, done: list[Part]) -> Iterator[Portion]:
    """Yield what is left to write; each portion is to be used up before the next one is asked for."""
    if by == "month":
        return _months(source, read, selection, {part.label for part in done})
    last = done[-1].last if done else None
    resume = None if last is None else Position(MISSING if last[0] is None else decode(last[0]["id"]), last[1], last[2])
    if by == "session":
        if resume is not None:
            resume = resume._replace(time=_AFTER_ALL_TIMES, id="")
        return _sessions(read(selection, resume))
    pages = read(selection, resume)
    if resume is not None and last is not None:
        pages = _numbered_on(pages, resume.session, last[3])
    return _parts(pages, len(done))


def position_record(row: Row) -> list[Value]:
    """Return a row's place as JSON that `portions` understands; its session id is wrapped since it may be missing."""
    session = None if row.session is MISSING else {"id": encode(row.session)}
    return [session, row.time, row.id, row.n]


def _numbered_on(pages: Iterable[Page], session: Value, n: int) -> Iterator[Page]:
    """Go on counting in the session that the last finished part ended in."""
    for page in pages:
        for row in page.rows:
            if same_value(row.session, session):
                row.n += n
        yield page


def _parts(pages: Iterator[Page], number: int) -> Iterator[Portion]:
    """Cut a stream of pages into portions of bounded size."""
    rest = _Stream(pages)
    while rest.more():
        yield Portion(f"part-{number:05}", str(number), rest.up_to(_ROWS_A_PART, _BYTES_A_PART))
        number += 1


def _sessions(pages: Iterable[Page]) -> Iterator[Portion]:
    """Cut pages in session order where sessions end."""
    rest = _Stream(_one_session_each(pages))
    while (first := rest.more()) is not None:
        session = first.rows[0].session
        encoded = None if session is MISSING else encode(session)
        yield Portion(safe_name(session), safe_name(session), rest.of_session(), encoded)


def _months(source: Source, read: Read, selection: Selection, done: set[str]) -> Iterator[Portion]:
    """Yield the months that hold rows; from one to the next by asking for the next row, however far it is."""
    selection = source.settled(selection)
    end = _AFTER_ALL_TIMES if selection.before is None else selection.before
    start = None if selection.nothing else source.next_time(selection.after or 0.0)
    while start is not None and start < end:
        label, month_end = _month_of(start)
        if label not in done:
            rest = _Stream(read(replace(selection, after=start, before=min(end, month_end)), None))
            if rest.more():
                yield Portion(f"month={label}/part-0", label, rest.up_to(None, None))
        start = source.next_time(month_end) if month_end < end else None


def _month_of(time: float) -> tuple[str, float]:
    """Return the name of the month of a time, and the first ms after it."""
    date = moment(time)
    if date is None:
        return _UNDATED, _AFTER_ALL_TIMES
    if (date.year, date.month) == (9999, 12):
        return "9999-12", YEAR_10000_MS
    following = datetime(date.year + date.month // 12, date.month % 12 + 1, 1, tzinfo=UTC)
    return f"{date:%Y-%m}", following.timestamp() * 1000


class _Stream:
    """Pages with a look at the next one."""

    def __init__(self, pages: Iterable[Page]) -> None:
        self._pages = iter(pages)
        self._next: Page | None = None
        self._skipped_bytes = 0

    def more(self) -> Page | None:
        """Return the next page that has rows, without taking it; None at the end."""
        while self._next is None or not self._next.rows:
            self._skipped_bytes += self._next.bytes if self._next else 0
            self._next = next(self._pages, None)
            if self._next is None:
                return None
        return self._next

    def up_to(self, rows: int | None, size: int | None) -> Iterator[Page]:
        """Take pages until so many rows or bytes."""
        taken = taken_bytes = 0
        while (page := self.more()) is not None:
            yield self._take(page)
            taken, taken_bytes = taken + len(page.rows), taken_bytes + page.bytes
            if (rows is not None and taken >= rows) or (size is not None and taken_bytes >= size):
                return

    def of_session(self) -> Iterator[Page]:
        """Take the pages of the session that comes next."""
        started = False
        while (page := self.more()) is not None and not (started and page.rows[0].n == 1):
            started = True
            yield self._take(page)

    def _take(self, page: Page) -> Page:
        page.bytes += self._skipped_bytes
        self._next, self._skipped_bytes = None, 0
        return page


def _one_session_each(pages: Iterable[Page]) -> Iterator[Page]:
    """Cut pages so that none holds rows of two sessions."""
    for page in pages:
        starts = [number for number, row in enumerate(page.rows) if row.n == 1 and number > 0]
        for start, stop in zip([0, *starts], [*starts, len(page.rows)], strict=True):
            yield Page(page.rows[start:stop], page.bytes if start == 0 else 0)
