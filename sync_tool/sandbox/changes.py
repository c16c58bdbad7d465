"""Reads the change log and earlier states of tables: what streaming export is made of.

Every version of a document is either in ``documents`` (the newest) or in ``revisions`` (all earlier ones, and
that it was deleted), each with the number of its commit.
Source of what is read in which order: get-convex/convex-backend, ``crates/table_iteration/src/data_sync.rs``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

import msgspec

from sync_tool.sandbox.intervals import after, key_of
from sync_tool.sandbox.store import Table

_LOG: Final = """
SELECT commit_number, ts, table_number, NULL, body
FROM documents INDEXED BY documents_by_commit JOIN commits ON number = commit_number WHERE {where}
UNION ALL
SELECT commit_number, ts, table_number, id, body
FROM revisions JOIN commits ON number = commit_number WHERE {where}
ORDER BY commit_number
"""

_NOW: Final = """
SELECT entries.key, commit_number, body
FROM entries CROSS JOIN documents ON table_number = ? AND documents.key = home
WHERE index_number = ? AND entries.key >= ? AND commit_number <= ? ORDER BY entries.key
"""

_BEFORE: Final = """
SELECT id, commit_number, body FROM revisions INDEXED BY revisions_by_id
WHERE table_number = ? AND id > ? AND commit_number <= ? ORDER BY id, commit_number
"""


class _Named(msgspec.Struct, rename={"id": "_id"}):
    id: str


_named = msgspec.json.Decoder(_Named).decode


class Revision(NamedTuple):
    """One version of a document."""

    ts: int
    """When it was committed, nanoseconds since the epoch."""
    table_number: int
    id: str
    body: bytes | None
    """Canonical ``convex_encoded_json``; None if this is its deletion."""


def log_after(connection: sqlite3.Connection, ts: int, table: Table | None) -> Iterator[Revision]:
    """Yield every version committed after a moment, commit by commit; of one table, or of all."""
    only = "" if table is None else f" AND table_number = {table.number}"
    query = _LOG.format(where=f"commit_number > {_commit_at(connection, ts)}{only}")
    for _, committed, number, document_id, body in connection.execute(query):
        yield Revision(committed, number, document_id or _named(body).id, body)


def table_at(connection: sqlite3.Connection, table: Table, ts: int, after_id: str) -> Iterator[Revision]:
    """Yield the documents that a table held at a moment, in the order of their ids, after one of these."""
    number, moments = _commit_at(connection, ts), _Moments(connection)
    start = after(key_of([after_id])) if after_id else b""
    now = connection.execute(_NOW, (table.number, table.by_id, start, number))
    before = connection.execute(_BEFORE, (table.number, after_id, number))
    first = before.fetchone()
    if first is None:  # of these nothing was ever replaced or deleted
        for key, commit, body in now:
            yield Revision(moments[commit], table.number, _id_of(key), body)
        return
    versions_of = groupby(merge(chain([first], before), _by_name(now), key=itemgetter(0, 1)), itemgetter(0))
    for document_id, versions in versions_of:
        *_, (_, commit, body) = versions
        if body is not None:
            yield Revision(moments[commit], table.number, document_id, body)


def _by_name(rows: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    return ((_id_of(key), *rest) for key, *rest in rows)


def _id_of(key: bytes) -> str:
    """Return the id that a key of the index on ids stands for: it is between the marks of a string (`key_of`)."""
    return key[1:-1].decode()


class _Moments(dict[int, int]):
    """When commits were made, by their number; each is looked up once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__()
        self._connection = connection

    def __missing__(self, number: int) -> int:
        (ts,) = self._connection.execute("SELECT ts FROM commits WHERE number = ?", (number,)).fetchone()
        self[number] = found = int(ts)
        return found


def _commit_at(connection: sqlite3.Connection, ts: int) -> int:
    """Return the number of the last commit at or before a moment; 0 if it lies before all of them."""
    row = connection.execute("SELECT number FROM commits WHERE ts <= ? ORDER BY number DESC LIMIT 1", (ts,)).fetchone()
    return int(row[0]) if row else 0
