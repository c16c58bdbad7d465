"""SQLite file: tables, settings and connections.

A document is stored as canonical bytes, in the order of its table's *home* index: the first declared one, else
``by_creation_time``. A page of a session is then one run of neighbouring bytes. ``entries`` maps the keys of the
other indexes to home keys, so a read of any index is a range of one B-tree (`sync_tool.sandbox.database.transaction`).

``commits`` has the timestamp of every transaction. ``revisions`` keeps the versions that later commits replaced or
deleted; with ``documents`` it forms the change log (`sync_tool.sandbox.database.datasync`). ``requests`` remembers
answered mutations, so a repeated one runs once.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import sqlite3
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import BinaryIO, Final

FORMAT: Final = "3"
FIRST_TABLE: Final = 10_001  # Number of the first user table of a current deployment

INDEXES_PER_TABLE: Final = 64  # Index numbers reserved for each table

_REQUESTS_KEPT_NS: Final = 14 * 86_400 * 10**9

_PAGE_BYTES: Final = 8192  # A message of up to two kilobytes fits on one page

# Pages in the write-ahead log before a checkpoint. Ids are random, so every commit touches pages all over their index.
# At SQLite's default of 1,000, nearly every page would be written again at every checkpoint.
_PAGES_BEFORE_FOLDING: Final = 4000

_MODE: Final = 0o600

_DDL: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE tables (
    slot INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, row_count INTEGER NOT NULL, born INTEGER NOT NULL DEFAULT 0,
    number INTEGER NOT NULL
);
CREATE TABLE commits (number INTEGER PRIMARY KEY, ts INTEGER NOT NULL);
CREATE TABLE documents (
    slot INTEGER NOT NULL,
    key BLOB NOT NULL,
    commit_number INTEGER NOT NULL,
    size INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (slot, key)
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
    slot INTEGER NOT NULL,
    body BLOB,
    PRIMARY KEY (commit_number, id)
) WITHOUT ROWID;
CREATE INDEX revisions_by_id ON revisions (slot, id, commit_number);
CREATE TABLE requests (
    session TEXT NOT NULL,
    request INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    answer BLOB NOT NULL,
    PRIMARY KEY (session, request)
) WITHOUT ROWID;
"""


# Each format's step to the next one.
_MIGRATIONS: Final = {
    "1": """
ALTER TABLE tables ADD COLUMN born INTEGER NOT NULL DEFAULT 0;
CREATE INDEX revisions_by_id ON revisions (table_number, id, commit_number);
UPDATE meta SET value = '2' WHERE name = 'format';
""",
    "2": """
ALTER TABLE tables RENAME COLUMN number TO slot;
ALTER TABLE tables ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
UPDATE tables SET number = slot;
ALTER TABLE documents RENAME COLUMN table_number TO slot;
ALTER TABLE revisions RENAME COLUMN table_number TO slot;
UPDATE meta SET value = '3' WHERE name = 'format';
""",
}


class NotASandboxError(Exception):
    """The file has other contents, or another sandbox uses it."""


class Store:
    """SQLite file in write-ahead mode: one writer, any number of readers.

    Args:
        path: file, created if missing.
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
        """Open a connection without automatic transactions."""
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
            while (step := _MIGRATIONS.get(self.get("format") or "")) is not None:
                self.writer.executescript(f"BEGIN IMMEDIATE; {step} COMMIT;")
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
        """Return a setting stored in the file."""
        row = self.writer.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set(self, name: str, value: str) -> None:
        """Store a setting in the file."""
        self.writer.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    @property
    def secret(self) -> bytes:
        """Secret that encrypts this deployment's cursors."""
        return bytes.fromhex(self.get("secret") or "")

    def close(self) -> None:
        """Close the writer, which checkpoints the write-ahead log."""
        self.writer.close()
        self._lock_file.close()


_APPLICATION_ID: Final = 0x43565853


def _locked(path: Path) -> BinaryIO:
    """Lock the file: two sandboxes would not see each other's commits."""
    if path.is_symlink() and not path.exists():
        raise NotASandboxError(f"{path} is a symbolic link that leads nowhere")
    _make_private(path)
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise NotASandboxError(f"{path} is in use by another sandbox") from None
    return file


def _make_private(path: Path) -> None:
    """Make the file, mode 0600, before SQLite does, whose files beside it get the same mode.

    It holds chats, the admin key and the secret of cursors. Files that are there become private too, unless they
    are another user's.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _MODE))
    if not path.is_file():
        raise NotASandboxError(f"{path} is no file")
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError, PermissionError):
            handle = os.open(f"{path}{suffix}", os.O_RDONLY | os.O_NONBLOCK | (os.O_NOFOLLOW if suffix else 0))
            try:
                os.fchmod(handle, _MODE)
            finally:
                os.close(handle)


class Table:
    """Table in one transaction.

    Args:
        slot: number under which the store keeps it.
        number: prefix of its ids; an import into a hidden table keeps the number of the table it replaces.
        name: name of the table.
        declared: declared indexes.
        born: number of the commit that created it; an import that replaces a table creates a new one.
    """

    __slots__ = ("born", "declared", "home", "indexes", "name", "number", "slot")

    def __init__(self, slot: int, number: int, name: str, declared: dict[str, tuple[str, ...]], born: int = 0) -> None:
        self.slot = slot
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
            index: (slot * INDEXES_PER_TABLE + position, fields[position]) for position, index in enumerate(names)
        }
        self.home = slot * INDEXES_PER_TABLE + (2 if declared else 1)
        self.declared = [(slot * INDEXES_PER_TABLE + 2 + n, f) for n, f in enumerate(declared.values())]

    @property
    def by_id(self) -> int:
        """Number of the index on ``_id``."""
        return self.slot * INDEXES_PER_TABLE

    @property
    def tablet(self) -> str:
        """Identifier that also differs from those of replaced tables of the same name."""
        return f"{self.slot}:{self.born}"


# Table to index to fields, without the `_creationTime` and `_id` that Convex appends.
Declared = dict[str, dict[str, tuple[str, ...]]]


def declared_text(declared: Declared) -> str:
    """Return a text that is equal for equal indexes."""
    return json.dumps(declared)


def load_tables(connection: sqlite3.Connection, declared: Declared) -> dict[str, Table]:
    """Return the tables in the state of a connection, by name, without hidden ones."""
    rows = connection.execute("SELECT slot, number, name, born FROM tables WHERE name NOT GLOB '_*'")
    return {name: Table(slot, number, name, declared.get(name, {}), born) for slot, number, name, born in rows}
