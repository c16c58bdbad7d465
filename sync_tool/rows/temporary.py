"""Private temporary storage: a database or a file that the system deletes, also when the process is killed."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Final, cast

from sync_tool.errors import OutputError

# Rows read in one step: the lock is free between two steps.
_ROWS_A_STEP: Final = 500


class TemporaryDatabase:
    """A private SQLite database in the temporary folder (``SQLITE_TMPDIR``, ``TMPDIR``).

    Several threads may use it. Every method raises an OutputError if the folder has no room.

    Args:
        schema: the statements that create its tables.
    """

    def __init__(self, schema: str) -> None:
        self._lock = threading.Lock()
        with temporary_errors():  # an empty name is a file that nobody else can open
            self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            self._connection.executescript(schema)
            self._connection.execute("BEGIN")  # never committed: nothing here outlives the process

    def close(self) -> None:
        """Delete the database, once no thread is inside it."""
        with self._lock:
            self._connection.close()

    def run(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Execute one statement."""
        with self._lock, temporary_errors():
            self._connection.execute(statement, values)

    def run_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute one statement for each of `rows`."""
        with self._lock, temporary_errors():
            self._connection.executemany(statement, rows)

    def all(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of a query."""
        with self._lock, temporary_errors():
            return self._connection.execute(query, values).fetchall()

    def each(self, query: str, values: Sequence[Any] = ()) -> Iterator[Any]:
        """Yield the rows of a query; nothing may be written until the last one."""
        with self._lock, temporary_errors():
            cursor = self._connection.execute(query, values)
        while True:
            with self._lock, temporary_errors():
                rows = cursor.fetchmany(_ROWS_A_STEP)
            if not rows:
                return
            yield from rows

    def after(self, query: str, values: Sequence[Any], start: tuple[Any, ...]) -> Iterator[Any]:
        """Yield the rows of a query behind a key; other statements may write meanwhile.

        Args:
            query: selects the key's columns first, compares them with the last parameters but one, orders by them,
                and ends with ``LIMIT ?``.
            values: the parameters before the key.
            start: the key after which to begin.
        """
        while True:
            rows = self.all(query, (*values, *start, _ROWS_A_STEP))
            yield from rows
            if len(rows) < _ROWS_A_STEP:
                return
            start = rows[-1][: len(start)]


def open_temporary_file() -> BinaryIO:
    """Open a private file without a name in the temporary folder.

    Raises:
        OutputError: the folder has no room, or cannot be written.
    """
    with temporary_errors():
        return cast("BinaryIO", TemporaryFile())


@contextmanager
def temporary_errors() -> Iterator[None]:
    """Translate errors of the temporary folder: use it around code that writes there and nowhere else.

    Raises:
        OutputError: the folder has no room, or cannot be written.
    """
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        raise OutputError(
            f"cannot write into the temporary folder: {getattr(error, 'strerror', None) or error}.",
            hint=[("another", "TMPDIR=/folder/with/space")],
        ) from None
