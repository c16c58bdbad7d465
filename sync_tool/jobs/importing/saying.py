"""The plan of an import as people read it."""

from __future__ import annotations

from typing import Final

from sync_tool.jobs.importing.report import ImportPlan
from sync_tool.schema.rules import LEVELS
from sync_tool.text import duration, one_line, plural, shortened, size

_TITLES: Final = 3
_ID_COLUMNS: Final = 40


def plan_lines(plan: ImportPlan, *, keep_times: bool, quarantine: str) -> list[str]:
    """Return the lines: what comes from where, what is done with it, what is left, how long it takes."""
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
