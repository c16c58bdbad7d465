"""Session order: checking it, and sorting any number of rows into it through a temporary SQLite file."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import repeat
from operator import lt
from typing import Final

from sync_tool.encoding.order import sort_key
from sync_tool.errors import OutputError
from sync_tool.rows.batch import Batch, Page
from sync_tool.rows.model import Names
from sync_tool.rows.reading import RowReader, empty_page

_ROWS_A_PAGE: Final = 1000


def in_session_order(pages: Iterable[Page], names: Names) -> Iterator[Page]:
    """Yield the rows of `pages` by session id, creation time, id; rows equal in all three keep their order.

    All pages are read before the first row is yielded; pages without rows report the progress. SQLite keeps a private
    file in the temporary folder (``SQLITE_TMPDIR``, ``TMPDIR``), which the system deletes even if the process is
    killed.
    """
    reader = RowReader(names)
    with closing(sqlite3.connect("", isolation_level=None, check_same_thread=False)) as database:
        try:
            yield from _fill(database, pages)
            found = database.execute("SELECT raw FROM row ORDER BY session, time, id, rowid")
            while records := found.fetchmany(_ROWS_A_PAGE):
                yield reader.stored_page([raw for (raw,) in records], 0)  # counted when they were stored
        except sqlite3.OperationalError as error:
            raise OutputError(
                f"cannot sort in the temporary folder: {error}.", hint=[("another", "TMPDIR=/folder/with/space")]
            ) from None


def _fill(database: sqlite3.Connection, pages: Iterable[Page]) -> Iterator[Page]:
    database.execute("CREATE TABLE row (session BLOB, time REAL, id TEXT, raw BLOB)")
    database.execute("BEGIN")
    for page in pages:
        batch = page.batch
        times = [None if math.isnan(time) else time for time in batch.times]
        rows = zip(map(sort_key, batch.sessions), times, batch.ids, batch.texts(), strict=True)
        database.executemany("INSERT INTO row VALUES (?, ?, ?, ?)", rows)
        yield empty_page(page.bytes)


Key = tuple[bytes, str, float, str]
"""Kind of the session id, the id if it is text, creation time and ``_id``: keys compare as rows do."""

# Sorts text among the other kinds of values, none of which has this key.
TEXT: Final = sort_key("")[:1]


def keys_of(batch: Batch) -> list[Key]:
    """Return the sort keys of rows."""
    if {*map(type, batch.sessions)} <= {str}:  # Python sorts text by code points, which is the order of its UTF-8
        return list(zip(repeat(TEXT), batch.sessions, batch.times, batch.ids))
    return [
        (TEXT, session, time, name) if type(session) is str else (sort_key(session), "", time, name)
        for session, time, name in zip(batch.sessions, batch.times, batch.ids, strict=True)
    ]


def are_sorted(keys: list[Key]) -> bool:
    """Return whether no key is less than the one before it."""
    return not any(map(lt, keys[1:], keys))


class InOrder:
    """Checks that rows are in session order.

    Equal keys are in order, since sorting keeps the order of equal rows.
    """

    def __init__(self) -> None:
        self._last: Key = (b"", "", 0.0, "")

    def add(self, page: Page) -> bool:
        """Return whether the rows of the next page are in order and not before those of the last one."""
        keys = [self._last, *keys_of(page.batch)]
        self._last = keys[-1]
        return are_sorted(keys)

    def add_sorted(self, first: Key, last: Key) -> bool:
        """Return whether sorted rows from `first` to `last` are not before the last rows."""
        before, self._last = self._last, last
        return not first < before
