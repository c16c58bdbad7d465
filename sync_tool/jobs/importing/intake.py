"""Sources read into the staging file: selected, repaired where somebody did, checked, placed in their session."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

import msgspec

from sync_tool.digests import message_digest
from sync_tool.errors import Damaged
from sync_tool.jobs.importing.bringing import Bringer, Brought, Demand
from sync_tool.jobs.importing.fixes import Fixes, faults_json, fingerprint
from sync_tool.jobs.importing.staging import Incoming, Staged
from sync_tool.jobs.parts import Part
from sync_tool.jobs.validation import Place, Tally
from sync_tool.model import Row, Selection
from sync_tool.ports import Progress
from sync_tool.records import Record, in_chunks
from sync_tool.rowreader import RowReader
from sync_tool.schema.check import Verdict
from sync_tool.schema.parsing import END_OF_TIME
from sync_tool.selecting import row_filter, session_filter
from sync_tool.text import one_line

_A_STEP: Final = 1000
_INSIDE: Final = rb'(?:[^"\\]|\\.)*'
_TOKENS: Final = re.compile(
    rb'"(?P<key>' + _INSIDE + rb')"\s*:\s*(?P<text>"' + _INSIDE + rb'")?|"' + _INSIDE + rb'(?:"|\\?\Z)|[{}\[\]]',
    re.DOTALL,
)
"""A key with the text that follows it, if text it is; other text, also one that was cut off; a bracket."""


class Intake:
    """Takes one source after the other into the staging file.

    Args:
        staged: the file.
        demand: what is asked of every message.
        chosen: which messages.
        fixes: repaired records, each put in its old place.
        tally: counts faults and warnings.
    """

    def __init__(self, staged: Staged, demand: Demand, chosen: Selection, fixes: Fixes, tally: Tally) -> None:
        self._staged = staged
        self._demand = demand
        self._chosen = replace(chosen, active_after=None)
        self._asked_for = frozenset(chosen.sessions)
        self._fixes = fixes
        self._tally = tally
        self._sources = 0
        self.rewritten: Counter[str] = Counter()
        self.met: set[str] = set()
        """The sessions that were met among those asked for by id, also where none of their messages is wanted."""

    def take(self, part: Part, progress: Progress) -> None:
        """Read a source to its end.

        Raises:
            Damaged: it cannot be read to its end.
            UsageError: a repaired record is of a file that has changed.
        """
        source = self._sources
        self._sources += 1
        self._staged.begin(source, part.title, part.names)
        step: list[Incoming] = []
        try:
            for record in _told_by_neighbours(self._records(part)):
                step.append(record)
                if len(step) == _A_STEP:
                    self._staged.add(source, step)
                    progress.advance(len(step), 0)
                    step.clear()
        finally:  # what came before the damage counts
            self._staged.add(source, step)
            progress.advance(len(step), 0)

    def _records(self, part: Part) -> Iterator[Incoming]:
        bringer = Bringer(self._demand, part.names)
        look = _Look(part, self._chosen)
        last: str | None = None
        if part.live:  # it has refused those that it does not have, and only gives what was asked for
            self.met.update(self._chosen.sessions)
        for chunk in in_chunks(part.records()):
            looked_at: list[tuple[str, Record, Row | None, str | None]] = []
            repaired = self._repaired(part, chunk)
            rows = look.rows([record.raw for _, record in repaired])
            for (of, record), row in zip(repaired, rows, strict=True):
                session = look.session(record.raw, row)
                if session is not None and session != last and self._chosen.sessions:
                    self._meet(last := session)
                if look.selects(row, session):
                    looked_at.append((of, record, row, session))
            good: list[str] = []
            all_brought = bringer.bring([record.raw for _, record, _, _ in looked_at if record.raw])
            for of, record, row, session in looked_at:
                brought = next(all_brought) if record.raw else Brought(b"")
                if record.fault is not None:
                    brought = Brought(record.raw, (record.fault, *brought.faults))
                if session is not None and not (brought.faults or brought.warnings or brought.rewritten):
                    good.append(session)
                else:
                    self._count(part, record, row, session, brought)
                yield self._placed(_incoming(record.line, of, row, session, brought))
            self._tally.add_good(len(good), good)

    def _repaired(self, part: Part, records: Iterable[Record]) -> list[tuple[str, Record]]:
        """Return records, or what stands in their places, each with the fingerprint of what was found."""
        if not self._fixes:
            return [(fingerprint(record.raw), record) for record in records]
        taken = []
        for record in records:
            of = fingerprint(record.raw)
            repaired = self._fixes.at(part.title, record.line, of, lines=part.lines)
            if repaired is None:
                taken.append((of, record))
            elif repaired.raw is not None:
                taken.append((of, Record(record.line, repaired.raw, where=record.where)))
        return taken

    def _placed(self, record: Incoming) -> Incoming:
        """Put a record into the session that it shall be in."""
        if self._demand.renaming is not None and record.session is not None:
            record.own_session = record.session
            record.session = self._demand.renaming(record.session)
        return record

    def _meet(self, session: str) -> None:
        self._staged.meet((session,))
        if session in self._asked_for:
            self.met.add(session)

    def _count(self, part: Part, record: Record, row: Row | None, session: str | None, brought: Brought) -> None:
        shown = None if session is None else one_line(session)
        line = record.line if part.lines else None
        place = Place(part.title, line, one_line(row.id) if row else "", shown, record.where)
        self._tally.add(place, Verdict(brought.faults, brought.warnings))
        if brought.rewritten:
            self.rewritten.update(brought.rewritten)


class _Look:
    """What can be told of a record before it is checked."""

    def __init__(self, part: Part, chosen: Selection) -> None:
        self._live = part.live
        self.rows = RowReader(part.names).rows
        self._keep = row_filter(chosen)
        self._keep_session = session_filter(chosen)
        self._session_field = part.names.session_field.encode()

    def session(self, raw: bytes, row: Row | None) -> str | None:
        """Return the session id, also of a record that cannot be read where it can be seen there."""
        if row is not None:
            return row.session if isinstance(row.session, str) and _is_text(row.session) else None
        found = _text_of_field(raw, self._session_field)
        try:
            text = None if found is None else msgspec.json.decode(found, type=str)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return text if text is None or _is_text(text) else None

    def selects(self, row: Row | None, session: str | None) -> bool:
        """Tell whether the record is one of those asked for; one that does not tell its session always is."""
        if self._live or (row is None and session is None):
            return True
        return self._keep(row) if row is not None else self._keep_session(session)


def _incoming(line: int, of: str, row: Row | None, session: str | None, brought: Brought) -> Incoming:
    # A time that cannot be one says nothing: such a record stands where it stands in its file.
    time = row.time if row is not None and 0 < row.time < END_OF_TIME else None
    digest = None if brought.faults else message_digest(brought.document)
    faults = faults_json(brought.faults) if brought.faults else None
    return Incoming(session, time, row.id if row else "", line, of, brought.document, digest, faults)


def _text_of_field(raw: bytes, field: bytes) -> bytes | None:
    """Return the text in a field of the outermost object, quotes included, of a record that is no whole JSON."""
    depth, found = 0, None
    for token in _TOKENS.finditer(raw):
        if token["key"] is None:
            depth += 1 if token[0] in b"{[" else -1 if token[0] in b"}]" else 0
        elif depth == 1 and token["key"] == field and token["text"] is not None:
            found = token["text"]
    return found


def _told_by_neighbours(records: Iterable[Incoming]) -> Iterator[Incoming]:
    """Give a record that does not tell its session that of its neighbours where both have the same.

    It lies within that session then, which must not go on without it.
    """
    before: str | None = None
    waiting: list[Incoming] = []
    try:
        for record in records:
            if record.session is None and len(waiting) < _A_STEP:
                waiting.append(record)
                continue
            for unknown in waiting:
                if record.session == before and not unknown.id and unknown.time is None:
                    unknown.session = before
                yield unknown
            waiting.clear()
            before = record.session
            yield record
    except Damaged:
        yield from waiting
        raise
    yield from waiting


def _is_text(session: str) -> bool:
    try:
        session.encode()
    except UnicodeEncodeError:
        return False
    return True
