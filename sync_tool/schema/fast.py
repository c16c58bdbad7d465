"""The fast check, which good records pass: many of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from msgspec import UNSET

from sync_tool.model import Names
from sync_tool.schema.goodrows import GoodRows
from sync_tool.schema.rules import Language, Level

_PARTS: Final = 8
"""Records that are not all good and canonical are looked at again in so many parts, so that few are looked at alone."""


class Seen(NamedTuple):
    """What a good record says of tool calls, for those who match results with calls."""

    session: str
    answers: str | None = None
    """The call that a tool message answers."""
    calls: tuple[str, ...] = ()
    """The calls that it makes."""
    id: str = ""
    """``_id`` of the record, if it has one."""


class Passed(NamedTuple):
    """What the fast check says of many records; they are numbered from 0."""

    rows: int
    """How many good records there are."""
    sessions: set[str]
    """Those of the good records."""
    calling: list[tuple[int, Seen]]
    """The good records that call or answer tools."""
    others: list[int]
    """The records that have to be looked at closer."""


class FastCheck:
    """Says of most good records quickly that they are good: that there is neither fault nor warning.

    Args:
        level: what is asked for.
        names: what the session and message fields are called.
        language: who shall read the messages at the level ``loadable``.
    """

    def __init__(self, level: Level, names: Names, language: Language) -> None:
        self._good = GoodRows(level, names, language)

    def __call__(self, raw: bytes) -> Seen | None:
        """Return what the record says of tool calls if it is good; None for "look closer"."""
        row = self._good.one(raw)
        return None if row is None else _seen(row)

    def lines(self, block: bytes) -> Passed | None:
        """Return what is said of the records in lines, each with its newline; None unless all are good and canonical.

        Where a record has a newline in it, they are not so many as there are records.
        """
        good = self._good.block(block)
        if good is None:
            return None
        calling = [*_calling(good.rows)] if good.calling else []
        return Passed(len(good.rows), {row.session for row in good.rows}, calling, [])

    def many(self, raws: Sequence[bytes]) -> Passed:
        """Return what calls with the records would say; quicker where they are canonical."""
        if len(raws) == 1:
            seen = self(raws[0])
            return Passed(0, set(), [], [0]) if seen is None else Passed(1, {seen.session}, [(0, seen)], [])
        whole = self.lines(b"\n".join([*raws, b""]))
        if whole is not None and whole.rows == len(raws):
            return whole
        rows, passed = 0, Passed(0, set(), [], [])
        step = -(-len(raws) // _PARTS)
        for first in range(0, len(raws), step or 1):
            part = self.many(raws[first : first + step])
            rows += part.rows
            passed.sessions.update(part.sessions)
            passed.calling.extend((first + number, seen) for number, seen in part.calling)
            passed.others.extend(first + number for number in part.others)
        return passed._replace(rows=rows)


def _calling(rows: list[Any]) -> Iterator[tuple[int, Seen]]:
    """Yield what those rows say of tool calls that say something."""
    for number, row in enumerate(rows):
        if row.message.type in ("ai", "tool"):
            seen = _seen(row)
            if seen.calls or seen.answers is not None:
                yield number, seen


def _seen(row: Any) -> Seen:
    kind, data = row.message.type, row.message.data
    own_id = "" if row.id is UNSET else row.id
    if kind == "tool":
        answered = getattr(data, "tool_call_id", UNSET)
        return Seen(row.session, None if answered is UNSET else answered, (), own_id)
    if kind != "ai":
        return Seen(row.session, None, (), own_id)
    calls, kwargs = getattr(data, "tool_calls", UNSET), data.additional_kwargs
    found = (call_ids(calls) if calls else ()) + (kwargs_call_ids(kwargs) if kwargs else ())
    return Seen(row.session, None, found, own_id)


def call_ids(calls: Any) -> tuple[str, ...]:
    """Return the ids in a list of tool calls, LangChain's or OpenAI's."""
    if not isinstance(calls, list):
        return ()
    return tuple(call["id"] for call in calls if isinstance(call, dict) and isinstance(call.get("id"), str))


def kwargs_call_ids(kwargs: Any) -> tuple[str, ...]:
    """Return the ids of OpenAI's raw tool calls in ``additional_kwargs``."""
    return call_ids(kwargs.get("tool_calls")) if isinstance(kwargs, dict) else ()
