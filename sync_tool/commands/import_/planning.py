"""What the target has already of every session: read, compared message by message, kept as one small row each."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice
from typing import Any, Final, NamedTuple

from sync_tool.commands.import_.journal import ImportJournal, Known
from sync_tool.commands.import_.options_and_report import Comparison, ConflictFound, ImportPlan
from sync_tool.commands.import_.reading import compared_digest
from sync_tool.commands.import_.staging import START, Item, Place, Staged
from sync_tool.commands.inputs import InputPart
from sync_tool.commands.validate.report import Tally
from sync_tool.deployment.catalog import LANGCHAIN, schema_level
from sync_tool.deployment.deployment import Deployment
from sync_tool.deployment.functions import FunctionsWriter
from sync_tool.encoding.order import sort_key
from sync_tool.messages.rules import Language
from sync_tool.rows.digests import HistoryDigest
from sync_tool.rows.model import Names, Page, Row, Selection

_SESSIONS_A_READ: Final = 200


class Status(StrEnum):
    """What is to be done with a session."""

    NEW = "new"
    UP_TO_DATE = "up to date"
    AHEAD = "ahead"
    EXTEND = "extend"
    CONFLICT = "conflict"
    REPLACE = "replace"
    """A conflict that is to be resolved by replacing what is there."""
    NOTHING = "nothing"
    """Its first message is a bad one."""


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """One session, compared."""

    session: str
    status: Status
    good: int
    """Messages that can be written: up to the first bad one, or all good ones where bad ones are skipped."""
    held: bool
    """True if a bad message stops it."""
    there: int
    """How many of the good ones the target has already."""
    last: str | None
    """``_id`` of the last row in the target, where the session is to be extended."""
    after: Place
    """The place of the last message that is there."""
    digest: bytes
    """History digest of the messages that are there."""
    bytes: int
    """Size of the messages to be sent."""
    differs_at: int | None = None
    """The first message that differs, from 1."""


@dataclass(frozen=True, slots=True)
class TargetTable:
    """The table that is written to."""

    names: Names
    read: Callable[[Selection], Iterator[Page]]
    """Reads rows in session order."""
    door: FunctionsWriter
    journal: ImportJournal | None
    """What earlier imports wrote; None to read everything."""
    rows: int | None
    """How many the table holds, where that is known."""
    workers: int
    """Calls at a time."""


class Planner:
    """Compares all staged sessions with the target.

    Args:
        staged: the records.
        target: what they are compared with.
        language: what today's form of a message is.
        skip_bad: True if a bad message does not stop its session.
    """

    def __init__(
        self,
        staged: Staged,
        target: TargetTable,
        language: Language,
        *,
        skip_bad: bool,
    ) -> None:
        self._staged = staged
        self._target = target
        self._language = language
        self._skip_bad = skip_bad

    def sessions(self) -> Iterator[SessionPlan]:
        """Yield the plan of every session, in order."""
        names = self._staged.sessions()
        if self._target.rows == 0:
            yield from (self._compare(name, iter(())) for name in names)
        elif self._reads_all():
            rows = _BySession(self._target.read(Selection()))
            yield from (self._compare(name, rows.of(name)) for name in names)
        else:
            with ThreadPoolExecutor(self._target.workers) as pool:
                while step := list(islice(names, _SESSIONS_A_READ)):
                    yield from self._step(step, pool)

    def _reads_all(self) -> bool:
        """Tell whether reading the whole table costs no more than reading session by session."""
        _, rows, _ = self._staged.totals()
        noted = self._target.journal is not None and not self._target.journal.empty()
        return self._target.rows is not None and self._target.rows <= rows and not noted

    def _step(self, names: list[str], pool: ThreadPoolExecutor) -> Iterator[SessionPlan]:
        noted = dict(zip(names, pool.map(self._still_known, names), strict=True))
        rest = tuple(name for name in names if noted[name] is None)
        rows = _BySession(self._target.read(Selection(sessions=rest)) if rest else iter(()))
        for name in names:
            known = noted[name]
            plan = None if known is None else self._by_journal(name, known)
            if plan is not None:
                yield plan
            else:
                found = rows.of(name) if known is None else self._target.door.rows(name)
                yield self._compare(name, found)

    def _still_known(self, session: str) -> Known | None:
        """Return what an earlier import noted of a session, if its last row is still the one of then."""
        known = None if self._target.journal is None else self._target.journal.known(session)
        if known is None:
            return None
        row = self._target.door.last_row(session)
        return known if row is not None and row.id == known.last else None

    def _by_journal(self, session: str, known: Known) -> SessionPlan | None:
        """Return the plan of a session whose beginning was written by an earlier import; None if it was not."""
        compared = _Compared(session)
        for item in compared.good_ones(self._staged.items(session), skip_bad=self._skip_bad):
            if compared.there < known.rows:
                compared.is_there(item)
                if compared.there == known.rows and compared.digest.value != known.digest:
                    return None
            else:
                compared.is_missing(item)
        return None if compared.there < known.rows else compared.plan(known.last, ahead=False)

    def _compare(self, session: str, rows: Iterator[Row]) -> SessionPlan:
        compared = _Compared(session)
        row, last = next(rows, None), None
        for item in compared.good_ones(self._staged.items(session), skip_bad=self._skip_bad):
            if row is None or compared.differs_at is not None:
                compared.is_missing(item)
            elif compared_digest(row.value, self._target.names, self._language) == item.digest:
                compared.is_there(item)
                last, row = row.id, next(rows, None)
            else:
                compared.differs(item)
        return compared.plan(last, ahead=row is not None)


class _Compared:
    """A session while it is compared."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._held = False
        self._bytes = 0
        self._missing_bytes = 0
        self._good = 0
        self._after = START
        self.there = 0
        self.digest = HistoryDigest()
        self.differs_at: int | None = None

    def good_ones(self, items: Iterable[Item], *, skip_bad: bool) -> Iterator[Item]:
        """Yield the messages that can be written."""
        for item in items:
            if item.digest is not None and item.faults is None:
                self._good += 1
                self._bytes += len(item.document)
                yield item
            elif not skip_bad:
                self._held = True
                return

    def is_there(self, item: Item) -> None:
        """The target has it."""
        self.there += 1
        self._after = item.place
        self.digest.add(item.digest or b"")

    def is_missing(self, item: Item) -> None:
        """The target does not have it."""
        self._missing_bytes += len(item.document)

    def differs(self, item: Item) -> None:
        """The target has another one in its place."""
        self.differs_at = self._good
        self.is_missing(item)

    def plan(self, last: str | None, *, ahead: bool) -> SessionPlan:
        """Return the plan of a session of which everything was compared.

        Args:
            last: ``_id`` of the last row that is there.
            ahead: True if the target has more rows than were compared.
        """
        if self.differs_at is not None:  # replacing it begins at the beginning
            return SessionPlan(
                self._session, Status.CONFLICT, self._good, self._held, 0, None, START, HistoryDigest().value,
                self._bytes, self.differs_at,
            )  # fmt: skip
        if self._good == 0:
            status = Status.NOTHING
        elif self.there == self._good:
            status = Status.AHEAD if ahead else Status.UP_TO_DATE
        else:
            status = Status.EXTEND if self.there else Status.NEW
        return SessionPlan(
            self._session, status, self._good, self._held, self.there, last, self._after, self.digest.value,
            self._missing_bytes,
        )  # fmt: skip


class _BySession:
    """Rows in session order, taken session by session; those of sessions that nobody asks for are passed over."""

    def __init__(self, pages: Iterator[Page]) -> None:
        self._rows = chain.from_iterable(page.rows for page in pages)
        self._next = next(self._rows, None)

    def of(self, session: str) -> Iterator[Row]:
        """Yield the rows of a session; sessions are asked for in order."""
        wanted = sort_key(session)
        while self._next is not None and sort_key(self._next.session) < wanted:
            self._next = next(self._rows, None)
        while self._next is not None and self._next.session == session:
            row = self._next
            self._next = next(self._rows, None)
            yield row


# The plans of all sessions, however many: a private temporary SQLite file holds them.

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


# The plans of all sessions summed up.

SENT: Final = (Status.NEW, Status.EXTEND, Status.REPLACE)
"""What is written."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What was read."""

    parts: tuple[InputPart, ...]
    staged: Staged
    tally: Tally
    rewritten: dict[str, int]


def make_plan(taken: Taken, plans: Plans, deployment: Deployment, rate: float | None) -> ImportPlan:
    """Return the plan of the whole import; `rate` is in bytes a second."""
    counts = plans.counts()
    catalog = deployment.catalog
    sent = [counts[status] for status in SENT]
    _, messages, size = taken.staged.totals()
    bad_rows, bad_sessions = taken.staged.bad()
    return ImportPlan(
        sources=tuple(part.said for part in taken.parts),
        lost=tuple(lost for part in taken.parts if part.facts for lost in part.facts.lost),
        notes=tuple(note for part in taken.parts if part.facts for note in part.facts.notes),
        target=deployment.title,
        table=deployment.names.table,
        target_rows=deployment.count(),
        schema_level=LANGCHAIN if catalog is None else schema_level(catalog, deployment.names),
        sessions=sum(count.sessions for count in counts.values()),
        messages=messages,
        bytes=size,
        new=counts[Status.NEW].sessions,
        up_to_date=counts[Status.UP_TO_DATE].sessions + counts[Status.AHEAD].sessions,
        ahead=counts[Status.AHEAD].sessions,
        extend=counts[Status.EXTEND].sessions,
        conflict=counts[Status.CONFLICT].sessions,
        replace=counts[Status.REPLACE].sessions,
        held=plans.held(),
        conflicts=tuple(map(_conflict, plans.of(Status.CONFLICT))),
        send_rows=sum(count.missing for count in sent),
        send_sessions=sum(count.sessions for count in sent),
        send_bytes=sum(count.bytes for count in sent),
        rewritten=taken.rewritten,
        bad_rows=bad_rows,
        bad_sessions=bad_sessions,
        faults=taken.tally.faults,
        warnings=taken.tally.warnings,
        damaged=tuple(taken.tally.damaged),
        timeless=_timeless(taken.parts),
        has_times=taken.staged.timeless() is None,
        bytes_per_second=None if rate is None else int(rate),
        concurrency=deployment.patience.writers,
    )


def compare(plans: Iterable[SessionPlan]) -> Comparison:
    """Return how both sides stand to each other after an import."""
    equal = ahead = held = different = 0
    for plan in plans:
        if plan.status in (Status.UP_TO_DATE, Status.AHEAD, Status.NOTHING) and plan.held:
            held += 1
        elif plan.status is Status.UP_TO_DATE:
            equal += 1
        elif plan.status is Status.AHEAD:
            ahead += 1
        elif plan.status is not Status.NOTHING:
            different += 1
    return Comparison(equal, ahead, held, different)


def _timeless(parts: tuple[InputPart, ...]) -> tuple[str, ...]:
    stores = [part.facts for part in parts if part.facts is not None and not part.facts.times]
    return tuple(sorted({facts.product for facts in stores})) if len(stores) == len(parts) else ()


def _conflict(plan: SessionPlan) -> ConflictFound:
    return ConflictFound(plan.session, f"differs at message {plan.differs_at}", plan.differs_at)
