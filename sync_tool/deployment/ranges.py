"""Ranges of an index, and the ranges of a selection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from sync_tool.encoding.order import sort_key
from sync_tool.rows.model import Position, Selection

_GLOB_LETTERS: Final = "*?["


# Sorts before every creation time; those are above 0.
BEFORE_ALL_TIMES: Final = -1.0


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Rows in session order: of one session, or of all sessions from `first` up to (not with) `stop`."""

    session: str | None = None
    after: float | None = None
    """Within one session: created at this time (ms since 1970) or later."""
    before: float | None = None
    """Within one session: created before this time (ms since 1970)."""
    first: str | None = None
    stop: str | None = None
    resume: Position | None = None
    """Only rows after this position."""
    until: Position | None = None
    """Only rows before this position."""
    newest_first: bool = False
    """Within one session: in reverse order."""


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Rows of all sessions in the order of their creation (ms since 1970)."""

    after: float | None = None
    before: float | None = None
    newest_first: bool = False


def key_ranges(selection: Selection) -> list[KeyRange]:
    """Return the ranges, in session order, that hold everything selected by session id."""
    if selection.sessions:
        ids = sorted(set(selection.sessions), key=sort_key)
        return [KeyRange(session=session, after=selection.after, before=selection.before) for session in ids]
    if not selection.match:
        return [KeyRange()]
    prefixes = sorted({_literal_prefix(glob) for glob in selection.match}, key=sort_key)
    kept: list[str] = []
    for prefix in prefixes:
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return [KeyRange(first=prefix, stop=_after_prefix(prefix)) if prefix else KeyRange() for prefix in kept]


def _literal_prefix(glob: str) -> str:
    for position, letter in enumerate(glob):
        if letter in _GLOB_LETTERS:
            return glob[:position]
    return glob


def _after_prefix(prefix: str) -> str | None:
    """Return the smallest string that sorts after every string with this prefix; None if there is none.

    Strings sort by their UTF-8 bytes, which is the order of their code points.
    """
    for position in range(len(prefix) - 1, -1, -1):
        following = ord(prefix[position]) + 1
        if following == 0xD800:  # surrogates are not characters
            following = 0xE000
        if following <= 0x10FFFF:
            return prefix[:position] + chr(following)
    return None


def cut(where: KeyRange, points: Iterable[Position]) -> list[KeyRange]:
    """Split a range of sessions at sorted positions; those outside the range are skipped."""
    chunks = []
    for point in [point for point in points if _inside(point, where)]:
        chunks.append(replace(where, until=point))
        where = replace(where, resume=point)
    return [*chunks, where]


def _inside(point: Position, where: KeyRange) -> bool:
    if where.resume is not None and point.key() <= where.resume.key():
        return False
    session = sort_key(point.session)
    if where.first is not None and session < sort_key(where.first):
        return False
    return where.stop is None or session < sort_key(where.stop)


def resumed(ranges: Iterable[KeyRange], resume: Position | None) -> list[KeyRange]:
    """Return the ranges without everything up to a position."""
    if resume is None:
        return list(ranges)
    done = sort_key(resume.session)
    left = []
    for where in ranges:
        last = where.session if where.session is not None else where.stop
        if last is not None and sort_key(last) < done:
            continue
        first = where.session if where.session is not None else where.first
        inside = first is None or sort_key(first) <= done
        left.append(replace(where, resume=resume) if inside else where)
    return left
