"""Rows in any order in, rows in session order out, however many: a temporary SQLite file holds them."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any, Final

from sync_tool.encoding.order import sort_key
from sync_tool.errors import OutputError
from sync_tool.model import Names, Page, Row
from sync_tool.rowreader import RowReader

_ROWS_A_PAGE: Final = 1000


def in_session_order(pages: Iterable[Page], names: Names) -> Iterator[Page]:
    """Yield the rows of `pages` by session id, creation time, id; rows equal in all three keep their order.

    Everything is read before the first row comes out; pages without rows tell how far that is. SQLite keeps
    a private file in the temporary folder (``SQLITE_TMPDIR``, ``TMPDIR``) and the system deletes it also
    when the process is killed.
    """
    read_row = RowReader(names).row
    with closing(sqlite3.connect("", isolation_level=None, check_same_thread=False)) as database:
        try:
            yield from _fill(database, pages)
            found = database.execute("SELECT raw FROM row ORDER BY session, time, id, rowid")
            while records := found.fetchmany(_ROWS_A_PAGE):
                yield Page([read_row(raw) for (raw,) in records], 0)
        except sqlite3.OperationalError as error:
            raise OutputError(
                f"cannot sort in the temporary folder: {error}.", hint=[("another", "TMPDIR=/folder/with/space")]
            ) from None


def _fill(database: sqlite3.Connection, pages: Iterable[Page]) -> Iterator[Page]:
    """Store the rows; yield what was read for them as pages without rows, so that a reader can stop it."""
    database.execute("CREATE TABLE row (session BLOB, time REAL, id TEXT, raw BLOB)")
    database.execute("BEGIN")
    for page in pages:
        database.executemany("INSERT INTO row VALUES (?, ?, ?, ?)", map(_stored, page.rows))
        yield Page([], page.bytes)


def _stored(row: Row) -> tuple[Any, ...]:
    return (sort_key(row.session), None if math.isnan(row.time) else row.time, row.id, row.raw)
