"""The plans of all sessions, however many: a private temporary SQLite file holds them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from sync_tool.jobs.importing.planning import SessionPlan, Status

_A_READ: Final = 500
_SCHEMA: Final = """
CREATE TABLE plan (
    number INTEGER PRIMARY KEY, session TEXT, status TEXT, good INTEGER, held INTEGER, there INTEGER, last TEXT,
    time REAL, tie TEXT, item INTEGER, digest BLOB, bytes INTEGER, differs_at INTEGER
)
"""


class Count(NamedTuple):
    """What plans of one status come to."""

    sessions: int = 0
    messages: int = 0
    """Good ones, wherever they are."""
    missing: int = 0
    """Those that the target does not have."""
    bytes: int = 0
    """Size of the missing ones."""


class Plans:
    """All plans, in session order."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute(_SCHEMA)
        self._database.execute("BEGIN")

    def close(self) -> None:
        """Delete the file."""
        self._database.close()

    def add(self, plan: SessionPlan) -> None:
        """Take the next one."""
        self._database.execute(
            "INSERT INTO plan VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                plan.session, plan.status, plan.good, plan.held, plan.there, plan.last, *plan.after, plan.digest,
                plan.bytes, plan.differs_at,
            ),
        )  # fmt: skip

    def of(self, *statuses: Status) -> Iterator[SessionPlan]:
        """Yield the plans of some statuses, in session order."""
        marks = ", ".join("?" * len(statuses))
        number = 0
        while True:
            rows = self._database.execute(
                f"SELECT * FROM plan WHERE status IN ({marks}) AND number > ? ORDER BY number LIMIT ?",  # noqa: S608
                (*statuses, number, _A_READ),
            ).fetchall()
            yield from map(_plan, rows)
            if len(rows) < _A_READ:
                return
            number = rows[-1][0]

    def counts(self) -> dict[Status, Count]:
        """Return what there is of each status; every status is there."""
        rows = self._database.execute(
            "SELECT status, count(*), sum(good), sum(good - there), sum(bytes) FROM plan GROUP BY status"
        )
        return {**dict.fromkeys(Status, Count()), **{Status(status): Count(*sums) for status, *sums in rows}}

    def held(self) -> int:
        """Return how many sessions a bad message stops."""
        ((count,),) = self._database.execute("SELECT count(*) FROM plan WHERE held")
        return int(count)


def _plan(row: tuple[Any, ...]) -> SessionPlan:
    _, session, status, good, held, there, last, time, tie, item, digest, size, differs_at = row
    after = (time, tie, item)
    return SessionPlan(session, Status(status), good, bool(held), there, last, after, digest, size, differs_at)
