"""Sources read into the staging file: selected, repaired where somebody did, checked, placed in their session."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import msgspec

from sync_tool.commands.import_.quarantine import Fixes, faults_json, fingerprint
from sync_tool.commands.import_.staging import Incoming, Staged
from sync_tool.commands.inputs import InputPart
from sync_tool.commands.validate.report import Place, Tally
from sync_tool.encoding.canonical import dumps, loads
from sync_tool.encoding.plain import dumps_plain, plain_texts
from sync_tool.encoding.validators import ANY, Validator
from sync_tool.encoding.values import Value
from sync_tool.errors import Damaged, UsageError
from sync_tool.messages import rewrites
from sync_tool.messages.check import GOOD, Checker, Verdict
from sync_tool.messages.explain import END_OF_TIME, step
from sync_tool.messages.records import Record, in_chunks
from sync_tool.messages.rules import Fault, Language, Level
from sync_tool.rows.digests import message_digest
from sync_tool.rows.model import Names, Row, Selection
from sync_tool.rows.ports import Progress
from sync_tool.rows.reading import RowReader
from sync_tool.rows.selection import row_filter, session_filter
from sync_tool.text import one_line

# Session ids changed on the way.


class Renaming:
    """Gives sessions the ids that they shall have in the target.

    Args:
        exact: ``OLD=NEW`` each; the first ``=`` divides unless OLD holds one, then write ``OLD==NEW``.
        patterns: ``PATTERN=REPLACEMENT`` each, a regular expression that is searched in the id, tried in order
            on ids that no exact rule names; ``\\1`` in the replacement is its first group.

    Raises:
        UsageError: a rule that cannot be read.
    """

    def __init__(self, exact: Sequence[str] = (), patterns: Sequence[str] = ()) -> None:
        self._exact = dict(_divided(rule, "--rename") for rule in exact)
        self._patterns = [_pattern(rule) for rule in patterns]

    def __bool__(self) -> bool:
        return bool(self._exact or self._patterns)

    def __call__(self, session: str) -> str:
        """Return the new id of a session."""
        if session in self._exact:
            return self._exact[session]
        for pattern, replacement in self._patterns:
            session = pattern.sub(replacement, session)
        return session


def _divided(rule: str, option: str) -> tuple[str, str]:
    old, sign, new = rule.partition("==" if "==" in rule else "=")
    if not sign or not old or not new:
        raise UsageError(f"{option} {rule!r} does not say what becomes what.", hint=[("like", f"{option} OLD=NEW")])
    return old, new


def _pattern(rule: str) -> tuple[re.Pattern[str], str]:
    pattern, replacement = _divided(rule, "--rename-regex")
    try:
        compiled = re.compile(pattern)
        compiled.sub(replacement, "")
    except (re.error, IndexError) as error:
        raise UsageError(f"--rename-regex {rule!r} is no regular expression: {error}.") from None
    return compiled, replacement


# One record brought to what the target takes, or every reason why it cannot be.

_RULES: Final = {rewrites.CHUNK: "type-chunk", rewrites.ROLE_TYPE: "type-language"}
"""The rules for messages that are good at most levels and are rewritten all the same."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of every message."""

    level: Level
    language: Language
    names: Names
    """How the target calls its fields."""
    rewriting: bool = True
    """False to refuse what would have to be rewritten."""
    validator: Validator = ANY
    """What the target's own schema says of a document."""
    renaming: Renaming | None = None
    """What sessions are called in the target, where that differs."""


class Brought(NamedTuple):
    """A record looked at."""

    document: bytes
    """What to send, in canonical bytes; the record as it was found if it is faulty."""
    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()
    rewritten: tuple[str, ...] = ()
    """The rewrites that were used."""


class Bringer:
    """Brings the records of one source.

    Args:
        demand: what is asked of them.
        names: how the source calls its fields.
    """

    def __init__(self, demand: Demand, names: Names) -> None:
        self._demand = demand
        self._names = names
        self._check_many = Checker(demand.level, names, demand.language).check_many
        self._recheck = Checker(demand.level, demand.names, demand.language).check
        self._renamed = (names.session_field, names.message_field) != (
            demand.names.session_field,
            demand.names.message_field,
        )

        self._as_it_is = not self._renamed and demand.renaming is None and demand.validator is ANY

    def bring(self, raws: Sequence[bytes]) -> Iterator[Brought]:
        """Check records, rewrite each where that cures it, and check it against the target's own schema."""
        field = self._demand.names.message_field
        plain: Sequence[dict[str, Value] | None] = plain_texts(raws) or [None] * len(raws)
        for raw, verdict, value in zip(raws, self._check_many(raws), plain, strict=True):
            if self._as_it_is and verdict is GOOD and value is not None and rewrites.is_todays(value[field]):
                value.pop("_id", None)  # nearly all records: they go as they came
                value.pop("_creationTime", None)
                yield Brought(dumps_plain(value))
            else:
                yield self._bring(raw, verdict, value)

    def _bring(self, raw: bytes, verdict: Verdict, plain: dict[str, Value] | None) -> Brought:
        if any(fault.rewrite is None for fault in verdict.faults):
            return Brought(raw, verdict.faults, verdict.warnings)
        value = loads(raw) if plain is None else plain
        taken = self._taken(value)
        if taken:
            return Brought(raw, taken, verdict.warnings)
        self._rename_fields(value)
        done = _in_todays_form(value, self._demand.names.message_field, self._demand.language)
        if done and not self._demand.rewriting:
            return Brought(raw, verdict.faults or self._refusals(done), verdict.warnings)
        document = dumps(value) if plain is None else dumps_plain(value)
        faults = verdict.faults
        if done or faults:
            faults = self._recheck(document).faults
        if not faults:
            faults = self._schema_faults(value)
        if faults:
            return Brought(raw, faults, verdict.warnings)
        return Brought(document, (), verdict.warnings, done)

    def _taken(self, value: dict[str, Value]) -> tuple[Fault, ...]:
        """Return a fault for each field of the user's own that would have to give way to a renamed one."""
        if not self._renamed:
            return ()
        own = {self._names.session_field, self._names.message_field}
        theirs = (self._demand.names.session_field, self._demand.names.message_field)
        taken = [name for name in theirs if name in value and name not in own]
        return tuple(Fault("target-schema", step("$", name), "there it is the name of another field") for name in taken)

    def _rename_fields(self, value: dict[str, Value]) -> None:
        value.pop("_id", None)
        value.pop("_creationTime", None)
        if self._demand.renaming is not None:
            field = self._names.session_field
            value[field] = self._demand.renaming(value[field])
        if self._renamed:
            session, message = value.pop(self._names.session_field), value.pop(self._names.message_field)
            value[self._demand.names.session_field] = session
            value[self._demand.names.message_field] = message

    def _refusals(self, done: tuple[str, ...]) -> tuple[Fault, ...]:
        path = step("$", self._names.message_field)
        return tuple(Fault(_RULES.get(name, name), path, rewrite=name) for name in done)

    def _schema_faults(self, value: dict[str, Value]) -> tuple[Fault, ...]:
        fault = self._demand.validator.check(value)
        return () if fault is None else (Fault("target-schema", f"${fault[1]}", fault[0]),)


def compared_digest(row: dict[str, Value], names: Names, language: Language) -> bytes:
    """Return the digest by which a row of the target is compared with a message that would be sent.

    Both sides are compared in today's form, so that a message which an import would rewrite is the same in the
    table that it came from.
    """
    document = {name: value for name, value in row.items() if name not in ("_id", "_creationTime")}
    _in_todays_form(document, names.message_field, language)
    return message_digest(dumps(document))


def _in_todays_form(document: dict[str, Any], message_field: str, language: Language) -> tuple[str, ...]:
    message = document.get(message_field)
    if not isinstance(message, dict):
        return ()
    message, done = rewrites.rewrite(message, language)
    if done:
        document[message_field] = message
    return done


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

    def take(self, part: InputPart, progress: Progress) -> None:
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

    def _records(self, part: InputPart) -> Iterator[Incoming]:
        bringer = Bringer(self._demand, part.names)
        look = _Look(part, self._chosen)
        last: str | None = None
        if part.selected:  # it has refused those that it does not have, and only gives what was asked for
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

    def _repaired(self, part: InputPart, records: Iterable[Record]) -> list[tuple[str, Record]]:
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

    def _count(self, part: InputPart, record: Record, row: Row | None, session: str | None, brought: Brought) -> None:
        shown = None if session is None else one_line(session)
        line = record.line if part.lines else None
        place = Place(part.title, line, one_line(row.id) if row else "", shown, record.where)
        self._tally.add(place, Verdict(brought.faults, brought.warnings))
        if brought.rewritten:
            self.rewritten.update(brought.rewritten)


class _Look:
    """What can be told of a record before it is checked."""

    def __init__(self, part: InputPart, chosen: Selection) -> None:
        self._selected = part.selected
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
        if self._selected or (row is None and session is None):
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
