"""Getting an index: the one in ``cache/`` where it fits, else one made of the parts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b
from itertools import islice
from typing import Any, Final

from sync_tool.archive.index import Counts, Entry, Index, sqlite_errors
from sync_tool.archive.layout import Layout, make_folder
from sync_tool.archive.records import deleted_id, read_records
from sync_tool.archive.runs import Part, Run
from sync_tool.digests import row_digest
from sync_tool.encoding.order import sort_key
from sync_tool.errors import Damaged
from sync_tool.model import Names
from sync_tool.rowreader import RowReader

_NAME: Final = "index.sqlite"
_BATCH: Final = 1000
_MOST_KNOWN: Final = 100_000

Chain = Sequence[tuple[Run, str]]


class SessionHashes:
    """Session ids (any Convex value, or MISSING) as numbers by which sessions are counted."""

    def __init__(self) -> None:
        self._known = _Hashes()

    def of(self, session: Any) -> int:
        """Return the number of a session, 64 bits with a sign."""
        return self._known[session] if type(session) is str else _hash(session)

    def of_all(self, sessions: Sequence[Any]) -> list[int]:
        """Return the numbers of sessions."""
        if {*map(type, sessions)} == {str}:
            return list(map(self._known.__getitem__, sessions))
        return list(map(self.of, sessions))


class _Hashes(dict[str, int]):
    """The numbers of session ids that were met lately."""

    def __missing__(self, session: str) -> int:
        if len(self) == _MOST_KNOWN:
            self.clear()
        found = self[session] = _hash(session)
        return found


def _hash(session: Any) -> int:
    return int.from_bytes(blake2b(sort_key(session), digest_size=8).digest(), "big", signed=True)


def open_cache(layout: Layout) -> Index:
    """Open the index in ``cache/`` for writing, or a new one in the place of one that cannot be used.

    Raises:
        OutputError: it cannot be written.
    """
    make_folder(layout.cache)
    path = layout.cache / _NAME
    path.touch(mode=0o600)  # SQLite's own files beside it get the same mode
    with suppress(sqlite3.Error):
        index = Index(path)
        if index.format_fits:
            return index
        index.close()
    for old in layout.cache.glob(f"{_NAME}*"):
        old.unlink()
    path.touch(mode=0o600)
    with sqlite_errors(layout.cache):
        return Index(path)


def open_for_reading(layout: Layout, chain: Chain, names: Names) -> Index:
    """Return an index that holds at least the runs of `chain`; where the cache does not, a temporary one.

    Raises:
        Damaged: a part of the archive is.
        OutputError: no room for a temporary index.
    """
    with suppress(sqlite3.Error):
        index = Index(layout.cache / _NAME, read_only=True)
        wanted = [(run.run, seal) for run, seal in chain]
        if index.format_fits and index.applied()[: len(wanted)] == wanted:
            return index
        index.close()
    index = Index(None)
    with sqlite_errors("the temporary folder"):
        bring_to(index, layout, chain, names)
    return index


def bring_to(index: Index, layout: Layout, chain: Chain, names: Names) -> list[Counts]:
    """Apply the runs that an index lacks; it may hold none but the first ones of `chain`.

    Returns:
        What each run that was applied changed.

    Raises:
        Damaged: a part is.
        sqlite3.Error: the index cannot be written.
    """
    known = len(index.applied())
    before = chain[known - 1][0] if known else None
    found = []
    for run, seal in chain[known:]:
        index.begin()
        for part in run.parts:
            for entries in entries_of(layout, part, names):
                index.add(entries)
        counts = index.settle(before)
        index.apply(run.run, seal, counts)
        found.append(counts)
        before = run
    return found


def entries_of(layout: Layout, part: Part, names: Names) -> Iterator[list[Entry]]:
    """Yield the records of a part as the index takes them: some at a time, of different ids.

    Raises:
        Damaged: the part is not what its run's file says.
    """
    read_row = RowReader(names).row
    hashes = SessionHashes()
    path = layout.root / part.path
    records = read_records(path, part)
    try:
        while batch := [_entry(record, read_row, hashes) for record in islice(records, _BATCH)]:
            yield from _distinct(batch)
    except ValueError as error:
        raise Damaged(f"{path} holds a line that is no record: {error}.") from None


def _entry(record: bytes, read_row: Any, hashes: SessionHashes) -> Entry:
    gone = deleted_id(record)
    if gone is not None:
        return Entry(gone, 0, None)
    row = read_row(record)
    return Entry(row.id, hashes.of(row.session), row_digest(record))


def _distinct(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Cut entries where an id comes again."""
    batch: list[Entry] = []
    ids: set[str] = set()
    for entry in entries:
        if entry.id in ids:
            yield batch
            batch, ids = [], set()
        batch.append(entry)
        ids.add(entry.id)
    if batch:
        yield batch
