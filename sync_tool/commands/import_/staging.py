"""The staging database: every record of an import in session order, in a private temporary database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sync_tool.commands.inputs import InputPart
from sync_tool.errors import UsageError
from sync_tool.rows.model import Names
from sync_tool.rows.temporary import TemporaryDatabase
from sync_tool.text import one_line

_SCHEMA: Final = """
CREATE TABLE source (number INTEGER PRIMARY KEY, title TEXT, lines INTEGER, session_field TEXT, message_field TEXT);
CREATE TABLE met (session TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE item (
    number INTEGER PRIMARY KEY, session TEXT, time REAL, tie TEXT, own_time REAL, id TEXT, source INTEGER,
    line INTEGER, of TEXT, document BLOB, digest BLOB, faults TEXT, own_session TEXT, twin BLOB, repaired INTEGER,
    place TEXT
);
"""
# Sort key of messages without a time: before all times, in the order of their file.
_BEFORE_ALL: Final = -1.0

# Position of a record within its session: time, tie-breaker, number.
Position = tuple[float, str, int]
START: Final[Position] = (-2.0, "", 0)


@dataclass(slots=True)
class Incoming:
    """A record on its way into the staging database."""

    session: str | None
    """None if a faulty record does not contain it."""
    time: float | None
    """Its own ``_creationTime``, float64 milliseconds since 1970."""
    id: str
    """Its own ``_id``; empty without one."""
    line: int
    where: str
    """The place in words of another store; empty elsewhere."""
    of: str
    """Fingerprint of the bytes that were read."""
    document: bytes | None
    """The document to send in canonical bytes; of a faulty record its own bytes; None if a repair removed it."""
    digest: bytes | None
    """The message's digest; None for a faulty record."""
    twin: bytes | None
    """Digest of the record as it was read, before any repair, however its JSON is written. Two records of one
    ``_id`` are the same row if these are equal."""
    faults: str | None = None
    """The faults as JSON."""
    own_session: str | None = None
    """The session's id in the source, if sessions are renamed."""
    repaired: bool = False


class Item(NamedTuple):
    """A staged record."""

    position: Position
    document: bytes
    digest: bytes | None
    faults: str | None


class SourcedItem(NamedTuple):
    """A staged record with its origin."""

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
    """The session's id in the source, if sessions are renamed."""
    session_field: str
    """Name of the field in the source."""
    message_field: str
    lines: bool
    """False if `line` is a number that changes when other records come or go."""
    where: str
    """The place in words of another store; empty elsewhere."""


_SOURCED: Final = (
    "SELECT time, tie, item.number, title, line, of, session, id, own_time, document, digest, faults,"
    " own_session, session_field, message_field, lines, place FROM item JOIN source ON source.number = item.source"
)
_TWINS: Final = "SELECT id FROM item WHERE id <> '' GROUP BY id HAVING count(*) > 1"


class Staging:
    """The staging database. Several threads may read it.

    Args:
        names: the target's names for the fields of documents.
    """

    def __init__(self, names: Names) -> None:
        self.names = names
        self._database = TemporaryDatabase(_SCHEMA)

    def close(self) -> None:
        """Delete the database."""
        self._database.close()

    def add_source(self, number: int, part: InputPart) -> None:
        """Add a source."""
        fields = (part.names.session_field, part.names.message_field)
        self._database.run("INSERT INTO source VALUES (?, ?, ?, ?, ?)", (number, part.title, part.lines, *fields))

    def add_met(self, session: str) -> None:
        """Record that a source holds a session, selected or not."""
        self._database.run("INSERT OR IGNORE INTO met VALUES (?)", (session,))

    def met(self) -> Iterator[str]:
        """Yield the sessions that the sources hold, in order."""
        return (session for (session,) in self._database.all("SELECT session FROM met ORDER BY session"))

    def add(self, source: int, records: Iterable[Incoming]) -> None:
        """Add the next records of a source."""
        rows = (
            (
                one.session, _BEFORE_ALL if one.time is None else one.time, one.id, one.time, one.id, source,
                one.line, one.of, one.document, one.digest, one.faults, one.own_session, one.twin, one.repaired,
                one.where,
            )
            for one in records
        )  # fmt: skip
        marks = ", ".join("?" * 15)
        self._database.run_many(f"INSERT INTO item VALUES (NULL, {marks})", rows)  # noqa: S608

    def arrange(self) -> None:
        """Sort all records, and keep one of the rows that were read twice.

        Raises:
            UsageError: two different rows have one ``_id``, or two sessions are renamed into one; names both.
        """
        self._place_timeless()
        self._drop_twins()
        self._database.run("DELETE FROM item WHERE document IS NULL")
        self._database.run("CREATE INDEX in_order ON item (session, time, tie, number)")
        self._refuse_merged()

    def keep_active(self, since: float) -> None:
        """Remove the sessions without a message at `since` (ms since 1970) or later."""
        self._database.run(
            "DELETE FROM item WHERE session IN (SELECT session FROM item GROUP BY session HAVING max(time) < ?)",
            (since,),
        )

    def sessions(self) -> Iterator[str]:
        """Yield the session ids in order."""
        yield from ("" for _ in self._database.all("SELECT 1 FROM item WHERE session = '' LIMIT 1"))
        query = "SELECT DISTINCT session FROM item WHERE session > ? ORDER BY session LIMIT ?"
        for (session,) in self._database.after(query, (), ("",)):
            yield session

    def items(self, session: str, after: Position = START) -> Iterator[Item]:
        """Yield the records of a session in order, those after a position."""
        query = (
            "SELECT time, tie, number, document, digest, faults FROM item"
            " WHERE session = ? AND (time, tie, number) > (?, ?, ?) ORDER BY time, tie, number LIMIT ?"
        )
        for time, tie, number, document, digest, faults in self._database.after(query, (session,), after):
            yield Item((time, tie, number), document, digest, faults)

    def faulty_sessions(self) -> Iterator[str]:
        """Yield the sessions with a faulty record, in order."""
        query = "SELECT DISTINCT session FROM item WHERE faults IS NOT NULL AND session IS NOT NULL ORDER BY session"
        return (session for (session,) in self._database.all(query))

    def sourced(self, session: str | None) -> Iterator[SourcedItem]:
        """Yield the records of a session in order with their origin; None stands for records of no session."""
        query = (
            f"{_SOURCED} WHERE session IS ? AND (time, tie, item.number) > (?, ?, ?)"
            " ORDER BY time, tie, item.number LIMIT ?"
        )
        return (SourcedItem(*row[3:]) for row in self._database.after(query, (session,), START))

    def faulty(self) -> Iterator[SourcedItem]:
        """Yield all faulty records in the order in which they were read."""
        query = f"{_SOURCED} WHERE faults IS NOT NULL ORDER BY item.number"
        return (SourcedItem(*row[3:]) for row in self._database.each(query))

    def mark_faulty(self, position: Position, faults: str) -> None:
        """Record that a record turned out to be faulty."""
        self._database.run("UPDATE item SET faults = ? WHERE number = ?", (faults, position[2]))

    def totals(self) -> tuple[int, int, int]:
        """Return the number of sessions and good records, and the size of these in bytes."""
        query = (
            "SELECT count(DISTINCT session), count(*), coalesce(sum(length(document)), 0) FROM item"
            " WHERE faults IS NULL"
        )
        ((sessions, count, size),) = self._database.all(query)
        return sessions, count, size

    def bad(self) -> tuple[int, int]:
        """Return the number of faulty records and of their sessions."""
        ((count, sessions),) = self._database.all(
            "SELECT count(*), count(DISTINCT session) FROM item WHERE faults IS NOT NULL"
        )
        return count, sessions

    def timeless(self) -> SourcedItem | None:
        """Return the first good record without a time of its own."""
        rows = self._database.all(f"{_SOURCED} WHERE own_time IS NULL AND faults IS NULL ORDER BY item.number LIMIT 1")
        return SourcedItem(*rows[0][3:]) if rows else None

    def _place_timeless(self) -> None:
        """Sort records without a time after the record that precedes them in the file."""
        query = "SELECT count(*) FILTER (WHERE own_time IS NULL), count(own_time) FROM item"
        ((timeless, timed),) = self._database.all(query)
        if not timeless or not timed:
            return
        self._database.run("CREATE INDEX by_number ON item (session, number)")
        before = (
            "FROM item AS other WHERE other.session = item.session AND other.number < item.number"
            " AND other.own_time IS NOT NULL ORDER BY other.number DESC LIMIT 1"
        )
        self._database.run(
            f"UPDATE item SET time = coalesce((SELECT own_time {before}), time),"  # noqa: S608
            f" tie = coalesce((SELECT id {before}), tie) WHERE own_time IS NULL AND session IS NOT NULL"
        )
        self._database.run("DROP INDEX by_number")

    def _drop_twins(self) -> None:
        """Keep one record of each ``_id``: the repaired one, else the first."""
        if not self._database.all(f"{_TWINS} LIMIT 1"):  # nearly always; the rest sorts whole documents
            return
        # Records of one _id must be the same row, and if several were repaired, repaired alike.
        for differing in ("twin", "coalesce(document, '')"):
            only = "" if differing == "twin" else "AND repaired"
            found = self._database.all(
                f"SELECT id FROM item WHERE id <> '' {only} GROUP BY id"  # noqa: S608
                f" HAVING min({differing}) <> max({differing}) LIMIT 1"
            )
            if found:
                raise self._different_rows(found[0][0], differing)
        self._database.run(
            f"DELETE FROM item WHERE id IN ({_TWINS}) AND number NOT IN"  # noqa: S608
            " (SELECT number FROM (SELECT number, min(number - (repaired << 48)) FROM item"
            f" WHERE id IN ({_TWINS}) GROUP BY id))"
        )

    def _refuse_merged(self) -> None:
        """Refuse to rename two sessions into one: nobody could separate them again."""
        merged: list[Any] = self._database.all(
            "SELECT session, min(own_session), max(own_session) FROM item GROUP BY session"
            " HAVING min(own_session) <> max(own_session) LIMIT 1"
        )
        for session, one, other in merged:
            raise UsageError(
                f"the sessions {one!r} and {other!r} would both be called {session!r}; nothing was written.",
                hint=[("give", "each an id of its own")],
            )

    def _different_rows(self, document_id: str, differing: str) -> UsageError:
        rows = self._database.all(
            "SELECT title, line FROM item JOIN source ON source.number = item.source WHERE id = ?"  # noqa: S608
            f" GROUP BY {differing} ORDER BY item.number LIMIT 2",
            (document_id,),
        )
        (one, line), (two, other) = rows
        return UsageError(
            f"_id {one_line(document_id)!r} stands for two different rows: "
            f"{one_line(one)}:{line} and {one_line(two)}:{other}; nothing was written.",
            hint=[("", "they are from different times or tables; leave one of them out")],
        )
