"""Several places as one source of messages, in which each row counts once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import cached_property
from hashlib import blake2b
from typing import Final, NamedTuple

from sync_tool.errors import Damaged, OutputError, UsageError
from sync_tool.files.stored import InOrder, StoredRows
from sync_tool.model import Names, Page, Row
from sync_tool.text import one_line

_PLACES: Final = 1 << 40
"""More rows than one place holds."""


class Merged(StoredRows):
    """The rows of several places together.

    Rows that are equal in ``_id`` and content count once. Rows without ``_id`` all count.

    Raises:
        UsageError: the places call their fields differently.
        Damaged: (when reading) two rows have the same ``_id`` and other content.
    """

    def __init__(self, places: Sequence[StoredRows]) -> None:
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
    def way(self) -> str:
        """One after the other."""
        return ", then ".join(place.way for place in self._places)

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

    def close(self) -> None:
        """Close all of them."""
        for place in self._places:
            place.close()

    @cached_property
    def _in_order(self) -> bool:
        """True if the rows stand in session order; on the way every ``_id`` is compared with all others."""
        order, sorted_so_far = InOrder(), True
        with closing(_Ids()) as ids:
            for number, place in enumerate(self._places):
                ids.begin(number)
                for page in place.stored():
                    ids.add(page)
                    sorted_so_far = sorted_so_far and order.goes_on(page)
            parted = ids.parted()
        if parted is not None:
            one, two = (f"{self._places[place].title}, row {row}" for place, row in (parted.one, parted.two))
            raise Damaged(
                f"_id {one_line(parted.id)!r} stands for two different rows: {one} and {two}; nothing was written.",
                hint=[("", "they are from different times or tables; leave one of them out")],
            )
        return sorted_so_far

    def _once(self, pages: Iterable[Page]) -> Iterator[Page]:
        """Leave out rows equal to the one before: equal rows are neighbours in session order."""
        last: Row | None = None
        for page in pages:
            kept = []
            for row in page.rows:
                if last is None or not row.id or row.id != last.id or row.raw != last.raw:
                    kept.append(row)
                last = row
            self._repeated += len(page.rows) - len(kept)
            yield Page(kept, page.bytes)


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


def _no_room(error: sqlite3.OperationalError) -> OutputError:
    return OutputError(
        f"cannot compare ids in the temporary folder: {error}.", hint=[("another", "TMPDIR=/folder/with/space")]
    )
