"""Old states that can still be read: a timestamp stays good for ten seconds after the next commit.

A state is kept by a connection that holds its read transaction open.
Source: get-convex/convex-backend, ``crates/database/src/snapshot_manager.rs``.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from sync_tool.sandbox.database.engine import Change, Engine
from sync_tool.sandbox.faults import internal_error
from sync_tool.sandbox.limits import SNAPSHOT_SECONDS

T = TypeVar("T")

_MOST_KEPT: Final = 64


class _Pin:
    """One state kept open."""

    def __init__(self, connection: sqlite3.Connection, ts: int) -> None:
        self.connection = connection
        self.ts = ts
        self.lock = threading.Lock()
        self.next_ts: int | None = None
        """Timestamp of the commit that made this state old."""
        self.since = 0.0
        """When it became old, on the monotonic clock."""


class Snapshots:
    """The states of one engine that were asked for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pins: list[_Pin] = []
        self._lock = threading.Lock()
        engine.watchers.append(self._on_commit)

    def newest(self) -> int:
        """Return the newest timestamp and keep its state readable."""
        with self._lock:
            return self._newest_pin().ts

    def read_at(self, ts: int, run: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function on the state at a timestamp.

        Raises:
            ServerError: 503 if that state is gone, 500 if it lies in the future.
        """
        with self._lock:
            pin = self._pin_for(ts)
        with pin.lock:
            try:
                return run(pin.connection)
            except sqlite3.ProgrammingError:  # it was let go of in between
                raise internal_error(503) from None

    def close(self) -> None:
        """Let go of all states."""
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
        return pin.next_ts is not None and (pin.since < oldest or len(self._pins) > _MOST_KEPT)

    def _on_commit(self, change: Change) -> None:
        with self._lock:
            for pin in self._pins:
                if pin.next_ts is None and pin.ts < change.ts:
                    pin.next_ts, pin.since = change.ts, time.monotonic()
