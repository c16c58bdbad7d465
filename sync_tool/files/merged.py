"""Several places as one source of messages, in which each row counts once."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import cached_property
from hashlib import blake2b
from itertools import chain

from sync_tool.errors import Damaged, UsageError
from sync_tool.files.chunks import Chunk, Encode, NumberedChunk, encode_chunks
from sync_tool.rows.batch import Page
from sync_tool.rows.distinct import DistinctIds, RowIds
from sync_tool.rows.model import Names
from sync_tool.rows.reading import numbered
from sync_tool.rows.sorting import InOrder
from sync_tool.rows.stored import StoredRows
from sync_tool.text import one_line


class Merged(StoredRows):
    """The rows of several places together.

    Rows that are equal in ``_id`` and content count once. Rows without ``_id`` all count.

    Args:
        places: the places, in order.

    Raises:
        UsageError: the names of their fields differ.
        Damaged: (when reading) two rows have the same ``_id`` and different content.
    """

    def __init__(self, places: Sequence[StoredRows]) -> None:
        self._places = places
        self.repeated = 0
        """Number of the rows read so far that were repeated and did not count again."""
        self._distinct: bool | None = None
        """Whether no ``_id`` is repeated; None until all rows have been read."""
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
        """Name of the place, or of the first with the number of the others."""
        if len(self._places) == 1:
            return self._places[0].title
        return f"{self._places[0].title} and {len(self._places) - 1} more"

    @property
    def method(self) -> str:
        """How each place is read."""
        return ", then ".join(place.method for place in self._places)

    @property
    def names(self) -> Names:
        """Names of the table and its fields in the first place."""
        return self._names

    def count(self) -> int | None:
        """Return the number of rows, including repeated ones, if all places know it."""
        counts = [place.count() for place in self._places]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def unpacked_bytes(self) -> int:
        """Return the approximate size of the rows."""
        return sum(place.unpacked_bytes() for place in self._places)

    def stored(self) -> Iterator[Page]:
        """Yield the rows of one place after the other."""
        for place in self._places:
            yield from place.stored()

    def chunks(self) -> Iterator[Chunk] | None:
        """Return the rows of one place after the other as chunks; None if one of them cannot be divided."""
        found = [place.chunks() for place in self._places]
        known = [chunks for chunks in found if chunks is not None]
        return chain.from_iterable(known) if len(known) == len(found) else None

    def while_in_order(self) -> Generator[Page]:
        """Yield all rows in stored order, numbered, and stop where that is not session order.

        A caller that can throw the rows away reads them only once. Then `is_settled` is True if all were yielded,
        each counts once and all are in session order.
        """
        order = InOrder()
        with closing(DistinctIds()) as ids:
            for page in numbered(self.stored()):
                if not order.add(page):
                    self._in_order = False
                    return
                ids.add(page.batch.ids)
                yield page
            self._settle(ids)

    def encoded_while_in_order(
        self, chunks: Iterator[Chunk], encode: Encode, processes: int
    ) -> Generator[NumberedChunk]:
        """Yield the same rows as `while_in_order`, encoded for a writer by several processes, which start at once."""
        return self._encoded(encode_chunks(chunks, encode, self.names, processes))

    def _encoded(self, found: Generator[NumberedChunk]) -> Generator[NumberedChunk]:
        order = InOrder()
        with closing(DistinctIds()) as ids, closing(found):
            for numbered_chunk in found:
                chunk = numbered_chunk.chunk
                if not chunk.in_order or (chunk.ends is not None and not order.add_sorted(*chunk.ends)):
                    self._in_order = False
                    return
                ids.add_hashes(chunk.id_hashes)
                yield numbered_chunk
            self._settle(ids)

    def _settle(self, ids: DistinctIds) -> None:
        self._in_order, self._distinct = True, ids.all_different()
        if not self._distinct:
            self._refuse_conflicts()

    def check(self) -> None:
        """Read all rows, unless that was done before.

        Raises:
            Damaged: two rows have the same ``_id`` and different content.
        """
        _ = self._in_order

    @property
    def is_settled(self) -> bool:
        """Whether all rows have been read, are in session order, and none is repeated."""
        return bool(self._distinct and self.__dict__.get("_in_order"))

    def close(self) -> None:
        """Close all places."""
        for place in self._places:
            place.close()

    @cached_property
    def _in_order(self) -> bool:
        """Whether the rows are stored in session order; all rows are read, to check their ids too."""
        order, in_order = InOrder(), True
        for page in self._checked(self.stored()):
            in_order = order.add(page) and in_order
        return in_order

    def _checked(self, pages: Iterable[Page]) -> Iterable[Page]:
        """Check once that rows with the same ``_id`` have the same content."""
        if self._distinct is None:
            with closing(DistinctIds()) as ids:
                for page in pages:
                    ids.add(page.batch.ids)
                    yield page
                self._distinct = ids.all_different()
            if not self._distinct:
                self._refuse_conflicts()
        else:
            yield from pages

    def _refuse_conflicts(self) -> None:
        """Refuse rows with the same ``_id`` and different content; all rows are read again."""
        with closing(RowIds()) as ids:
            for number, place in enumerate(self._places):
                ids.add(_numbered_ids(place, number))
            conflict = next(ids.repeated(), None)
        if conflict is not None:
            first, second = (
                f"{self._places[part].title}, row {row}"
                for part, row in ((conflict.other_part, conflict.other_line), (conflict.part, conflict.line))
            )
            raise Damaged(
                f"_id {one_line(conflict.id)!r} stands for two different rows: {first} and {second}; "
                "nothing was written.",
                hint=[("", "they are from different times or tables; leave one of them out")],
            )

    def _once(self, pages: Iterable[Page]) -> Iterable[Page]:
        """Skip rows equal to the one before: equal rows are neighbours in session order."""
        last_id, last_text = "", b""
        for page in pages:
            if page.count and not self._distinct:
                kept = []
                for place, (name, text) in enumerate(zip(page.batch.ids, page.batch.texts(), strict=True)):
                    if not name or name != last_id or text != last_text:
                        kept.append(place)
                    last_id, last_text = name, text
                self.repeated += page.count - len(kept)
                page.keep(kept)
            yield page


def _numbered_ids(place: StoredRows, number: int) -> Iterator[tuple[int, int, str, bytes]]:
    """Yield the number of a place, and number from 1, id and digest of each of its rows that has an id."""
    line = 0
    for page in place.stored():
        for name, text in zip(page.batch.ids, page.batch.texts(), strict=True):
            line += 1
            if name:
                yield number, line, name, blake2b(text, digest_size=16).digest()
