"""Checks of records: the fast check for good ones, and an explanation of every fault of the others."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sync_tool.encoding.values import Value
from sync_tool.messages.explain import loading_warnings, parse, shape_faults, step
from sync_tool.messages.fast import FastCheck, ToolUse, call_ids, kwargs_call_ids
from sync_tool.messages.rules import LEVELS, Fault, Language, Level, faults_at, warnings_in
from sync_tool.rows.model import Names

_REMEMBERED: Final = 100_000  # tool calls whose results may still come


@dataclass(frozen=True, slots=True)
class Verdict:
    """Faults and warnings of one record."""

    faults: tuple[Fault, ...] = ()
    """Faults at the level of the check."""
    warnings: tuple[Fault, ...] = ()
    passes_at: tuple[Level, ...] = ()
    """The levels at which a record with faults is good."""


GOOD: Final = Verdict()
NO_TOOL_USE: Final = ToolUse("")


class Checker:
    """Checks records one after the other.

    Args:
        level: the level to check at.
        names: the names of the session and message fields.
        language: the reader of messages at the level ``loadable``.
    """

    def __init__(self, level: Level = "langchain", names: Names | None = None, language: Language = "js") -> None:
        self._look = Look(level, names or Names(), language)
        self._open_calls = OpenCalls(names or Names())

    def check(self, raw: bytes) -> Verdict:
        """Return the verdict on a record in ``convex_encoded_json``.

        A tool result is matched with the last 100,000 calls that this checker saw, if they are of its session.
        """
        return next(self.check_many([raw]))

    def check_many(self, raws: Sequence[bytes]) -> Iterator[Verdict]:
        """Yield the verdict of `check` on each record."""
        passed = self._look.fast.many(raws)
        calling, others = dict(passed.calling), frozenset(passed.others)
        for number, raw in enumerate(raws):
            if number in others:
                yield self._open_calls.match(*self._look.closer(raw))
            else:
                yield self._open_calls.match(GOOD, calling[number]) if number in calling else GOOD


class Look:
    """Checks records independently of each other.

    Args:
        level: the level to check at.
        names: the names of the session and message fields.
        language: the reader of messages at the level ``loadable``.
    """

    def __init__(self, level: Level, names: Names, language: Language) -> None:
        self._level = level
        self._names = names
        self._language = language
        self.fast = FastCheck(level, names, language)

    def closer(self, raw: bytes) -> tuple[Verdict, ToolUse]:
        """Return the verdict on a record that did not pass the fast check, and the tool use of a good one."""
        found, value = explain(raw, self._names, self._language)
        faults, warnings = faults_at(found, self._level), warnings_in(found)
        if not faults:
            return Verdict(warnings=warnings), tool_use_in(value, self._names)
        return Verdict(faults, warnings, tuple(level for level in LEVELS if not faults_at(found, level))), NO_TOOL_USE


def explain(raw: bytes, names: Names, language: Language) -> tuple[tuple[Fault, ...], Value]:
    """Return every fault of a record at any level, its warnings too, and its value (None if it has none)."""
    parsed = parse(raw)
    if not parsed.readable:
        return tuple(parsed.faults), None
    found = [*parsed.faults, *sorted(shape_faults(parsed.value, names, language), key=lambda fault: fault.path)]
    message = parsed.value.get(names.message_field)
    if isinstance(message, dict):
        found += loading_warnings(message, step("$", names.message_field), language)
    return tuple(found), parsed.value


def tool_use_in(row: dict[str, Any], names: Names) -> ToolUse:
    """Return the tool use of a row."""
    message, session = row.get(names.message_field), row.get(names.session_field)
    data = message.get("data") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(data, dict) or not isinstance(session, str):
        return NO_TOOL_USE
    own_id = row["_id"] if isinstance(row.get("_id"), str) else ""
    if message.get("type") == "tool":
        answered = data.get("tool_call_id")
        return ToolUse(session, answered if isinstance(answered, str) else None, (), own_id)
    if message.get("type") != "ai":
        return ToolUse(session, None, (), own_id)
    calls = call_ids(data.get("tool_calls")) + kwargs_call_ids(data.get("additional_kwargs"))
    return ToolUse(session, None, calls, own_id)


class OpenCalls:
    """The newest tool calls, by session and id.

    Args:
        names: the name of the message field.
    """

    def __init__(self, names: Names) -> None:
        self._path = f"{step('$', names.message_field)}.data.tool_call_id"
        self._calls: OrderedDict[tuple[str, str], None] = OrderedDict()

    def match(self, verdict: Verdict, use: ToolUse) -> Verdict:
        """Remember the calls of a record; return its verdict, with a warning if it answers no known call."""
        for call in use.calls:
            self._calls[use.session, call] = None
        while len(self._calls) > _REMEMBERED:
            self._calls.popitem(last=False)
        if use.answers is None or (use.session, use.answers) in self._calls:
            return verdict
        return replace(verdict, warnings=(*verdict.warnings, Fault("orphan-result", self._path)))
