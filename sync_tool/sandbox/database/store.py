"""The SQLite file: its tables, its settings, and how connections to it are opened.

A document is kept as the canonical bytes it is answered with, in the order of its table's *home* index: the
first declared one, else ``by_creation_time``. So a page of a session, or of all of them, is one run of
neighbouring bytes. ``entries`` holds the keys of the other indexes and where they point to; every read of any
index is a range of one B-tree (`sync_tool.sandbox.database.transaction`).

``commits`` gives every transaction its timestamp; ``revisions`` keeps what later commits replaced or deleted,
so that together with ``documents`` (ordered by commit) it is the whole change log
(`sync_tool.sandbox.database.datasync`), at no cost for rows that never change. ``requests`` remembers answered
mutations, so that one sent twice runs once.
"""

from __future__ import annotations

import fcntl
import json
import secrets
import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import BinaryIO, Final

FORMAT: Final = "2"
FIRST_TABLE: Final = 10_001
"""User tables are numbered from here on current deployments."""

INDEXES_PER_TABLE: Final = 64
"""Numbers set aside for the indexes of one table."""

_REQUESTS_KEPT_NS: Final = 14 * 86_400 * 10**9

_PAGE_BYTES: Final = 8192
"""Messages of up to two kilobytes stay on one page."""

_PAGES_BEFORE_FOLDING: Final = 4000
"""Pages that the write-ahead file takes before they are folded in. Ids are random, so every commit touches pages all
over their index: folded in after SQLite's usual 1,000, each would be written anew almost every time."""

_DDL: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE tables (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, row_count INTEGER NOT NULL, born INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE commits (number INTEGER PRIMARY KEY, ts INTEGER NOT NULL);
CREATE TABLE documents (
    table_number INTEGER NOT NULL,
    key BLOB NOT NULL,
    commit_number INTEGER NOT NULL,
    size INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (table_number, key)
) WITHOUT ROWID;
CREATE INDEX documents_by_commit ON documents (commit_number);
CREATE TABLE entries (
    index_number INTEGER NOT NULL,
    key BLOB NOT NULL,
    home BLOB NOT NULL,
    PRIMARY KEY (index_number, key)
) WITHOUT ROWID;
CREATE TABLE revisions (
    commit_number INTEGER NOT NULL,
    id TEXT NOT NULL,
    table_number INTEGER NOT NULL,
    body BLOB,
    PRIMARY KEY (commit_number, id)
) WITHOUT ROWID;
CREATE INDEX revisions_by_id ON revisions (table_number, id, commit_number);
CREATE TABLE requests (
    session TEXT NOT NULL,
    request INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    answer BLOB NOT NULL,
    PRIMARY KEY (session, request)
) WITHOUT ROWID;
"""


_FROM_FORMAT_1: Final = """
ALTER TABLE tables ADD COLUMN born INTEGER NOT NULL DEFAULT 0;
CREATE INDEX revisions_by_id ON revisions (table_number, id, commit_number);
"""


class NotASandboxError(Exception):
    """The file holds something else, or another sandbox has it."""


class Store:
    """One SQLite file in write-ahead mode: one writer, any number of readers with a view of their own.

    Args:
        path: the file, made if it is missing.
        durable: wait for the disk at every commit.
    """

    def __init__(self, path: Path, *, durable: bool) -> None:
        self.path = path
        self._durable = durable
        with ExitStack() as undo:
            self._lock_file = undo.enter_context(_locked(path))
            self.writer = undo.enter_context(closing(self._open()))
            try:
                self._tune(self.writer)
                self._prepare()
            except sqlite3.DatabaseError as error:
                raise NotASandboxError(f"{path} is not a file of the sandbox: {error}") from None
            undo.pop_all()

    def connect(self) -> sqlite3.Connection:
        """Open a connection; transactions are begun and ended by hand."""
        connection = self._open()
        self._tune(connection)
        return connection

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=30.0)

    def _tune(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'OFF'}")
        connection.execute("PRAGMA cache_size = -65536")
        connection.execute(f"PRAGMA mmap_size = {1 << 34}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_PAGES_BEFORE_FOLDING}")

    def _prepare(self) -> None:
        if self.writer.execute("PRAGMA application_id").fetchone()[0] == _APPLICATION_ID:
            oldest = time.time_ns() - _REQUESTS_KEPT_NS
            self.writer.execute("DELETE FROM requests WHERE ts < ?", (oldest,))
            if self.get("format") == "1":
                self.writer.executescript(f"BEGIN IMMEDIATE; {_FROM_FORMAT_1} COMMIT;")
                self.set("format", FORMAT)
            return
        if self.writer.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise NotASandboxError(f"{self.path} is an SQLite file, but not one of the sandbox")
        self.writer.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        self.writer.execute("PRAGMA journal_mode = WAL")
        script = f"BEGIN IMMEDIATE; {_DDL} PRAGMA application_id = {_APPLICATION_ID};"
        self.writer.executescript(script)
        self.writer.execute("INSERT INTO commits VALUES (1, ?)", (time.time_ns(),))
        self.set("format", FORMAT)
        self.set("secret", secrets.token_hex(32))
        self.writer.execute("COMMIT")

    def get(self, name: str) -> str | None:
        """Return a setting kept in the file."""
        row = self.writer.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set(self, name: str, value: str) -> None:
        """Keep a setting in the file."""
        self.writer.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    @property
    def secret(self) -> bytes:
        """What this deployment encrypts cursors with."""
        return bytes.fromhex(self.get("secret") or "")

    def close(self) -> None:
        """Close the writer; the write-ahead file is folded in."""
        self.writer.close()
        self._lock_file.close()


_APPLICATION_ID: Final = 0x43565853


def _locked(path: Path) -> BinaryIO:
    """Keep a second sandbox off the file: each would not know of the other's commits."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise NotASandboxError(f"{path} is in use by another sandbox") from None
    return file


class Table:
    """One table as a transaction sees it: number, name and indexes.

    Args:
        number: which its ids begin with.
        name: of the table.
        declared: its indexes.
        born: number of the commit that put this table, empty, where it is: another one if an import replaced it.
    """

    __slots__ = ("born", "declared", "home", "indexes", "name", "number")

    def __init__(self, number: int, name: str, declared: dict[str, tuple[str, ...]], born: int = 0) -> None:
        self.number = number
        self.name = name
        self.born = born
        names = ("by_id", "by_creation_time", *declared)
        fields = (
            ("_id",),
            ("_creationTime", "_id"),
            *((*f, "_creationTime", "_id") for f in declared.values()),
        )
        self.indexes = {
            index: (number * INDEXES_PER_TABLE + position, fields[position]) for position, index in enumerate(names)
        }
        self.home = number * INDEXES_PER_TABLE + (2 if declared else 1)
        self.declared = [(number * INDEXES_PER_TABLE + 2 + n, f) for n, f in enumerate(declared.values())]

    @property
    def by_id(self) -> int:
        """Number of the index on ``_id``."""
        return self.number * INDEXES_PER_TABLE

    @property
    def tablet(self) -> str:
        """What tells this table from every other one, also from those of its name that it replaced."""
        return f"{self.number}:{self.born}"


Declared = dict[str, dict[str, tuple[str, ...]]]
"""Declared indexes: table to index to fields, without the `_creationTime` and `_id` that Convex appends."""


def declared_text(declared: Declared) -> str:
    """Spell declared indexes so that two spellings are equal when they are the same indexes."""
    return json.dumps(declared)


def load_tables(connection: sqlite3.Connection, declared: Declared) -> dict[str, Table]:
    """Return the tables that exist in the view of this connection."""
    rows = connection.execute("SELECT number, name, born FROM tables")
    return {name: Table(number, name, declared.get(name, {}), born) for number, name, born in rows}
