"""All records of an import in session order, however many: a private temporary SQLite file holds them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sync_tool.errors import OutputError, UsageError
from sync_tool.rows.model import Names
from sync_tool.text import one_line

_SCHEMA: Final = """
CREATE TABLE source (number INTEGER PRIMARY KEY, title TEXT, session_field TEXT, message_field TEXT);
CREATE TABLE met (session TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE item (
    number INTEGER PRIMARY KEY, session TEXT, time REAL, tie TEXT, own_time REAL, id TEXT,
    source INTEGER, line INTEGER, of TEXT, document BLOB, digest BLOB, faults TEXT, own_session TEXT
);
"""
_BEFORE_ALL: Final = -1.0
"""Where messages stand in their session that have no time: in the order of the file, before all times."""
_A_READ: Final = 500

Place = tuple[float, str, int]
"""Where an item stands within its session: time, tie, number."""
START: Final[Place] = (-2.0, "", 0)


@dataclass(slots=True)
class Incoming:
    """A record on its way into the staging file."""

    session: str | None
    """None where a faulty record does not tell."""
    time: float | None
    """Its own ``_creationTime``, float64 milliseconds since 1970."""
    id: str
    """Its own ``_id``; empty without one."""
    line: int
    of: str
    """Fingerprint of the bytes that were found."""
    document: bytes
    """What will be sent, in canonical bytes; of a faulty record the bytes that were found."""
    digest: bytes | None
    """The message's digest; None for a faulty record."""
    faults: str | None = None
    """The faults as JSON."""
    own_session: str | None = None
    """What the source calls the session, where sessions are renamed."""


class Item(NamedTuple):
    """A staged record."""

    place: Place
    document: bytes
    digest: bytes | None
    faults: str | None


class Found(NamedTuple):
    """A staged record with where it came from."""

    source: str
    line: int
    of: str
    session: str | None
    id: str
    time: float | None
    document: bytes
    digest: bytes | None
    faults: str | None
    own_session: str | None
    """What the source calls the session, where sessions are renamed."""
    session_field: str
    """How the source calls its fields."""
    message_field: str


_FOUND: Final = (
    "SELECT time, tie, item.number, title, line, of, session, id, own_time, document, digest, faults,"
    " own_session, session_field, message_field FROM item JOIN source ON source.number = item.source"
)


class Staged:
    """The staging file. Several threads may read it at once.

    Args:
        names: how the target calls the fields of the documents.
    """

    def __init__(self, names: Names) -> None:
        self.names = names
        # A name of "" is a private file that SQLite deletes, also when the process is killed.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._lock = threading.Lock()
        self._database.executescript(_SCHEMA)
        self._database.execute("BEGIN")

    def close(self) -> None:
        """Delete the file; a thread that Ctrl-C left behind must not be inside it."""
        with self._lock:
            self._database.close()

    def begin(self, number: int, title: str, names: Names) -> None:
        """Begin with a source; `number` counts them from 0, `names` are those of its fields."""
        self._run("INSERT INTO source VALUES (?, ?, ?, ?)", (number, title, names.session_field, names.message_field))

    def meet(self, sessions: Iterable[str]) -> None:
        """Note that sessions stand in a source, whether their messages are wanted or not."""
        with self._lock, _Translated():
            self._database.executemany("INSERT OR IGNORE INTO met VALUES (?)", ((session,) for session in sessions))

    def met(self) -> Iterator[str]:
        """Yield the sessions that were met, in order."""
        for (session,) in self._all("SELECT session FROM met ORDER BY session"):
            yield session

    def add(self, source: int, records: Iterable[Incoming]) -> None:
        """Take the next records of a source."""
        rows = (
            (
                one.session, _BEFORE_ALL if one.time is None else one.time, one.id, one.time, one.id,
                source, one.line, one.of, one.document, one.digest, one.faults,
                one.own_session,
            )
            for one in records
        )  # fmt: skip
        with self._lock, _Translated():
            self._database.executemany("INSERT INTO item VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def arrange(self) -> None:
        """Bring all records into their order, and count rows that came twice once.

        Raises:
            UsageError: two different rows have one ``_id``, or two sessions are renamed into one; names both.
        """
        self._place_timeless()
        self._drop_repeated()
        self._run("CREATE INDEX in_order ON item (session, time, tie, number)")
        self._refuse_merged()

    def keep_active(self, since: float) -> None:
        """Leave out the sessions that have no message at `since` (ms since 1970) or later."""
        self._run(
            "DELETE FROM item WHERE session IN (SELECT session FROM item GROUP BY session HAVING max(time) < ?)",
            (since,),
        )

    def sessions(self) -> Iterator[str]:
        """Yield the session ids in order."""
        yield from ("" for _ in self._all("SELECT 1 FROM item WHERE session = '' LIMIT 1"))
        last = ""
        while True:
            rows = self._all(
                "SELECT DISTINCT session FROM item WHERE session > ? ORDER BY session LIMIT ?", (last, _A_READ)
            )
            for (session,) in rows:
                yield session
            if len(rows) < _A_READ:
                return
            last = rows[-1][0]

    def items(self, session: str, after: Place = START) -> Iterator[Item]:
        """Yield the records of a session in order, those after a place."""
        while True:
            rows = self._all(
                "SELECT time, tie, number, document, digest, faults FROM item"
                " WHERE session = ? AND (time, tie, number) > (?, ?, ?)"
                " ORDER BY time, tie, number LIMIT ?",
                (session, *after, _A_READ),
            )
            for time, tie, number, document, digest, faults in rows:
                yield Item((time, tie, number), document, digest, faults)
            if len(rows) < _A_READ:
                return
            after = rows[-1][:3]

    def troubled(self) -> Iterator[str]:
        """Yield the sessions that hold a faulty record, in order."""
        found = self._all(
            "SELECT DISTINCT session FROM item WHERE faults IS NOT NULL AND session IS NOT NULL ORDER BY session"
        )
        return (session for (session,) in found)

    def found(self, session: str | None) -> Iterator[Found]:
        """Yield the records of a session in order with their origin; of no session those that tell none."""
        after = START
        while True:
            rows = self._all(
                f"{_FOUND} WHERE session IS ? AND (time, tie, item.number) > (?, ?, ?)"
                " ORDER BY time, tie, item.number LIMIT ?",
                (session, *after, _A_READ),
            )
            for row in rows:
                yield Found(*row[3:])
            after = rows[-1][:3] if rows else after
            if len(rows) < _A_READ:
                return

    def blame(self, place: Place, faults: str) -> None:
        """Note that a record turned out to be faulty."""
        self._run("UPDATE item SET faults = ? WHERE number = ?", (faults, place[2]))

    def totals(self) -> tuple[int, int, int]:
        """Return how many sessions and good records there are, and their bytes."""
        ((sessions, count, size),) = self._all(
            "SELECT count(DISTINCT session), count(*), coalesce(sum(length(document)), 0) FROM item"
            " WHERE faults IS NULL"
        )
        return sessions, count, size

    def bad(self) -> tuple[int, int]:
        """Return how many faulty records there are, and in how many sessions."""
        ((count, sessions),) = self._all("SELECT count(*), count(DISTINCT session) FROM item WHERE faults IS NOT NULL")
        return count, sessions

    def timeless(self) -> Found | None:
        """Return the first good record that has no time of its own."""
        rows = self._all(f"{_FOUND} WHERE own_time IS NULL AND faults IS NULL ORDER BY item.number LIMIT 1")
        return Found(*rows[0][3:]) if rows else None

    def _place_timeless(self) -> None:
        """Put records without a time behind the one that stands before them in the file."""
        ((timeless, timed),) = self._all("SELECT count(*) FILTER (WHERE own_time IS NULL), count(own_time) FROM item")
        if not timeless or not timed:
            return
        self._run("CREATE INDEX by_place ON item (session, number)")
        before = (
            "FROM item AS other WHERE other.session = item.session AND other.number < item.number"
            " AND other.own_time IS NOT NULL ORDER BY other.number DESC LIMIT 1"
        )
        self._run(
            f"UPDATE item SET time = coalesce((SELECT own_time {before}), time),"  # noqa: S608
            f" tie = coalesce((SELECT id {before}), tie) WHERE own_time IS NULL AND session IS NOT NULL"
        )
        self._run("DROP INDEX by_place")

    def _drop_repeated(self) -> None:
        groups = "SELECT id FROM item WHERE id <> '' GROUP BY id HAVING count(*) > 1"
        if not self._all(f"{groups} LIMIT 1"):  # nearly always; what follows sorts whole documents
            return
        parted = self._all(f"{groups} AND (min(document) <> max(document) OR min(own_time) <> max(own_time)) LIMIT 1")
        if parted:
            raise self._parted(parted[0][0])
        self._run(
            f"DELETE FROM item WHERE id IN ({groups}) AND number NOT IN"  # noqa: S608
            f" (SELECT min(number) FROM item WHERE id IN ({groups}) GROUP BY id)"
        )

    def _refuse_merged(self) -> None:
        """Refuse to mix two histories into one: nobody could tell them apart again."""
        merged = self._all(
            "SELECT session, min(own_session), max(own_session) FROM item GROUP BY session"
            " HAVING min(own_session) <> max(own_session) LIMIT 1"
        )
        for session, one, other in merged:
            raise UsageError(
                f"the sessions {one!r} and {other!r} would both be called {session!r}; nothing was written.",
                hint=[("give", "each an id of its own")],
            )

    def _parted(self, document_id: str) -> UsageError:
        rows = self._all(
            "SELECT title, line FROM item JOIN source ON source.number = item.source WHERE id = ?"
            " GROUP BY document, own_time ORDER BY item.number LIMIT 2",
            (document_id,),
        )
        (one, line), (two, other) = rows
        return UsageError(
            f"_id {one_line(document_id)!r} stands for two different rows: "
            f"{one_line(one)}:{line} and {one_line(two)}:{other}; nothing was written.",
            hint=[("", "they are from different times or tables; leave one of them out")],
        )

    def _run(self, statement: str, values: Sequence[Any] = ()) -> None:
        with self._lock, _Translated():
            self._database.execute(statement, values)

    def _all(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock, _Translated():
            return self._database.execute(statement, values).fetchall()


class _Translated:
    """Says what it means when the temporary folder is full."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, sqlite3.OperationalError):
            raise OutputError(
                f"cannot sort in the temporary folder: {error}.", hint=[("another", "TMPDIR=/folder/with/space")]
            ) from None
