"""The index of an archive: the newest record of each ``_id``, in a SQLite file that can be deleted at any time.

Records are numbered from 1 through all parts of all runs. A row's record has the number of the record that replaced
or deleted it, which gives the rows after any run: those recorded by then and not yet replaced or deleted.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from sync_tool.archive.layout import Layout, make_folder
from sync_tool.archive.parts import deleted_id, read_part
from sync_tool.archive.sealed_files import ArchivePart, Run, RunTotals
from sync_tool.encoding.order import sort_key
from sync_tool.errors import Damaged, OutputError
from sync_tool.files.bytes import translate
from sync_tool.files.private import is_regular, open_private
from sync_tool.rows.digests import DigestSum, row_digest
from sync_tool.rows.model import Names
from sync_tool.rows.reading import RowReader

_DDL: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE applied (
    run TEXT PRIMARY KEY, sha256 TEXT NOT NULL, last INTEGER NOT NULL,
    rows INTEGER NOT NULL, sessions INTEGER NOT NULL, digest TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE record (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL, session INTEGER NOT NULL, digest BLOB NOT NULL, gone INTEGER
);
CREATE UNIQUE INDEX record_current ON record (id) WHERE gone IS NULL;
CREATE INDEX record_gone ON record (gone) WHERE gone IS NOT NULL;
CREATE TABLE session (hash INTEGER PRIMARY KEY, rows INTEGER NOT NULL);
CREATE TABLE seen (id TEXT PRIMARY KEY, step INTEGER NOT NULL) WITHOUT ROWID;
"""
_FORMAT: Final = 1
_AT_A_TIME: Final = 500
_COLUMNS: Final = 4
# SQLite takes 999 values in one statement; newer versions take more.
_ROWS_AN_INSERT: Final = 200
_TALLIED: Final = 10_000
_MOST_SESSIONS: Final = 100_000
_BUSY_SECONDS: Final = 30.0


@cache
def _insert(rows: int) -> str:
    """Return the statement that inserts this many records: one for many takes half the time of many for one."""
    return f"INSERT INTO record VALUES {','.join(['(?, ?, ?, ?, NULL)'] * rows)}"  # noqa: S608


class Entry(NamedTuple):
    """A record in the index."""

    id: str
    session: int
    """`session_hash` of the row; 0 of a deletion."""
    digest: bytes | None
    """None for a deletion."""


@dataclass(frozen=True, slots=True)
class IndexCounts:
    """Changes of a run, compared with the run before it."""

    new: int
    changed: int
    deleted: int
    totals: RunTotals


class Index:
    """An index in a file, or without a path in a private temporary one.

    Raises:
        sqlite3.Error: the file is no index, or damaged.
    """

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        name = "" if path is None else f"{path.resolve().as_uri()}?mode={'ro' if read_only else 'rwc'}"
        self._database = sqlite3.connect(
            name, uri=True, isolation_level=None, timeout=_BUSY_SECONDS, check_same_thread=False
        )
        self._database.execute("PRAGMA cache_size = -32768")
        self.seq = 0
        """Number of the newest record."""
        self.new = not self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if self.new:
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.executescript(f"BEGIN; {_DDL} PRAGMA user_version = {_FORMAT}; COMMIT;")
        self.seq = self._number("seq")

    @property
    def format_fits(self) -> bool:
        """False if another version of this tool wrote it."""
        return bool(self._database.execute("PRAGMA user_version").fetchone()[0] == _FORMAT)

    def close(self) -> None:
        """Close the file; changes that were not kept are lost."""
        self._database.close()

    def begin(self) -> None:
        """Begin a step, which is kept as a whole or not at all."""
        if not self._database.in_transaction:
            self._database.execute("BEGIN")

    def undo(self) -> None:
        """Undo the changes since the last kept step."""
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")
        self.seq = self._number("seq")

    def keep(self, open_run: str | None) -> None:
        """Make the step durable.

        Args:
            open_run: the run under way; None without one.
        """
        self._set("seq", self.seq)
        self._set("open_run", open_run)
        self._database.execute("COMMIT")

    def applied(self) -> list[tuple[str, str]]:
        """Return the runs that are in the index, with their seals, oldest first."""
        return list(self._database.execute("SELECT run, sha256 FROM applied ORDER BY run"))

    @property
    def open_run(self) -> str | None:
        """The run whose records follow those of the applied runs."""
        found = self._meta("open_run")
        return None if found is None else str(found)

    def last_of(self, run: str | None) -> int:
        """Return the number of the last record of an applied run; 0 for None, which is before the first run."""
        found = self._database.execute("SELECT last FROM applied WHERE run = ?", (run,)).fetchone()
        return int(found[0]) if found else 0

    def roll_back(self, seq: int, step: int) -> None:
        """Delete all records after a number, and the marks of later steps."""
        self._database.execute("DELETE FROM record WHERE seq > ?", (seq,))
        self._database.execute("UPDATE record SET gone = NULL WHERE gone > ?", (seq,))
        self._database.execute("DELETE FROM seen WHERE step > ?", (step,))
        self.seq = seq

    def newest(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Return the digests of the rows that exist among `ids`; fast if the ids sort after all others."""
        found: dict[str, bytes] = {}
        greatest = self._database.execute("SELECT id FROM record WHERE gone IS NULL ORDER BY id DESC LIMIT 1")
        ((last,),) = greatest.fetchall() or [("",)]
        ids = [name for name in ids if name <= last]
        for start in range(0, len(ids), _AT_A_TIME):
            asked = ids[start : start + _AT_A_TIME]
            marks = ",".join("?" * len(asked))
            query = f"SELECT id, digest FROM record WHERE gone IS NULL AND id IN ({marks})"  # noqa: S608
            found.update(self._database.execute(query, asked))
        return found

    def add(self, entries: Sequence[Entry], known: Collection[str] | None = None) -> None:
        """Add the next records, of different ids; each replaces or deletes the row of its id.

        Args:
            entries: the records.
            known: the ids among them that have a row, if the caller knows.
        """
        if known is None or known:
            replaced = [
                (seq, entry.id) for seq, entry in enumerate(entries, self.seq + 1) if known is None or entry.id in known
            ]
            self._database.executemany("UPDATE record SET gone = ? WHERE id = ? AND gone IS NULL", replaced)
        rows = [(seq, entry) for seq, entry in enumerate(entries, self.seq + 1) if entry.digest is not None]
        for start in range(0, len(rows), _ROWS_AN_INSERT):
            seqs, some = zip(*rows[start : start + _ROWS_AN_INSERT], strict=True)
            values: list[Any] = [None] * (_COLUMNS * len(seqs))
            for place, column in enumerate((seqs, *zip(*some, strict=True))):
                values[place::_COLUMNS] = column
            self._database.execute(_insert(len(seqs)), values)
        self.seq += len(entries)

    def see(self, ids: Iterable[str], step: int) -> None:
        """Mark rows as seen in this pass."""
        self._database.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", [(name, step) for name in ids])

    def forget_seen(self) -> None:
        """Begin a new full pass."""
        self._database.execute("DELETE FROM seen")

    def unseen(self, since: int) -> Iterator[list[str]]:
        """Yield, in batches, the ids of rows that were recorded before `since` and not seen in this pass."""
        last = 0
        query = (
            "SELECT seq, id FROM record WHERE seq > ? AND seq <= ? AND gone IS NULL "
            "AND NOT EXISTS (SELECT 1 FROM seen WHERE seen.id = record.id) ORDER BY seq LIMIT ?"
        )
        while found := self._database.execute(query, (last, since, _AT_A_TIME)).fetchall():
            last = found[-1][0]
            yield [name for _, name in found]

    def existing(self, run: str | None) -> Iterator[tuple[int, bytes]]:
        """Yield number and digest of the records that were the rows after a run, by number."""
        last = self.last_of(run)
        query = "SELECT seq, digest FROM record WHERE seq <= ? AND (gone IS NULL OR gone > ?) ORDER BY seq"
        return self._database.execute(query, (last, last))

    def rows_now(self) -> int:
        """Return the number of rows, including those of the open run."""
        return int(self._database.execute("SELECT count(*) FROM record WHERE gone IS NULL").fetchone()[0])

    def settle(self, before: Run | None) -> IndexCounts:
        """Count the changes after `before`, the newest applied run; the cost grows with their number.

        This also updates the counts of sessions, so it is called once, just before `apply`.
        """
        start = self.last_of(before.run if before else None)
        totals = before.totals if before else RunTotals()
        came = self._tally("SELECT session, digest FROM record WHERE seq > ? AND gone IS NULL", start)
        gone = self._tally("SELECT session, digest FROM record WHERE gone > ?1 AND seq <= ?1", start, sign=-1)
        changes = (
            "FROM record old JOIN record now ON now.id = old.id AND now.gone IS NULL "
            "WHERE old.gone > ? AND old.seq <= ?"
        )
        (stayed,) = self._one(f"SELECT count(*) {changes}", start, start)
        (changed,) = self._one(f"SELECT count(*) {changes} AND old.digest <> now.digest", start, start)
        self._database.execute("DELETE FROM session WHERE rows = 0")
        (sessions,) = self._one("SELECT count(*) FROM session")
        digest = DigestSum(int(totals.digest, 16), totals.rows) + came - gone
        found = RunTotals(digest.count, sessions, digest.hex, totals.bytes)
        return IndexCounts(came.count - stayed, changed, gone.count - stayed, found)

    def apply(self, run: str, seal: str, counts: IndexCounts) -> None:
        """Record that all records belong to complete runs, and make that durable."""
        totals = counts.totals
        values = (run, seal, self.seq, totals.rows, totals.sessions, totals.digest)
        self._database.execute("INSERT INTO applied VALUES (?, ?, ?, ?, ?, ?)", values)
        self.forget_seen()
        self.keep(None)

    def _tally(self, query: str, start: int, *, sign: int = 1) -> DigestSum:
        """Sum digests, and add their rows to the counts of their sessions, or subtract them with `sign` -1."""
        found = DigestSum()
        counts: Counter[int] = Counter()
        rows = self._database.execute(query, (start,))
        while some := rows.fetchmany(_TALLIED):
            hashes, digests = zip(*some, strict=True)
            found.add_all(digests)
            counts.update(hashes)
            if len(counts) > _MOST_SESSIONS:
                self._count_sessions(counts, sign)
        self._count_sessions(counts, sign)
        return found

    def _count_sessions(self, counts: Counter[int], sign: int) -> None:
        self._database.executemany(
            "INSERT INTO session VALUES (?, ?) ON CONFLICT (hash) DO UPDATE SET rows = rows + excluded.rows",
            [(session, sign * count) for session, count in counts.items()],
        )
        counts.clear()

    def _one(self, query: str, *values: object) -> tuple[int, ...]:
        found: tuple[int, ...] = self._database.execute(query, values).fetchone()
        return found

    def _meta(self, name: str) -> object:
        found = self._database.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return found[0] if found else None

    def _number(self, name: str) -> int:
        found = self._meta(name)
        return found if isinstance(found, int) else 0

    def _set(self, name: str, value: object) -> None:
        self._database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))


@contextmanager
def sqlite_errors(where: Path | str) -> Iterator[None]:
    """Translate the errors of SQLite while the index is written.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise OutputError(
            f"the index in {where} cannot be used: {error}.", hint=[("", "is there space? The index may be deleted")]
        ) from None


_NAME: Final = "index.sqlite"
_BATCH: Final = 1000
_MOST_KNOWN: Final = 100_000

Chain = Sequence[tuple[Run, str]]


class SessionHashes:
    """Numbers by which sessions are counted, made of their ids (any Convex value, or MISSING)."""

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
    """The numbers of recent session ids."""

    def __missing__(self, session: str) -> int:
        if len(self) == _MOST_KNOWN:
            self.clear()
        found = self[session] = _hash(session)
        return found


def _hash(session: Any) -> int:
    return int.from_bytes(blake2b(sort_key(session), digest_size=8).digest(), "big", signed=True)


def open_cache(layout: Layout) -> Index:
    """Open the index in ``cache/`` for writing; an unusable one is replaced.

    Raises:
        OutputError: it cannot be written.
    """
    make_folder(layout.cache)
    path = layout.cache / _NAME
    _make_private(layout, path)
    with suppress(sqlite3.Error):
        index = Index(path)
        if index.format_fits:
            return index
        index.close()
    remove_cache(layout)
    _make_private(layout, path)
    with sqlite_errors(layout.cache):
        return Index(path)


def _make_private(layout: Layout, path: Path) -> None:
    """Create the index's file with mode 0600 before SQLite does; SQLite gives its other files the same mode."""
    try:
        try:
            os.close(open_private(path))
        except OutputError:  # a link, or a file with a second name, such as in a copy made of hard links
            remove_cache(layout)
            os.close(open_private(path))
    except OSError as error:
        raise translate(error, path) from None


def remove_cache(layout: Layout) -> None:
    """Remove the index from ``cache/``: SQLite's files, and nothing else."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        (layout.cache / f"{_NAME}{suffix}").unlink(missing_ok=True)


def open_for_reading(layout: Layout, chain: Chain, names: Names) -> Index:
    """Return an index that holds at least the runs of `chain`: the cache, else a temporary one.

    Raises:
        Damaged: a part of the archive is.
        OutputError: no room for a temporary index.
    """
    path = layout.cache / _NAME
    with suppress(sqlite3.Error):
        if is_regular(path):
            index = Index(path, read_only=True)
            wanted = [(run.run, seal) for run, seal in chain]
            if index.format_fits and index.applied()[: len(wanted)] == wanted:
                return index
            index.close()
    index = Index(None)
    with sqlite_errors("the temporary folder"):
        bring_to(index, layout, chain, names)
    return index


def bring_to(index: Index, layout: Layout, chain: Chain, names: Names) -> list[IndexCounts]:
    """Apply the missing runs to an index that holds the first runs of `chain` and no others.

    Returns:
        The counts of each applied run.

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


def entries_of(layout: Layout, part: ArchivePart, names: Names) -> Iterator[list[Entry]]:
    """Yield the records of a part in batches of different ids.

    Raises:
        Damaged: the part differs from its run's file.
    """
    read_row = RowReader(names).row
    hashes = SessionHashes()
    path = layout.root / part.path
    records = read_part(path, part)
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
    """Start a new batch where an id is repeated."""
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
