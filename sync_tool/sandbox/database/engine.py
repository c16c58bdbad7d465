"""Runs reads and writes, each on a consistent state, and assigns timestamps to commits.

Reads run in parallel, with one connection a thread; writes run one after the other. Timestamps are nanoseconds since
the epoch and strictly increase, also across restarts and clock changes.
A timestamp stays readable for ten seconds after the next commit: a connection holds its read transaction open.
Source: get-convex/convex-backend, ``crates/database/src/snapshot_manager.rs``.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from sync_tool.sandbox.database.schema import Schema
from sync_tool.sandbox.database.store import Store, declared_text
from sync_tool.sandbox.database.transaction import Transaction
from sync_tool.sandbox.database.writing import Moment, WriteTransaction
from sync_tool.sandbox.faults import ServerError, internal_error
from sync_tool.sandbox.limits import IDLE_SECONDS, SNAPSHOT_SECONDS

T = TypeVar("T")

_MOST_SNAPSHOTS: Final = 64


class Change(NamedTuple):
    """Notice of a commit."""

    ts: int
    touched: Sequence[tuple[int, bytes]]


class WriteRate:
    """Refuses commits once `limit` bytes were written within the last second."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._written: deque[tuple[float, int]] = deque()

    def admit(self, size: int) -> None:
        """Count a commit of `size` bytes, or raise ServerError 429."""
        now = time.monotonic()
        while self._written and self._written[0][0] <= now - 1.0:
            self._written.popleft()
        if sum(bytes_written for _, bytes_written in self._written) >= self._limit:
            raise ServerError(
                429,
                "TooManyWrites",
                f"Too many bytes written per second. Your deployment is limited to {self._limit} bytes"
                " per second. Reduce your write rate or upgrade your plan.",
            )
        self._written.append((now, size))


class Engine:
    """Database of one sandbox.

    Args:
        store: SQLite file.
        schema: declared schema; its indexes are rebuilt if the file has others.
        write_rate: limit in bytes per second, or None.
        slow_rows: documents a function may read before it times out, or None.
    """

    def __init__(
        self, store: Store, schema: Schema, *, write_rate: int | None = None, slow_rows: int | None = None
    ) -> None:
        self.store = store
        self.schema = schema
        self.declared = schema.declared
        self._slow_rows = slow_rows
        self._rate = None if write_rate is None else WriteRate(write_rate)
        self._writing = threading.Lock()
        self._local = threading.local()
        self.watchers: set[Callable[[Change], None]] = set()
        self.latest_ts: int = self._last_commit()[1]
        self._declare()

    def read(self, run: Callable[[Transaction], T], *, is_system: bool = False) -> tuple[T, int]:
        """Run a function in a transaction on the newest state; return its result and the state's timestamp."""
        return self.view(lambda connection: self.read_on(connection, run, is_system=is_system))

    def view(self, run: Callable[[sqlite3.Connection], T]) -> tuple[T, int]:
        """Run a function on a connection with the newest state; return its result and the state's timestamp."""
        connection = self._connection()
        connection.execute("BEGIN")
        try:
            return run(connection), self.ts_of(connection)
        finally:
            connection.execute("ROLLBACK")

    def read_on(self, connection: sqlite3.Connection, run: Callable[[Transaction], T], *, is_system: bool = False) -> T:
        """Run a function in a transaction on the state that a connection has open."""
        slow_rows = None if is_system else self._slow_rows
        return run(Transaction(connection, self.declared, slow_rows=slow_rows))

    def write(
        self,
        run: Callable[[WriteTransaction], T],
        record: Callable[[sqlite3.Connection, T, int], None] | None = None,
    ) -> tuple[T, int]:
        """Run a function and commit its writes, or roll back if it raises; return its result and a timestamp.

        `record` can store more just before the commit: it gets the connection, the result and the timestamp.
        """
        with self._writing:
            writer = self.store.writer
            writer.execute("BEGIN IMMEDIATE")
            try:
                transaction = self._begin(writer)
                result = run(transaction)
                ts = self._finish(transaction)
                if record is not None:
                    record(writer, result, ts)
                writer.execute("COMMIT")
            except BaseException:
                writer.execute("ROLLBACK")
                raise
            if ts > self.latest_ts:
                self.latest_ts = ts
                for watcher in tuple(self.watchers):
                    watcher(Change(ts, transaction.touched))
            return result, ts

    def beat(self) -> None:
        """Commit without a change after an hour without a commit, as a deployment does."""
        if time.time_ns() - self.latest_ts > IDLE_SECONDS * 1e9:
            self.write(lambda db: db.beat())

    def recall(self, session: str, request: int) -> bytes | None:
        """Return the stored answer of a client's request."""
        with self._writing:
            row = self.store.writer.execute(
                "SELECT answer FROM requests WHERE session = ? AND request = ?", (session, request)
            ).fetchone()
        return None if row is None else bytes(row[0])

    def ts_of(self, connection: sqlite3.Connection) -> int:
        """Return the timestamp of the state that a connection has open."""
        row = connection.execute("SELECT ts FROM commits ORDER BY number DESC LIMIT 1").fetchone()
        return int(row[0])

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self.store.connect()
        return connection

    def _last_commit(self) -> tuple[int, int]:
        number, ts = self.store.writer.execute("SELECT number, ts FROM commits ORDER BY number DESC LIMIT 1").fetchone()
        return number, ts

    def _begin(self, writer: sqlite3.Connection) -> WriteTransaction:
        number, ts = self._last_commit()
        moment = Moment(number + 1, max(time.time_ns(), ts + 1))
        return WriteTransaction(writer, self.declared, moment, self.schema, slow_rows=self._slow_rows)

    def _finish(self, transaction: WriteTransaction) -> int:
        if not transaction.finish():
            return self.latest_ts
        if self._rate is not None:
            self._rate.admit(transaction.bytes_written)
        number, last = self._last_commit()
        ts = max(time.time_ns(), transaction.end_ns, last + 1)
        transaction.connection.execute("INSERT INTO commits VALUES (?, ?)", (number + 1, ts))
        return ts

    def _declare(self) -> None:
        """Create the declared tables; rebuild their indexes if the file has others."""
        text = declared_text(self.declared)
        if self.store.get("declared") == text:
            return
        writer = self.store.writer
        writer.execute("BEGIN IMMEDIATE")
        transaction = self._begin(writer)
        for name in self.declared:
            transaction.rebuild(transaction.tables.get(name) or transaction.new_table(name))
        self.store.set("declared", text)
        writer.execute("COMMIT")


class _Pin:
    """State that a connection keeps open."""

    def __init__(self, connection: sqlite3.Connection, ts: int) -> None:
        self.connection = connection
        self.ts = ts
        self.lock = threading.Lock()
        self.next_ts: int | None = None  # Timestamp of the next commit
        self.since = 0.0  # Monotonic time of that commit


class Snapshots:
    """Readable earlier states of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pins: list[_Pin] = []
        self._lock = threading.Lock()
        engine.watchers.add(self._on_commit)

    def newest(self) -> int:
        """Return the newest timestamp and keep its state readable."""
        with self._lock:
            return self._newest_pin().ts

    def read_at(self, ts: int, run: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function on the state at `ts`: 503 if it is no longer kept, 500 if it is in the future."""
        with self._lock:
            pin = self._pin_for(ts)
        with pin.lock:
            try:
                return run(pin.connection)
            except sqlite3.ProgrammingError:  # it was closed meanwhile
                raise internal_error(503) from None

    def close(self) -> None:
        """Release all states."""
        with self._lock:
            for pin in self._pins:
                pin.connection.close()
            self._pins.clear()

    def _pin_for(self, ts: int) -> _Pin:
        self._drop_old()
        if ts > self._engine.latest_ts:
            raise internal_error()
        for pin in self._pins:
            if pin.ts <= ts and (pin.next_ts is None or ts < pin.next_ts):
                return pin
        pin = self._newest_pin()
        if ts < pin.ts:
            raise internal_error(503)
        return pin

    def _newest_pin(self) -> _Pin:
        self._drop_old()
        if self._pins and self._pins[-1].next_ts is None:
            return self._pins[-1]
        connection = self._engine.store.connect()
        connection.execute("BEGIN")
        pin = _Pin(connection, self._engine.ts_of(connection))
        self._pins.append(pin)
        return pin

    def _drop_old(self) -> None:
        oldest = time.monotonic() - SNAPSHOT_SECONDS
        while self._pins and self._is_spent(self._pins[0], oldest):
            pin = self._pins.pop(0)
            with pin.lock:
                pin.connection.close()

    def _is_spent(self, pin: _Pin, oldest: float) -> bool:
        return pin.next_ts is not None and (pin.since < oldest or len(self._pins) > _MOST_SNAPSHOTS)

    def _on_commit(self, change: Change) -> None:
        with self._lock:
            for pin in self._pins:
                if pin.next_ts is None and pin.ts < change.ts:
                    pin.next_ts, pin.since = change.ts, time.monotonic()
