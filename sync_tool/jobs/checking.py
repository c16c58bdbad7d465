"""Records checked without regard to what came before them, so that any process can do it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from sync_tool.files.lines import read_lines, too_long
from sync_tool.files.pieces import Piece
from sync_tool.model import Names, Row
from sync_tool.records import Record
from sync_tool.rowreader import RowReader
from sync_tool.schema.check import GOOD, NOTHING_SEEN, Look, Verdict
from sync_tool.schema.fast import Seen
from sync_tool.schema.rules import Language, Level


class Asked(NamedTuple):
    """What records are held to."""

    level: Level
    names: Names
    language: Language


class Told(NamedTuple):
    """A record of which something is to be said: it has a fault or a warning, or calls or answers a tool."""

    line: int
    """From 1, counted from where the checking began."""
    id: str
    session: str | None
    """None if it has none that can be read."""
    where: str
    verdict: Verdict
    seen: Seen


class Checked(NamedTuple):
    """What checking found."""

    lines: int
    """How many lines were looked at, empty ones too."""
    good: int
    """How many good records there are beside those that are told of."""
    sessions: set[str]
    """The sessions of good records."""
    told: list[Told]
    """In order."""


def check_piece(asked: Asked, piece: Piece) -> Checked:
    """Check some lines of a file.

    Raises:
        UsageError: the file cannot be read.
    """
    all_found = Checked(0, 0, set(), [])
    for block in piece.read():
        begins = piece.first and not all_found.lines
        found = _check_lines(asked, block, begins) if isinstance(block, bytes) else _check_too_long(block)
        all_found.sessions.update(found.sessions)
        all_found.told.extend(told._replace(line=told.line + all_found.lines) for told in found.told)
        all_found = all_found._replace(lines=all_found.lines + found.lines, good=all_found.good + found.good)
    return all_found


def check_records(asked: Asked, records: list[Record]) -> Checked:
    """Check records; each is told of with the number that it has."""
    look, read_row = _tools(asked)
    whole = [record for record in records if record.raw and record.fault is None]
    passed = look.fast.many([record.raw for record in whole])
    told = [_calling(whole[number].line, seen, whole[number].where) for number, seen in passed.calling]
    told += (_closer(whole[number], look, read_row) for number in passed.others)
    if len(whole) < len(records):
        told += (_closer(record, look, read_row) for record in records if not record.raw or record.fault is not None)
    told.sort(key=lambda one: one.line)
    return Checked(len(records), len(records) - len(told), passed.sessions, told)


def _check_lines(asked: Asked, lines: bytes, begins: bool) -> Checked:
    passed = _tools(asked)[0].fast.lines(lines)
    if passed is None:
        found = check_records(asked, list(read_lines(io.BytesIO(lines), begins=begins)))
        return found._replace(lines=lines.count(b"\n"))
    told = [_calling(number + 1, seen) for number, seen in passed.calling]
    return Checked(passed.rows, passed.rows - len(told), passed.sessions, told)


def _check_too_long(length: int) -> Checked:
    record = too_long(1, length)
    verdict = Verdict(() if record.fault is None else (record.fault,))
    return Checked(1, 0, set(), [Told(1, "", None, "", verdict, NOTHING_SEEN)])


def _calling(line: int, seen: Seen, where: str = "") -> Told:
    return Told(line, seen.id, seen.session, where, GOOD, seen)


def _closer(record: Record, look: Look, read_row: Callable[[bytes], Row]) -> Told:
    verdict, seen = look.closer(record.raw) if record.raw else (GOOD, NOTHING_SEEN)
    if record.fault is not None:
        verdict = replace(verdict, faults=(record.fault, *verdict.faults), passes_at=())
    row = as_row(record, read_row)
    session = row.session if row is not None and isinstance(row.session, str) else None
    return Told(record.line, "" if row is None else row.id, session, record.where, verdict, seen)


def as_row(record: Record, read_row: Callable[[bytes], Row]) -> Row | None:
    """Return a record as a row; None if it is none."""
    try:
        return read_row(record.raw) if record.raw else None
    except (ValueError, RecursionError):
        return None


@cache
def _tools(asked: Asked) -> tuple[Look, Callable[[bytes], Row]]:
    return Look(asked.level, asked.names, asked.language), RowReader(asked.names).row
