"""The plan and the report of an import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sync_tool.commands.validate.report import DamagedSource, RuleCount
from sync_tool.messages.rules import LEVELS
from sync_tool.text import duration, one_line, plural, shortened, size


@dataclass(frozen=True, slots=True)
class ConflictFound:
    """A session that is not changed."""

    session: str
    reason: str
    """Such as ``differs at message 14``."""
    message: int | None = None
    """The first message that differs, from 1."""


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """The plan of an import, complete before the first write."""

    sources: tuple[str, ...]
    lost: tuple[str, ...]
    """Losses of another store when LangChain wrote into it."""
    notes: tuple[str, ...]
    """Further facts about another store."""
    target: str
    table: str
    target_rows: int | None
    """Rows in the table; None if unknown."""
    schema_level: str
    """Level of the deployment's own schema: ``langchain``, ``documented`` or ``other``."""
    sessions: int
    messages: int
    """Good messages, including held ones."""
    bytes: int
    new: int
    """Sessions that the target does not have."""
    up_to_date: int
    """Sessions that the target has whole."""
    ahead: int
    """Sessions among them with more messages in the target."""
    extend: int
    """Sessions of which the target has the beginning."""
    conflict: int
    """Sessions with another history in the target, which are not changed."""
    replace: int
    """Sessions with another history in the target, which are replaced."""
    held: int
    """Sessions that stop before a bad message."""
    conflicts: tuple[ConflictFound, ...]
    send_rows: int
    send_sessions: int
    send_bytes: int
    rewritten: dict[str, int]
    """Number of rewritten messages by rewrite."""
    bad_rows: int
    bad_sessions: int
    """Sessions with a bad message, where a message has a session."""
    faults: tuple[RuleCount, ...]
    warnings: tuple[RuleCount, ...]
    damaged: tuple[DamagedSource, ...]
    has_times: bool
    """True if every message has a time of its own."""
    timeless: tuple[str, ...]
    """Products of the sources, such as ``Redis``, if no source keeps times; else empty."""
    bytes_per_second: int | None
    concurrency: int

    @property
    def seconds(self) -> float | None:
        """Duration by the rate limit alone; None without a limit."""
        return None if self.bytes_per_second is None else self.send_bytes / self.bytes_per_second


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The result of an import; the object that ``--json`` prints."""

    plan: ImportPlan
    dry_run: bool
    sent_rows: int
    sent_bytes: int
    new: int
    """Sessions that were written whole (up to a bad message, if there is one)."""
    extended: int
    replaced: int
    conflicts: tuple[ConflictFound, ...]
    """Sessions left as they are: those of the plan, and those that changed meanwhile."""
    bad_rows: int
    """Quarantined messages, including those that the deployment refused."""
    held_rows: int
    """Good messages held because of a bad one before them."""
    quarantine: str | None
    """The quarantine file."""
    saved: str | None
    """The file with the replaced rows."""
    compared: Comparison | None
    seconds: float
    exit_code: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides read again after the import, session by session."""

    equal: int
    ahead: int
    """Sessions of which the target has more."""
    held: int
    """Equal up to a bad message."""
    different: int


_TITLES: Final = 3
_ID_COLUMNS: Final = 40


def plan_lines(plan: ImportPlan, *, keep_times: bool, quarantine: str) -> list[str]:
    """Return the plan as lines for people."""
    lines = [f"from   {_titles(plan.sources)}"]
    if plan.lost:
        lines.append(f"lost   before this already: {one_line(' · '.join(plan.lost))}")
    lines += [f"note   {one_line(note)}" for note in plan.notes]
    lines.append(f"to     {_target(plan)}")
    lines.append(f"plan   {plural(plan.sessions, 'session')}, {plural(plan.messages, 'message')}, {size(plan.bytes)}")
    lines.append(f"       {_counts(plan)}")
    if plan.replace:
        lines.append(
            f"       {plural(plan.replace, 'session')} replaced: saved to a file, erased, written anew, not in one step"
        )
    if plan.rewritten:
        said = " · ".join(f"{name} {count:,}" for name, count in plan.rewritten.items())
        lines.append(f"today  brought to today's form: {said}")
    if plan.send_rows:
        lines.append("order  inside every session kept. Between sessions: not kept")
        lines.append(f"times  {_times(plan, keep_times=keep_times)}")
    lines += [f"bad    {line}" for line in _bad(plan, quarantine)]
    if plan.seconds is not None and plan.send_rows:
        lines.append(
            f"speed  {_rate(plan)}, {plan.concurrency} calls at a time, so that the app keeps its share: "
            f"about {duration(plan.seconds)} (--rate to change)"
        )
    return lines


def _titles(titles: tuple[str, ...]) -> str:
    shown = ", ".join(map(one_line, titles[:_TITLES]))
    return shown if len(titles) <= _TITLES else f"{shown} and {len(titles) - _TITLES:,} more"


def _target(plan: ImportPlan) -> str:
    rows = "" if plan.target_rows is None else f", {plural(plan.target_rows, 'row')}"
    level = f"takes level {plan.schema_level}" if plan.schema_level in LEVELS else "is of its own kind"
    return f"{plan.target}, table {plan.table}{rows}, schema {level}"


def _counts(plan: ImportPlan) -> str:
    counts = f"new {plan.new:,} · up to date {plan.up_to_date:,} · extend {plan.extend:,} · conflict {plan.conflict:,}"
    if plan.conflicts:
        first = plan.conflicts[0]
        counts += f" (first: {shortened(first.session, _ID_COLUMNS)!r} {first.reason}; all: --json)"
    begun_badly = plan.sessions - plan.new - plan.up_to_date - plan.extend - plan.conflict - plan.replace
    if begun_badly:
        counts += f" · {begun_badly:,} begin with a bad message"
    if plan.ahead:
        counts += f" · {plan.ahead:,} of those up to date have more there"
    return counts


def _times(plan: ImportPlan, *, keep_times: bool) -> str:
    if keep_times and plan.held:  # --keep-times goes into an empty table, which it is no more then
        return (
            "every message that goes in keeps its _creationTime: one atomic import, new _id. What waits for a bad "
            "message cannot keep its own later: repair first (validate), or --skip-bad"
        )
    if keep_times:
        return "every message keeps its _creationTime: one atomic import, new _id"
    if plan.has_times:
        return "rows get today's _creationTime. With an empty table: --keep-times"
    why = f"{plan.timeless[0]} has none" if len(plan.timeless) == 1 else "not all messages have one of their own"
    return f"rows get today's _creationTime ({why})"


def _bad(plan: ImportPlan, quarantine: str) -> list[str]:
    if not plan.bad_rows:
        return []
    rules = " · ".join(f"{count.rule} {count.records:,}" for count in plan.faults[:_TITLES])
    where = f" in {plural(plan.bad_sessions, 'session')}" if plan.bad_sessions else ""
    if plan.held:
        those = "that session stops" if plan.held == 1 else "those sessions stop"
        what = f"{those} before the bad message"
    else:
        what = "they are left out"
    return [f"{plural(plan.bad_rows, 'message')}{where} refused ({rules}); {what} -> {quarantine}"]


def _rate(plan: ImportPlan) -> str:
    rate = plan.bytes_per_second or 0
    mebibytes = rate / (1 << 20)
    return f"{mebibytes:g} MiB/s" if mebibytes >= 1 and mebibytes == round(mebibytes, 1) else f"{size(rate)}/s"
