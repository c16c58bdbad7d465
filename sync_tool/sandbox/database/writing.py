"""Transaction that can write.

Writes go to SQLite at once, so a function sees its own; the engine commits or rolls back.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sync_tool.encoding import canonical
from sync_tool.encoding.order import sort_key
from sync_tool.encoding.plain import dumps_plain
from sync_tool.encoding.values import Value
from sync_tool.sandbox import limits
from sync_tool.sandbox.database.documents import Row, check_document, new_ids, next_time, whole_document
from sync_tool.sandbox.database.schema import Schema
from sync_tool.sandbox.database.store import FIRST_TABLE, INDEXES_PER_TABLE, Declared, Table
from sync_tool.sandbox.database.transaction import CATALOG, Transaction, field_of, key_of
from sync_tool.sandbox.faults import developer_error
from sync_tool.sandbox.paths import is_identifier

_RESERVED: Final = "_"
_HIDDEN: Final = "_hidden:"
# Document, canonical bytes, size, and the number of the commit that wrote it.
_Stored = tuple[dict[str, Value], bytes, int, int]


class Moment(NamedTuple):
    """Start of a transaction, and the number of its commit."""

    commit_number: int
    ns: int  # Nanoseconds since the epoch, later than the last commit


class WriteTransaction(Transaction):
    """Transaction that can also write.

    Attributes:
        touched: index keys of all versions written, replaced or deleted.
        bytes_written: total size of the writes, for the limits.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        declared: Declared,
        moment: Moment,
        schema: Schema | None,
        *,
        slow_rows: int | None = None,
    ) -> None:
        super().__init__(connection, declared, slow_rows=slow_rows)
        self._moment = moment
        self._schema = schema
        self._creation_time = moment.ns / 1e6
        self._row_counts: Counter[int] = Counter()
        self._changed = False
        self.touched: list[tuple[int, bytes]] = []
        self.documents_written = 0
        self.bytes_written = 0

    @property
    def creation_time(self) -> float:
        """`_creationTime` of the next insert."""
        return self._creation_time

    @property
    def end_ns(self) -> int:
        """First nanosecond after all creation times used."""
        return int(self._creation_time * 1e6) + 1

    def insert(self, table: str, fields: Value) -> str:
        """Add a document and return its ``_id``; create the table if it does not exist."""
        return self.insert_all(table, [fields])[0]

    def insert_all(self, table: str, several: Sequence[Value]) -> list[str]:
        """Add documents in this order and return their ids."""
        home = self.tables.get(table) or self.new_table(table)
        documents = []
        for fields, document_id in zip(several, new_ids(home.number, len(several)), strict=True):
            documents.append(whole_document(fields, document_id, self._creation_time))
            self._creation_time = next_time(self._creation_time)
        self._put_all(home, documents)
        self._derived[home.by_id] += len(documents)
        return [document["_id"] for document in documents]

    def put(self, table: Table, document: dict[str, Value]) -> None:
        """Add a document that already has its system fields."""
        self._put_all(table, [document])

    def _put_all(self, table: Table, documents: Iterable[dict[str, Value]]) -> None:
        rows: list[_Stored] = []
        for document in documents:
            measured = check_document(document)
            if self._schema is not None:
                self._schema.enforce(table.name, document)
            self._count_write(measured.size)
            body = dumps_plain(document) if measured.plain else canonical.dumps(document)
            rows.append((document, body, measured.size, self._moment.commit_number))
        self._store(table, rows)
        self._row_counts[table.slot] += len(rows)

    def _store(self, table: Table, rows: Iterable[_Stored]) -> None:
        bodies: list[tuple[int, bytes, int, int, bytes]] = []
        entries: list[tuple[int, bytes, bytes]] = []
        for document, body, size, commit_number in rows:
            keys = self._keys(table, document)
            home = keys.pop(table.home)
            bodies.append((table.slot, home, commit_number, size, body))
            entries += [(number, key, home) for number, key in keys.items()]
        entries.sort()  # consecutive entries then go to the same page
        self.connection.executemany("INSERT INTO documents VALUES (?, ?, ?, ?, ?)", bodies)
        self.connection.executemany("INSERT INTO entries VALUES (?, ?, ?)", entries)

    def replace(self, document_id: str, fields: Value) -> None:
        """Replace the fields of a document; ``_id`` and `_creationTime` stay."""
        table, row = self._must_find(document_id)
        document = whole_document(fields, document_id, row.document["_creationTime"])
        self._remove(table, row, deleted=False)
        self.put(table, document)

    def delete(self, document_id: str) -> None:
        """Delete a document. This reads it first: one more index range and its bytes."""
        self._remove(*self._must_find(document_id), deleted=True)

    def rebuild(self, table: Table) -> None:
        """Write a table's documents and index keys again, for other declared indexes."""
        slot = (table.slot,)
        old = self.connection.execute("SELECT body, size, commit_number FROM documents WHERE slot = ?", slot).fetchall()
        self.connection.execute("DELETE FROM documents WHERE slot = ?", slot)
        self.connection.execute(
            "DELETE FROM entries WHERE index_number BETWEEN ? AND ?",
            (table.by_id, table.by_id + INDEXES_PER_TABLE - 1),
        )
        self._store(table, ((canonical.loads(body), body, size, number) for body, size, number in old))

    def hide_table(self, name: str, number: int | None) -> Table:
        """Create an empty hidden table; None keeps the number of the table of that name, or takes the next."""
        old = self.tables.get(name)
        return self._create(name, number or (old.number if old else None), f"{_HIDDEN}{name}")

    def show_table(self, hidden: Table) -> None:
        """Put a hidden table in the place of the table of its name, whatever that holds; its change log is dropped."""
        old = self.tables.get(hidden.name)
        if old is not None:
            self._drop(old.slot)
        born = (hidden.name, self._moment.commit_number, hidden.slot)
        self.connection.execute("UPDATE tables SET name = ?, born = ? WHERE slot = ?", born)

    def drop_hidden(self) -> None:
        """Delete all hidden tables."""
        for (slot,) in self.connection.execute("SELECT slot FROM tables WHERE name GLOB '_*'").fetchall():
            self._drop(slot)

    def _drop(self, slot: int) -> None:
        for table in ("documents", "revisions", "tables"):
            self.connection.execute(f"DELETE FROM {table} WHERE slot = ?", (slot,))  # noqa: S608
        indexes = (slot * INDEXES_PER_TABLE, (slot + 1) * INDEXES_PER_TABLE - 1)
        self.connection.execute("DELETE FROM entries WHERE index_number BETWEEN ? AND ?", indexes)
        self._row_counts.pop(slot, None)

    def note(self, index: int, key: bytes) -> None:
        """Record a touched index key; the transaction then has something to commit."""
        self.touched.append((index, key))
        self._changed = True

    def beat(self) -> None:
        """Commit although nothing was written."""
        self._changed = True

    def forget(self) -> None:
        """Reset the counts and touched keys: loading a file has no limits."""
        self.documents_written = self.bytes_written = 0
        self.touched.clear()

    def finish(self) -> bool:
        """Write the row counts; return whether anything changed."""
        counts = [(difference, slot) for slot, difference in self._row_counts.items()]
        self.connection.executemany("UPDATE tables SET row_count = row_count + ? WHERE slot = ?", counts)
        return self._changed

    def _must_find(self, document_id: str) -> tuple[Table, Row]:
        found = self.find(document_id)
        if found is None:
            raise developer_error(f"Update or delete on nonexistent document ID {document_id}")
        return found

    def _remove(self, table: Table, row: Row, *, deleted: bool) -> None:
        document = row.document
        if deleted:
            self._count_write(0)
        keys = self._keys(table, document)
        self.connection.executemany("DELETE FROM entries WHERE index_number = ? AND key = ?", keys.items())
        (old_commit,) = self.connection.execute(
            "DELETE FROM documents WHERE slot = ? AND key = ? RETURNING commit_number",
            (table.slot, row.home),
        ).fetchone()
        this_commit = self._moment.commit_number
        revisions: list[tuple[int, str, int, bytes | None]] = []
        if old_commit != this_commit:  # a commit keeps only its last write of a document
            revisions.append((old_commit, document["_id"], table.slot, row.body))
        if deleted:
            revisions.append((this_commit, document["_id"], table.slot, None))
        self.connection.executemany("INSERT OR REPLACE INTO revisions VALUES (?, ?, ?, ?)", revisions)
        self._row_counts[table.slot] -= 1

    def _keys(self, table: Table, document: dict[str, Value]) -> dict[int, bytes]:
        identity = sort_key(document["_id"])
        end = sort_key(document["_creationTime"]) + identity  # of all indexes except the one on ids
        keys = {table.by_id: identity, table.by_id + 1: end}
        for number, fields in table.declared:
            keys[number] = key_of([field_of(document, field) for field in fields]) + end
        self.touched += keys.items()
        self._changed = True
        return keys

    def new_table(self, name: str) -> Table:
        """Create a table with the next number."""
        table = self._create(name, None, name)
        self.tables[name] = table
        self.touched.append((CATALOG, name.encode()))
        return table

    def _create(self, name: str, number: int | None, stored_as: str) -> Table:
        if name.startswith(_RESERVED) or not is_identifier(name):
            raise developer_error(f"Invalid table name: {name}")
        last = self.connection.execute("SELECT max(slot), max(number) FROM tables").fetchone()
        slot, following = (max(FIRST_TABLE, (largest or 0) + 1) for largest in last)
        table = Table(slot, number or following, name, self.declared.get(name, {}), self._moment.commit_number)
        row = (slot, stored_as, table.born, table.number)
        self.connection.execute("INSERT INTO tables (slot, name, row_count, born, number) VALUES (?, ?, 0, ?, ?)", row)
        return table

    def _count_write(self, size: int) -> None:
        self.documents_written += 1
        self.bytes_written += size
        if self.documents_written > limits.MAX_DOCUMENTS_WRITTEN:
            limit = str(limits.MAX_DOCUMENTS_WRITTEN)
            raise developer_error(f"Too many writes in a single function execution (limit: {limit})")
        if self.bytes_written > limits.MAX_BYTES_WRITTEN:
            limit = limits.binary_size(limits.MAX_BYTES_WRITTEN)
            raise developer_error(f"Too many bytes written in a single function execution (limit: {limit})")
