"""Rows in any order in, rows in session order out, however many: a temporary SQLite file holds them."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import repeat
from operator import lt
from typing import Any, Final

from sync_tool.encoding.order import sort_key
from sync_tool.errors import OutputError
from sync_tool.rows.model import Names, Page, Row
from sync_tool.rows.reading import RowReader

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


# Where rows stand in session order.

Key = tuple[bytes, str, float, str]
"""Kind of the session id, the id where it is text, creation time and ``_id``: these compare as rows do."""

TEXT: Final = sort_key("")[:1]
"""Sorts text among the other kinds of values, none of which has this very key."""


def keys_of(page: Page) -> list[Key]:
    """Return where the rows of a page stand."""
    block = page.block
    if block is not None:  # Python orders text by code points, which is the order of its UTF-8
        return list(zip(repeat(TEXT), block.sessions, block.times, block.ids))
    return [
        (TEXT, row.session, row.time, row.id)
        if type(row.session) is str
        else (sort_key(row.session), "", row.time, row.id)
        for row in page.rows
    ]


def in_file_order(keys: list[Key]) -> bool:
    """Tell whether none stands before the one it follows."""
    return not any(map(lt, keys[1:], keys))


class InOrder:
    """Watches whether rows stand in session order."""

    def __init__(self) -> None:
        self._last: Key = (b"", "", 0.0, "")

    def goes_on(self, page: Page) -> bool:
        """Tell whether the rows of the next page stand in order, behind those of the last one."""
        keys = [self._last, *keys_of(page)]
        self._last = keys[-1]
        return in_file_order(keys)

    def goes_on_between(self, first: Key, last: Key) -> bool:
        """Tell whether rows that are in order among themselves stand behind those of the last ones."""
        before, self._last = self._last, last
        return not first < before
