"""The plan of an import: every staged session compared, message by message, with the target's rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice
from typing import Any, Final

from sync_tool.commands.import_.reading import compared_digest
from sync_tool.commands.import_.report import Comparison, ConflictFound, ImportPlan
from sync_tool.commands.import_.staging import START, Item, Position, Staging
from sync_tool.commands.inputs import InputPart
from sync_tool.commands.journals import ImportJournal, KnownSession
from sync_tool.commands.validate.report import Tally
from sync_tool.deployment.catalog import LANGCHAIN, schema_level
from sync_tool.deployment.deployment import Deployment
from sync_tool.deployment.functions import FunctionsWriter
from sync_tool.encoding.order import sort_key
from sync_tool.messages.rules import Language
from sync_tool.rows.batch import Page
from sync_tool.rows.digests import HistoryDigest
from sync_tool.rows.model import Names, Row, Selection
from sync_tool.rows.temporary import TemporaryDatabase

# Sessions read in one request of the planner.
_SESSIONS_A_READ: Final = 200


class Status(StrEnum):
    """How a session of the sources compares with the target's."""

    NEW = "new"
    UP_TO_DATE = "up to date"
    AHEAD = "ahead"
    EXTEND = "extend"
    CONFLICT = "conflict"
    REPLACE = "replace"
    """A conflict that is resolved by replacing the target's rows."""
    NOTHING = "nothing"
    """Its first message is bad."""


# Sessions of which messages are sent.
SENT: Final = (Status.NEW, Status.EXTEND, Status.REPLACE)


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """The plan of one session."""

    session: str
    status: Status
    good: int
    """Messages that can be written: up to the first bad one, or all good ones with ``--skip-bad``."""
    held: bool
    """True if a bad message stops it."""
    there: int
    """The number of good messages that the target already has."""
    last: str | None
    """``_id`` of the last row in the target, if the session is extended."""
    after: Position
    """The position of the last message that is there."""
    digest: bytes
    """History digest of the messages that are there."""
    bytes: int
    """Size of the messages to send."""
    differs_at: int | None = None
    """The first message that differs, from 1."""


@dataclass(frozen=True, slots=True)
class TargetTable:
    """The table to write into."""

    names: Names
    read: Callable[[Selection], Iterator[Page]]
    """Reads rows in session order."""
    writer: FunctionsWriter
    journal: ImportJournal | None
    """The sessions that earlier imports wrote; None to read everything."""
    rows: int | None
    """The number of its rows, if known."""
    workers: int
    """Calls at a time."""


class Planner:
    """Compares all staged sessions with the target.

    Args:
        staging: the records.
        target: the table.
        language: decides today's form of a message.
        skip_bad: True if a bad message does not stop its session.
    """

    def __init__(self, staging: Staging, target: TargetTable, language: Language, *, skip_bad: bool) -> None:
        self._staging = staging
        self._target = target
        self._language = language
        self._skip_bad = skip_bad

    def sessions(self) -> Iterator[SessionPlan]:
        """Yield the plan of every session, in order."""
        names = self._staging.sessions()
        if self._target.rows == 0:
            yield from (self._compare(name, iter(())) for name in names)
        elif self._reads_all():
            rows = _BySession(self._target.read(Selection()))
            yield from (self._compare(name, rows.of(name)) for name in names)
        else:
            with ThreadPoolExecutor(self._target.workers) as pool:
                while some := list(islice(names, _SESSIONS_A_READ)):
                    yield from self._some(some, pool)

    def _reads_all(self) -> bool:
        """Return True if reading the whole table costs no more than reading session by session."""
        _, rows, _ = self._staging.totals()
        has_journal = self._target.journal is not None and not self._target.journal.empty()
        return self._target.rows is not None and self._target.rows <= rows and not has_journal

    def _some(self, names: list[str], pool: ThreadPoolExecutor) -> Iterator[SessionPlan]:
        known = dict(zip(names, pool.map(self._still_known, names), strict=True))
        rest = tuple(name for name in names if known[name] is None)
        rows = _BySession(self._target.read(Selection(sessions=rest)) if rest else iter(()))
        for name in names:
            entry = known[name]
            plan = None if entry is None else self._by_journal(name, entry)
            if plan is None:
                plan = self._compare(name, rows.of(name) if entry is None else self._target.writer.rows(name))
            yield plan

    def _still_known(self, session: str) -> KnownSession | None:
        """Return a session's entry in the journal, if the last row that it names is still the last one."""
        known = None if self._target.journal is None else self._target.journal.known(session)
        if known is None:
            return None
        row = self._target.writer.last_row(session)
        return known if row is not None and row.id == known.last else None

    def _by_journal(self, session: str, known: KnownSession) -> SessionPlan | None:
        """Return the plan of a session that begins as an earlier import wrote it; None if it does not."""
        compared = _SessionComparison(session)
        for item in compared.good_ones(self._staging.items(session), skip_bad=self._skip_bad):
            if compared.there < known.rows:
                compared.add_equal(item)
                if compared.there == known.rows and compared.digest.value != known.digest:
                    return None
            else:
                compared.add_missing(item)
        return None if compared.there < known.rows else compared.plan(known.last, ahead=False)

    def _compare(self, session: str, rows: Iterator[Row]) -> SessionPlan:
        compared = _SessionComparison(session)
        row, last = next(rows, None), None
        for item in compared.good_ones(self._staging.items(session), skip_bad=self._skip_bad):
            if row is None or compared.differs_at is not None:
                compared.add_missing(item)
            elif compared_digest(row.value, self._target.names, self._language) == item.digest:
                compared.add_equal(item)
                last, row = row.id, next(rows, None)
            else:
                compared.add_different(item)
        return compared.plan(last, ahead=row is not None)


class _SessionComparison:
    """One session during its comparison."""

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

    def add_equal(self, item: Item) -> None:
        """Count a message that the target has."""
        self.there += 1
        self._after = item.position
        self.digest.add(item.digest or b"")

    def add_missing(self, item: Item) -> None:
        """Count a message that the target does not have."""
        self._missing_bytes += len(item.document)

    def add_different(self, item: Item) -> None:
        """Count a message in whose place the target has another one."""
        self.differs_at = self._good
        self.add_missing(item)

    def plan(self, last: str | None, *, ahead: bool) -> SessionPlan:
        """Return the plan of the session after its last message.

        Args:
            last: ``_id`` of the last equal row.
            ahead: True if the target has more rows.
        """
        if self.differs_at is not None:  # replacing it starts with its first message
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
    """Rows in session order, taken session by session; sessions that are not wanted are skipped."""

    def __init__(self, pages: Iterator[Page]) -> None:
        self._rows = chain.from_iterable(page.rows for page in pages)
        self._next = next(self._rows, None)

    def of(self, session: str) -> Iterator[Row]:
        """Yield the rows of a session; callers take sessions in order."""
        wanted = sort_key(session)
        while self._next is not None and sort_key(self._next.session) < wanted:
            self._next = next(self._rows, None)
        while self._next is not None and self._next.session == session:
            row = self._next
            self._next = next(self._rows, None)
            yield row


_SCHEMA: Final = """
CREATE TABLE plan (
    number INTEGER PRIMARY KEY, session TEXT, status TEXT, good INTEGER, held INTEGER, there INTEGER, last TEXT,
    time REAL, tie TEXT, item INTEGER, digest BLOB, bytes INTEGER, differs_at INTEGER
)
"""


class Plans:
    """The plans of all sessions, with their totals; those with work to do are kept in a temporary database."""

    def __init__(self) -> None:
        self._database = TemporaryDatabase(_SCHEMA)
        self.sessions: Counter[Status] = Counter()
        self.held = 0
        """Sessions that a bad message stops."""
        self.send_rows = 0
        self.send_bytes = 0
        self.conflicts: list[ConflictFound] = []

    def close(self) -> None:
        """Delete the database."""
        self._database.close()

    def add(self, plan: SessionPlan) -> None:
        """Add the next plan."""
        self.sessions[plan.status] += 1
        self.held += plan.held
        if plan.status is Status.CONFLICT:
            reason = f"differs at message {plan.differs_at}"
            self.conflicts.append(ConflictFound(plan.session, reason, plan.differs_at))
        if plan.status not in SENT:
            return
        self.send_rows += plan.good - plan.there
        self.send_bytes += plan.bytes
        self._database.run(
            "INSERT INTO plan VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                plan.session, plan.status, plan.good, plan.held, plan.there, plan.last, *plan.after, plan.digest,
                plan.bytes, plan.differs_at,
            ),
        )  # fmt: skip

    def of(self, *statuses: Status) -> Iterator[SessionPlan]:
        """Yield the plans of some statuses (of `SENT`), in session order."""
        marks = ", ".join("?" * len(statuses))
        query = f"SELECT * FROM plan WHERE status IN ({marks}) AND number > ? ORDER BY number LIMIT ?"  # noqa: S608
        return map(_plan, self._database.after(query, statuses, (0,)))


def _plan(row: tuple[Any, ...]) -> SessionPlan:
    _, session, status, good, held, there, last, time, tie, item, digest, size, differs_at = row
    after = (time, tie, item)
    return SessionPlan(session, Status(status), good, bool(held), there, last, after, digest, size, differs_at)


@dataclass(frozen=True, slots=True)
class SourceTotals:
    """The sources after they were read."""

    parts: tuple[InputPart, ...]
    staging: Staging
    tally: Tally
    rewritten: dict[str, int]


def make_plan(sources: SourceTotals, plans: Plans, deployment: Deployment, rate: float | None) -> ImportPlan:
    """Return the plan of the whole import; `rate` is in bytes a second."""
    catalog = deployment.catalog
    sessions = plans.sessions
    _, messages, size = sources.staging.totals()
    bad_rows, bad_sessions = sources.staging.bad()
    return ImportPlan(
        sources=tuple(part.said for part in sources.parts),
        lost=tuple(lost for part in sources.parts if part.facts for lost in part.facts.lost),
        notes=tuple(note for part in sources.parts if part.facts for note in part.facts.notes),
        target=deployment.title,
        table=deployment.names.table,
        target_rows=deployment.count(),
        schema_level=LANGCHAIN if catalog is None else schema_level(catalog, deployment.names),
        sessions=sessions.total(),
        messages=messages,
        bytes=size,
        new=sessions[Status.NEW],
        up_to_date=sessions[Status.UP_TO_DATE] + sessions[Status.AHEAD],
        ahead=sessions[Status.AHEAD],
        extend=sessions[Status.EXTEND],
        conflict=sessions[Status.CONFLICT],
        replace=sessions[Status.REPLACE],
        held=plans.held,
        conflicts=tuple(plans.conflicts),
        send_rows=plans.send_rows,
        send_sessions=sum(sessions[status] for status in SENT),
        send_bytes=plans.send_bytes,
        rewritten=sources.rewritten,
        bad_rows=bad_rows,
        bad_sessions=bad_sessions,
        faults=sources.tally.faults,
        warnings=sources.tally.warnings,
        damaged=tuple(sources.tally.damaged),
        timeless=_timeless(sources.parts),
        has_times=sources.staging.timeless() is None,
        bytes_per_second=None if rate is None else int(rate),
        concurrency=deployment.patience.writers,
    )


def compare(plans: Iterable[SessionPlan]) -> Comparison:
    """Return the comparison of both sides after an import."""
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
    """Return the products that keep no times, if no source keeps them."""
    stores = [part.facts for part in parts if part.facts is not None and not part.facts.times]
    return tuple(sorted({facts.product for facts in stores})) if len(stores) == len(parts) else ()
