"""What ``validate`` finds, gathered: lists that do not grow without end, and counts that are complete."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sync_tool.errors import Exit
from sync_tool.messages.check import Verdict
from sync_tool.messages.rules import RULES, Fault, Language, Level

_MOST_SESSIONS = 1_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands."""

    source: str
    """The file as it was given, or the deployment."""
    line: int | None
    """Line of the file, or number of the row where the format has no lines; None in a deployment."""
    id: str = ""
    """``_id``, where the record has one that can be read."""
    session: str | None = None
    """The session id, where the record has one that can be read."""
    where: str = ""
    """The place in words of another store, such as ``message_store:cust-1[-14]``; empty elsewhere."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule broken at one place."""

    rule: str
    path: str
    """JSON path in the record."""
    sentence: str
    """What the rule asks for."""
    detail: str
    passes_at: tuple[Level, ...]
    """The levels at which this is no fault."""
    rewrite: str | None
    """The rewrite that would cure it."""


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record with every fault it has at the level asked for."""

    place: Place
    faults: tuple[Finding, ...]
    passes_at: tuple[Level, ...]
    """The levels at which the whole record is good."""


@dataclass(slots=True)
class RuleCount:
    """How often a rule is broken, and where first."""

    rule: str
    sentence: str
    passes_at: tuple[Level, ...]
    records: int
    faults: int
    example: Place
    path: str
    detail: str


@dataclass(frozen=True, slots=True)
class DamagedSource:
    """A file that could not be read to its end."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What ``validate`` found; the object that ``--json`` prints."""

    level: Level
    language: Language
    sources: tuple[str, ...]
    rows: int
    """Records that were looked at, bad ones included."""
    sessions: int | None
    """Sessions among them; None if they are more than a million."""
    bad_rows: int
    records: tuple[BadRecord, ...]
    """The first bad records, at most as many as were asked for."""
    faults: tuple[RuleCount, ...]
    """All faults by rule, the most frequent first."""
    warnings: tuple[RuleCount, ...]
    damaged: tuple[DamagedSource, ...]
    seconds: float
    exit_code: int
    """0; 3 if records are bad; 7 if something could not be read to its end."""


class Tally:
    """Takes verdicts one after the other.

    Args:
        listed: how many bad records are kept whole.
    """

    def __init__(self, listed: int) -> None:
        self._listed = listed
        self._sessions: set[int] | None = set()
        self._faults: dict[str, RuleCount] = {}
        self._warnings: dict[str, RuleCount] = {}
        self.records: list[BadRecord] = []
        self.damaged: list[DamagedSource] = []
        self.rows = 0
        self.bad_rows = 0

    def add(self, place: Place, verdict: Verdict) -> None:
        """Count a record."""
        self.rows += 1
        if place.session is not None:
            self._saw(place.session)
        _count(self._warnings, place, verdict.warnings)
        if verdict.faults:
            self.bad_rows += 1
            _count(self._faults, place, verdict.faults)
            if len(self.records) < self._listed:
                found = tuple(map(_finding, verdict.faults))
                self.records.append(BadRecord(place, found, verdict.passes_at))

    def add_good(self, rows: int, sessions: Iterable[str]) -> None:
        """Count so many good records, of these sessions."""
        self.rows += rows
        if self._sessions is not None:
            self._sessions.update(map(hash, sessions))
            self._forget()

    @property
    def sessions(self) -> int | None:
        """How many sessions were seen; None if they are too many to remember."""
        return None if self._sessions is None else len(self._sessions)

    @property
    def faults(self) -> tuple[RuleCount, ...]:
        """The faults by rule, the most frequent first."""
        return tuple(sorted(self._faults.values(), key=lambda count: -count.records))

    @property
    def warnings(self) -> tuple[RuleCount, ...]:
        """The warnings by rule, the most frequent first."""
        return tuple(sorted(self._warnings.values(), key=lambda count: -count.records))

    @property
    def exit_code(self) -> Exit:
        """What the process ends with."""
        if self.damaged:
            return Exit.DAMAGED
        return Exit.SET_ASIDE if self.bad_rows else Exit.DONE

    def _saw(self, session: str) -> None:
        if self._sessions is not None:
            self._sessions.add(hash(session))
            self._forget()

    def _forget(self) -> None:
        if self._sessions is not None and len(self._sessions) > _MOST_SESSIONS:
            self._sessions = None


def _count(counts: dict[str, RuleCount], place: Place, faults: Iterable[Fault]) -> None:
    met: set[str] = set()
    for fault in faults:
        rule = RULES[fault.rule]
        count = counts.setdefault(
            rule.name, RuleCount(rule.name, rule.sentence, rule.passes_at, 0, 0, place, fault.path, fault.detail)
        )
        count.faults += 1
        count.records += rule.name not in met
        met.add(rule.name)


def _finding(fault: Fault) -> Finding:
    return Finding(fault.rule, fault.path, fault.sentence, fault.detail, fault.passes_at, fault.rewrite)
