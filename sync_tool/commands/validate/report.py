"""The report of ``validate``: complete counts, and bounded lists of bad records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sync_tool.errors import Exit
from sync_tool.messages.check import Verdict
from sync_tool.messages.rules import RULES, Fault, Language, Level

_MOST_SESSIONS = 1_000_000  # counted; 8 bytes a session and more


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a record."""

    source: str
    """The file as given, or the deployment."""
    line: int | None
    """Line of the file, or number of the row in formats without lines; None in a deployment."""
    id: str = ""
    """``_id``; empty if it cannot be read."""
    session: str | None = None
    """The session id; None if it cannot be read."""
    where: str = ""
    """The place in words of another store, such as ``message_store:cust-1[-14]``."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule broken at one place."""

    rule: str
    path: str
    """JSON path in the record."""
    sentence: str
    """The rule in words."""
    detail: str
    passes_at: tuple[Level, ...]
    """The levels at which this is no fault."""
    rewrite: str | None
    """The rewrite that cures it."""


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record with its faults at the level of the check."""

    place: Place
    faults: tuple[Finding, ...]
    passes_at: tuple[Level, ...]
    """The levels at which the whole record is good."""


@dataclass(slots=True)
class RuleCount:
    """A count of the faults against one rule, with the first as example."""

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
    """The result of ``validate``; the object that ``--json`` prints."""

    level: Level
    language: Language
    sources: tuple[str, ...]
    rows: int
    """Records checked, bad ones included."""
    sessions: int | None
    """Their sessions; None if there are more than a million."""
    bad_rows: int
    records: tuple[BadRecord, ...]
    """The first bad records, at most `max_errors` of them."""
    faults: tuple[RuleCount, ...]
    """All faults by rule, the most frequent first."""
    warnings: tuple[RuleCount, ...]
    damaged: tuple[DamagedSource, ...]
    seconds: float
    exit_code: int
    """0; 3 if records are bad; 7 if something could not be read to its end."""


class Tally:
    """Counts verdicts.

    Args:
        listed: most bad records to list.
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
        self.add_good(1, () if place.session is None else (place.session,))
        _count(self._warnings, place, verdict.warnings)
        if verdict.faults:
            self.bad_rows += 1
            _count(self._faults, place, verdict.faults)
            if len(self.records) < self._listed:
                found = tuple(map(_finding, verdict.faults))
                self.records.append(BadRecord(place, found, verdict.passes_at))

    def add_fault(self, place: Place, fault: Fault) -> None:
        """Add a fault of a record that was counted as good."""
        self.rows -= 1
        self.add(place, Verdict((fault,)))

    def add_good(self, rows: int, sessions: Iterable[str]) -> None:
        """Count good records and their sessions."""
        self.rows += rows
        if self._sessions is not None:
            self._sessions.update(map(hash, sessions))
            if len(self._sessions) > _MOST_SESSIONS:
                self._sessions = None

    @property
    def sessions(self) -> int | None:
        """Number of sessions; None if there are too many to count."""
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
        """The exit code of the command."""
        if self.damaged:
            return Exit.DAMAGED
        return Exit.SET_ASIDE if self.bad_rows else Exit.DONE


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
