"""Is this record good, and if not, why not? The door of this package."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sync_tool.encoding.values import Value
from sync_tool.model import Names
from sync_tool.schema.fast import FastCheck, Seen, call_ids, kwargs_call_ids
from sync_tool.schema.loading import loading_warnings
from sync_tool.schema.parsing import parse, step
from sync_tool.schema.rules import LEVELS, Fault, Language, Level, faults_at, warnings_in
from sync_tool.schema.shape import shape_faults

_REMEMBERED: Final = 100_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said about one record."""

    faults: tuple[Fault, ...] = ()
    """At the level that was asked for."""
    warnings: tuple[Fault, ...] = ()
    passes_at: tuple[Level, ...] = ()
    """The levels at which the whole record is good; not looked at for a good one."""


GOOD: Final = Verdict()
"""The verdict on nearly all records."""


class Checker:
    """Checks records one after the other.

    Args:
        level: what is asked for.
        names: what the session and message fields are called.
        language: who shall read the messages at the level ``loadable``.
    """

    def __init__(self, level: Level = "langchain", names: Names | None = None, language: Language = "js") -> None:
        self._level = level
        self._names = names or Names()
        self._language = language
        self._fast = FastCheck(level, self._names, language)
        self._open_calls = _OpenCalls()

    def check(self, raw: bytes) -> Verdict:
        """Return the verdict on a record in ``convex_encoded_json``.

        A tool result is matched with the calls of its session among the last 100,000 calls that this checker saw.
        """
        return self._verdict(raw, self._fast(raw))

    def check_many(self, raws: Sequence[bytes]) -> Iterator[tuple[Verdict, str | None]]:
        """Yield of each record what `check` would return, and its session where that was seen on the way."""
        for raw, seen in zip(raws, self._fast.many(raws), strict=True):
            if seen is None:
                yield self._verdict(raw, None), None
            elif seen.answers is None and not seen.calls:
                yield GOOD, seen.session
            else:
                yield self._verdict(raw, seen), seen.session

    def _verdict(self, raw: bytes, seen: Seen | None) -> Verdict:
        if seen is not None:
            orphan = self._open_calls.orphan(seen, self._names)
            return GOOD if orphan is None else Verdict(warnings=(orphan,))
        found, value = explain(raw, self._names, self._language)
        faults, warnings = faults_at(found, self._level), warnings_in(found)
        if not faults:
            orphan = self._open_calls.orphan(_seen_in(value, self._names), self._names)
            return Verdict(warnings=warnings if orphan is None else (*warnings, orphan))
        return Verdict(faults, warnings, tuple(level for level in LEVELS if not faults_at(found, level)))


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


def _seen_in(row: dict[str, Any], names: Names) -> Seen:
    """Return what a row that went the slow way says of tool calls."""
    message, session = row.get(names.message_field), row.get(names.session_field)
    data = message.get("data") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(data, dict) or not isinstance(session, str):
        return Seen("")
    if message.get("type") == "tool":
        answered = data.get("tool_call_id")
        return Seen(session, answered if isinstance(answered, str) else None)
    if message.get("type") != "ai":
        return Seen(session)
    return Seen(session, None, call_ids(data.get("tool_calls")) + kwargs_call_ids(data.get("additional_kwargs")))


class _OpenCalls:
    """The newest tool calls, by session and id."""

    def __init__(self) -> None:
        self._calls: OrderedDict[tuple[str, str], None] = OrderedDict()

    def orphan(self, seen: Seen, names: Names) -> Fault | None:
        """Remember the calls of a record; return a warning if it answers a call that is not known."""
        for call in seen.calls:
            self._calls[seen.session, call] = None
        while len(self._calls) > _REMEMBERED:
            self._calls.popitem(last=False)
        if seen.answers is None or (seen.session, seen.answers) in self._calls:
            return None
        return Fault("orphan-result", f"{step('$', names.message_field)}.data.tool_call_id")
