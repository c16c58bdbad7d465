"""Reads of one function on a consistent state, within Convex's limits.

Source of the limits and their messages: get-convex/convex-backend, ``crates/database/src/{reads,writes}.rs``.
"""

from __future__ import annotations

import math
import sqlite3
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from operator import attrgetter
from typing import Any, Final, NamedTuple

from sync_tool.encoding.ids import decode_id
from sync_tool.encoding.order import MISSING, sort_key
from sync_tool.encoding.values import Value
from sync_tool.sandbox import limits
from sync_tool.sandbox.database.documents import Row
from sync_tool.sandbox.database.store import INDEXES_PER_TABLE, Declared, Table, load_tables
from sync_tool.sandbox.faults import FunctionError, developer_error

# An index key concatenates the order-preserving bytes of the indexed values, `_creationTime` and `_id`
# (`sync_tool.encoding.order`), so every range of any index is one half-open range of bytes.

_LAST: Final = b"\xff"  # Sorts after every continuation of a key: the first byte of a value's key is at most 9


CATALOG: Final = -1  # Pseudo index whose keys are the names of tables; a read of the list of tables is a range of it

IMPORTS: Final = -2  # Pseudo index whose keys are the ids of snapshot imports

EVERYTHING: Final = -3  # Among the touched keys of a commit: all keys of all indexes


class Interval(NamedTuple):
    """Keys of one index with ``start <= key < stop``."""

    number: int  # Number of the index in the store
    start: bytes
    stop: bytes

    def holds(self, number: int, key: bytes) -> bool:
        """Return whether a key of an index is inside."""
        return number == EVERYTHING or (number == self.number and self.start <= key < self.stop)


def key_of(values: Sequence[Value]) -> bytes:
    """Return the index key, or its prefix, for these values; `MISSING` stands for no value."""
    return b"".join(map(sort_key, values))


def field_of(document: dict[str, Value], path: str) -> Value:
    """Return the value at a dotted field path, or `MISSING`."""
    if "." not in path:
        return document.get(path, MISSING)
    value: Value = document
    for name in path.split("."):
        if type(value) is not dict or name not in value:
            return MISSING
        value = value[name]
    return value


class Bound(NamedTuple):
    """End of a range: a prefix of index keys, and whether the range includes keys with that prefix."""

    values: tuple[Value, ...]
    inclusive: bool


def interval(index: int, lower: Bound | None, upper: Bound | None) -> Interval:
    """Return the range between two bounds; None leaves an end open."""
    start = b"" if lower is None else key_of(lower.values) + (b"" if lower.inclusive else _LAST)
    stop = _LAST if upper is None else key_of(upper.values) + (_LAST if upper.inclusive else b"")
    return Interval(index, start, max(start, stop))


def equal_to(index: int, values: Sequence[Value]) -> Interval:
    """Return the range of keys that begin with these values."""
    prefix = key_of(values)
    return Interval(index, prefix, prefix + _LAST)


def after(key: bytes) -> bytes:
    """Return the first possible key after `key`."""
    return key + b"\x00"


# Reads a range of a home index.
SCAN_HOME: Final = "SELECT key, size, body, key FROM documents WHERE slot = ? AND key >= ? AND key < ? ORDER BY key"

# Reads a range of any other index.
SCAN: Final = (
    "SELECT entries.key, size, body, home FROM entries CROSS JOIN documents"
    " ON slot = ? AND documents.key = home"
    " WHERE index_number = ? AND entries.key >= ? AND entries.key < ? ORDER BY entries.key"
)

_AT_FIRST: Final = 8
_AT_ONCE: Final = 256  # Documents fetched from SQLite together, at first and at most
_BYTES_AT_ONCE: Final = 1 << 20  # Limit of their estimated total size: a document can have 1 MiB
_row: Final[Callable[[Any], Row]] = partial(tuple.__new__, Row)  # Makes a row of a tuple without running Python code
_size: Final = attrgetter("size")

_HELP: Final = (
    "Consider using smaller limits in your queries, paginating your queries, or using indexed queries with a"
    " selective index range expressions."
)


class LimitError(FunctionError):
    """A read limit was reached; ``.paginate()`` then ends its page instead of failing."""


def _too_many(what: str, limit: str) -> LimitError:
    text = f"Too many {what} in a single function execution (limit: {limit}). {_HELP}"
    return LimitError(f"Uncaught Error: {text}", thrown=True)


class Transaction:
    """Consistent view of the database, with Convex's limits on the reads of one function.

    Attributes:
        ranges: ranges read, which decide whether a later commit concerns a live query.
        documents_read: number of documents read.
        bytes_read: their total size.
    """

    def __init__(self, connection: sqlite3.Connection, declared: Declared, *, slow_rows: int | None = None) -> None:
        self.connection = connection
        self.declared = declared
        self.tables = load_tables(connection, declared)
        self.ranges: list[Interval] = []
        self.documents_read = 0
        self.bytes_read = 0
        self._scans = 0
        self._derived: Counter[int] = Counter()  # ids inserted since the last read of their index on ids
        self._slow_rows = slow_rows

    def table(self, name: str) -> Table | None:
        """Return a table, or None if it does not exist."""
        return self.tables.get(name)

    def index(self, table: str, name: str) -> tuple[int, tuple[str, ...]]:
        """Return number and fields of an index, with `_creationTime` and `_id`; a missing table has two indexes."""
        found = self.tables.get(table) or self._missing(table)
        if name not in found.indexes:
            raise developer_error(f"Index {table}.{name} not found.")
        return found.indexes[name]

    def _missing(self, table: str) -> Table:
        """Return an empty table and record that it was looked up."""
        name = table.encode()
        self.ranges.append(Interval(CATALOG, name, after(name)))
        return Table(0, 0, table, {})

    def note_catalog(self) -> None:
        """Record a read of the list of tables."""
        self.ranges.append(Interval(CATALOG, b"", b"\xff"))

    def range(self, table: str, name: str, lower: Bound | None = None, upper: Bound | None = None) -> Interval:
        """Return the range of an index between two bounds."""
        return interval(self.index(table, name)[0], lower, upper)

    def equal(self, table: str, name: str, field: str, values: Sequence[Value]) -> Interval:
        """Return the range of an index whose first field, `field`, equals the first of `values`."""
        number, fields = self.index(table, name)
        if fields[0] != field:
            raise developer_error(
                f'The index range included a comparison with "{field}", but {table}.{name} with fields'
                f" {list(fields[:-1])} doesn't index this field."
            )
        return equal_to(number, values)

    def key_in(self, number: int, table: str, document: dict[str, Value]) -> bytes:
        """Return the key of a document in one index of its table."""
        indexes = self.tables[table].indexes.values()
        fields = next(fields for index, fields in indexes if index == number)
        return key_of([field_of(document, field) for field in fields])

    def scan(self, span: Interval, *, descending: bool = False) -> Iterator[Row]:
        """Yield the documents of a range in index order; only documents taken count as read."""
        position = self._begin(span)
        cursor = self._select(span, " DESC" if descending else "")
        key, ended = b"", False
        try:
            for key, size, body, home in cursor:
                self._count(1, size)
                yield Row(key, size, body, home)
            ended = True
        finally:
            if not ended:
                self.ranges[position] = _up_to(key, span, descending=descending)

    def read(
        self, span: Interval, *, limit: float = math.inf, max_bytes: float = math.inf, descending: bool = False
    ) -> tuple[list[Row], bool]:
        """Return the documents of a range that fit, at least one, and whether the range is known to end there.

        Equivalent to `scan`, but fetches many documents at a time. With a limit in bytes, one more document counts.
        """
        position = self._begin(span)
        cursor = self._select(span, " DESC" if descending else "")
        rows: list[Row] = []
        size, at_once = 0, _AT_FIRST
        while len(rows) < limit:
            found = list(map(_row, cursor.fetchmany(int(min(at_once, limit - len(rows))))))
            if not found:
                self.ranges[position] = span
                return rows, True
            sizes = list(accumulate(map(_size, found), initial=size))[1:]
            fitting = max(bisect_right(sizes, max_bytes), 0 if rows else 1)
            seen = found[: fitting + 1]
            self.ranges[position] = _up_to(seen[-1].key, span, descending=descending)
            self._count(len(seen), sizes[len(seen) - 1] - size)
            rows += found[:fitting]
            size = sizes[-1]
            at_once = min(_AT_ONCE, 1 + _BYTES_AT_ONCE * len(rows) // max(size, 1))
            if fitting < len(found):
                return rows, False
        return rows, False

    def _begin(self, span: Interval) -> int:
        """Record a range as read and return its position in the list."""
        self.ranges.append(span)
        self._scans += 1 + self._derived.pop(span.number, 0)
        if self._scans > limits.MAX_RANGES_READ:
            raise _too_many("reads", str(limits.MAX_RANGES_READ))
        return len(self.ranges) - 1

    def first(self, span: Interval, *, descending: bool = False) -> Row | None:
        """Return the first, or last, document of a range."""
        return next(self.scan(span, descending=descending), None)

    def find(self, document_id: str) -> tuple[Table, Row] | None:
        """Return the table and document of an ``_id``, or None."""
        table = self.table_of(document_id)
        row = None if table is None else self.first(equal_to(table.by_id, (document_id,)))
        return None if table is None or row is None else (table, row)

    def table_of(self, document_id: str) -> Table | None:
        """Return the table of an ``_id``, or None."""
        try:
            number = decode_id(document_id).table_number
        except ValueError:
            return None
        self.note_catalog()
        return next((table for table in self.tables.values() if table.number == number), None)

    def row_count(self, table: str) -> int:
        """Return the number of documents in a table, from its statistics."""
        self.ranges.append(Interval(self.index(table, "by_id")[0], b"", b"\xff"))
        row = self.connection.execute("SELECT row_count FROM tables WHERE name = ?", (table,)).fetchone()
        return 0 if row is None else int(row[0])

    def _select(self, span: Interval, direction: str) -> sqlite3.Cursor:
        slot = span.number // INDEXES_PER_TABLE
        if any(table.home == span.number for table in self.tables.values()):
            return self.connection.execute(SCAN_HOME + direction, (slot, span.start, span.stop))
        return self.connection.execute(SCAN + direction, (slot, *span))

    def _count(self, documents: int, size: int) -> None:
        self.documents_read += documents
        self.bytes_read += size
        if self.documents_read > limits.MAX_DOCUMENTS_READ:
            raise _too_many("documents read", str(limits.MAX_DOCUMENTS_READ))
        if self.bytes_read > limits.MAX_BYTES_READ:
            raise _too_many("bytes read", f"{limits.MAX_BYTES_READ} bytes")
        if self._slow_rows is not None and self.documents_read > self._slow_rows:
            raise FunctionError("Function execution timed out (maximum duration: 1s)")


def _up_to(key: bytes, span: Interval, *, descending: bool) -> Interval:
    """Return the part of a range that was read if the last document is at `key`."""
    start, stop = (key, span.stop) if descending else (span.start, after(key))
    return Interval(span.number, start, stop)
