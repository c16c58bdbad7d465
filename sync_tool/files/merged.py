"""Several places as one source of messages, in which each row counts once."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import cached_property
from hashlib import blake2b
from itertools import chain
from typing import Final, NamedTuple

from sync_tool.errors import Damaged, OutputError, UsageError
from sync_tool.files.distinct import Distinct
from sync_tool.files.ready import Form, ReadyPage, RowChunk, ready_pages
from sync_tool.rows.model import Names, Page, Position, Row, Selection
from sync_tool.rows.reading import numbered
from sync_tool.rows.sorting import InOrder
from sync_tool.rows.stored import StoredRows
from sync_tool.text import one_line

_PLACES: Final = 1 << 40
"""More rows than one place holds."""


class NotAsTrusted(Exception):  # no failure: the reading starts again
    """The rows are not in session order, or an ``_id`` is there twice: what was yielded is to be thrown away."""


class Merged(StoredRows):
    """The rows of several places together.

    Rows that are equal in ``_id`` and content count once. Rows without ``_id`` all count.

    Args:
        places: where the rows are.
        trusting: take the rows to be in session order with an ``_id`` of their own each, as in whatever this tool
            wrote, read them once only, and raise `NotAsTrusted` as soon as that shows to be wrong. For those who
            read everything and can throw it away.

    Raises:
        UsageError: the places call their fields differently.
        Damaged: (when reading) two rows have the same ``_id`` and other content.
    """

    def __init__(self, places: Sequence[StoredRows], *, trusting: bool = False) -> None:
        self.trusting = trusting
        self._places = places
        self._repeated = 0
        first, *others = (place.names for place in places)
        for names, place in zip(others, places[1:], strict=True):
            if (names.session_field, names.message_field) != (first.session_field, first.message_field):
                raise UsageError(
                    f"{places[0].title} and {place.title} call their fields differently: "
                    f"{first.session_field}, {first.message_field} and {names.session_field}, {names.message_field}."
                )
        self._names = first

    @property
    def title(self) -> str:
        """The name of the place, or how many there are."""
        if len(self._places) == 1:
            return self._places[0].title
        return f"{self._places[0].title} and {len(self._places) - 1} more"

    @property
    def method(self) -> str:
        """One after the other."""
        return ", then ".join(place.method for place in self._places)

    @property
    def names(self) -> Names:
        """How the table and its fields are called in the first place."""
        return self._names

    @property
    def repeated(self) -> int:
        """How many rows of all that were read so far were there before, and did not count again."""
        return self._repeated

    def count(self) -> int | None:
        """Return the number of rows, repeated ones counted again, where all places say it."""
        counts = [place.count() for place in self._places]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def unpacked_bytes(self) -> int:
        """Return about how many bytes the rows are."""
        return sum(place.unpacked_bytes() for place in self._places)

    def stored(self) -> Iterator[Page]:
        """Yield the rows of one place after the other."""
        for place in self._places:
            yield from place.stored()

    def pieces(self) -> Iterator[RowChunk] | None:
        """Return the rows of one place after the other in pieces; None where one of them cannot be cut."""
        cut = [place.pieces() for place in self._places]
        there = [pieces for pieces in cut if pieces is not None]
        return chain.from_iterable(there) if len(there) == len(cut) else None

    def ready(self, pieces: Iterator[RowChunk], form: Form, processes: int) -> Generator[ReadyPage]:
        """Yield all rows as they lie, laid out for a writer by several processes, which start at once; when trusting.

        Args:
            pieces: what `pieces` returned.
            form: how the writer takes them.
            processes: how many processes lay them out.

        Raises:
            NotAsTrusted: they are not in session order, or an ``_id`` is there twice.
        """
        return self._as_trusted(ready_pages(pieces, form, self.names, processes))

    def _as_trusted(self, pages: Generator[ReadyPage]) -> Generator[ReadyPage]:
        order = InOrder()
        with closing(Distinct()) as ids, closing(pages):
            for page in pages:
                ready = page.ready
                if not ready.in_order or (ready.keys is not None and not order.goes_on_between(*ready.keys)):
                    raise NotAsTrusted
                ids.add_hashes(ready.hashes)
                yield page
            if not ids.all_different():
                raise NotAsTrusted

    def pages(
        self, selection: Selection, resume: Position | None = None, *, missing_ok: bool = False
    ) -> Iterator[Page]:
        """Yield the selected rows in session order; when trusting, all rows as they lie."""
        return self._as_they_lie() if self.trusting else super().pages(selection, resume, missing_ok=missing_ok)

    def temporary_bytes(self) -> int:
        """Return about how much room in the temporary folder `pages` needs for sorting."""
        return 0 if self.trusting else super().temporary_bytes()

    def _as_they_lie(self) -> Iterator[Page]:
        order = InOrder()
        with closing(Distinct()) as ids:
            for page in numbered(self.stored()):
                if not order.goes_on(page):
                    raise NotAsTrusted
                ids.add(_ids_of(page))
                yield page
            if not ids.all_different():
                raise NotAsTrusted

    def close(self) -> None:
        """Close all of them."""
        for place in self._places:
            place.close()

    @property
    def _in_order(self) -> bool:
        """True if the rows stand in session order."""
        return self._seen.in_order

    @cached_property
    def _seen(self) -> _Seen:
        """What reading all rows shows; where an ``_id`` is there twice, they are read again to compare the rows."""
        order, in_order = InOrder(), True
        with closing(Distinct()) as ids:
            for page in self.stored():
                ids.add(_ids_of(page))
                in_order = in_order and order.goes_on(page)
            different = ids.all_different()
        if not different:
            self._refuse_parted()
        return _Seen(in_order, different)

    def _refuse_parted(self) -> None:
        """See that rows with the same ``_id`` have the same content."""
        with closing(_Ids()) as ids:
            for number, place in enumerate(self._places):
                ids.begin(number)
                for page in place.stored():
                    ids.add(page)
            parted = ids.parted()
        if parted is not None:
            one, two = (f"{self._places[place].title}, row {row}" for place, row in (parted.one, parted.two))
            raise Damaged(
                f"_id {one_line(parted.id)!r} stands for two different rows: {one} and {two}; nothing was written.",
                hint=[("", "they are from different times or tables; leave one of them out")],
            )

    def _once(self, pages: Iterable[Page]) -> Iterator[Page]:
        """Leave out rows equal to the one before: equal rows are neighbours in session order."""
        if self._seen.different:
            yield from pages
            return
        last: Row | None = None
        for page in pages:
            kept = []
            for row in page.rows:
                if last is None or not row.id or row.id != last.id or row.raw != last.raw:
                    kept.append(row)
                last = row
            self._repeated += len(page.rows) - len(kept)
            yield Page(kept, page.bytes)


class _Seen(NamedTuple):
    """What reading all rows shows."""

    in_order: bool
    different: bool
    """No ``_id`` is there twice."""


class _Parted(NamedTuple):
    """Two rows with one id and different content: number of the place and of the row in it, from 1."""

    id: str
    one: tuple[int, int]
    two: tuple[int, int]


class _Ids:
    """All ids with a digest of their row, in a private temporary file."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("CREATE TABLE seen (id TEXT, digest BLOB, place INTEGER)")
        self._database.execute("BEGIN")
        self._at = 0

    def begin(self, number: int) -> None:
        """Go to the place of this number, counted from 0."""
        self._at = number * _PLACES

    def add(self, page: Page) -> None:
        """Take the next rows of the place; those without an id are only counted."""
        found = []
        for row in page.rows:
            self._at += 1
            if row.id:
                found.append((row.id, blake2b(row.raw, digest_size=16).digest(), self._at))
        try:
            self._database.executemany("INSERT INTO seen VALUES (?, ?, ?)", found)
        except sqlite3.OperationalError as error:
            raise _no_room(error) from None

    def parted(self) -> _Parted | None:
        """Return the first id that stands for two different rows."""
        groups = "SELECT id, min(place) AS first FROM seen GROUP BY id HAVING min(digest) <> max(digest)"
        try:
            found = self._database.execute(f"{groups} ORDER BY first LIMIT 1").fetchone()
            if found is None:
                return None
            rows = self._database.execute("SELECT place, digest FROM seen WHERE id = ? ORDER BY place", found[:1])
            (first, digest), *others = rows
        except sqlite3.OperationalError as error:
            raise _no_room(error) from None
        other = next(place for place, content in others if content != digest)
        return _Parted(found[0], divmod(first, _PLACES), divmod(other, _PLACES))

    def close(self) -> None:
        """Delete the file."""
        self._database.close()


def _ids_of(page: Page) -> list[str]:
    ids = [row.id for row in page.rows] if page.block is None else page.block.ids
    return ids if all(ids) else [name for name in ids if name]


def _no_room(error: sqlite3.OperationalError) -> OutputError:
    return OutputError(
        f"cannot compare ids in the temporary folder: {error}.", hint=[("another", "TMPDIR=/folder/with/space")]
    )
