"""Reads sources into the staging database: select, repair, rewrite, check, and find each record's session."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import msgspec

from sync_tool.commands.import_.quarantine import Fixes, faults_json, fingerprint
from sync_tool.commands.import_.staging import Incoming, Staging
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


class Renaming:
    """New session ids for the target.

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


# Rewrites of messages that are good at most levels, with the rules that they break where rewriting is off.
_RULES: Final = {rewrites.CHUNK: "type-chunk", rewrites.ROLE_TYPE: "type-language"}


@dataclass(frozen=True, slots=True)
class Requirements:
    """Requirements that every message must meet."""

    level: Level
    language: Language
    names: Names
    """The target's field names."""
    rewriting: bool = True
    """False to refuse messages that need a rewrite."""
    validator: Validator = ANY
    """The target's own schema for a document."""
    renaming: Renaming | None = None


class Prepared(NamedTuple):
    """A record after rewriting and checking."""

    document: bytes
    """The document to send in canonical bytes; of a faulty record its own bytes."""
    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()
    rewritten: tuple[str, ...] = ()
    """The rewrites that were applied."""


class Preparer:
    """Rewrites and checks the records of one source.

    Args:
        required: the requirements.
        names: the source's field names.
    """

    def __init__(self, required: Requirements, names: Names) -> None:
        self._required = required
        self._names = names
        self._check_many = Checker(required.level, names, required.language).check_many
        self._check_again = Checker(required.level, required.names, required.language).check
        own, new = _field_names(names), _field_names(required.names)
        self._renames_fields = own != new
        self._unchanged = own == new and required.renaming is None and required.validator is ANY

    def prepare(self, records: Sequence[Record]) -> Iterator[Prepared]:
        """Yield each record rewritten where that cures it, checked against the level and the target's schema."""
        prepared = self._prepare_raws([record.raw for record in records if record.raw])
        for record in records:
            found = next(prepared) if record.raw else Prepared(b"")
            if record.fault is not None:
                found = Prepared(record.raw, (record.fault, *found.faults))
            yield found

    def _prepare_raws(self, raws: Sequence[bytes]) -> Iterator[Prepared]:
        field = self._required.names.message_field
        plain: Sequence[dict[str, Value] | None] = plain_texts(raws) or [None] * len(raws)
        for raw, verdict, value in zip(raws, self._check_many(raws), plain, strict=True):
            if self._unchanged and verdict is GOOD and value is not None and rewrites.is_todays(value[field]):
                value.pop("_id", None)  # the fast path of nearly all records
                value.pop("_creationTime", None)
                yield Prepared(dumps_plain(value))
            else:
                yield self._prepare(raw, verdict, value)

    def _prepare(self, raw: bytes, verdict: Verdict, plain: dict[str, Value] | None) -> Prepared:
        if any(fault.rewrite is None for fault in verdict.faults):
            return Prepared(raw, verdict.faults, verdict.warnings)
        value = loads(raw) if plain is None else plain
        clashes = self._name_clashes(value)
        if clashes:
            return Prepared(raw, clashes, verdict.warnings)
        self._rename(value)
        done = _rewrite(value, self._required.names.message_field, self._required.language)
        if done and not self._required.rewriting:
            return Prepared(raw, verdict.faults or self._unwanted(done), verdict.warnings)
        document = dumps(value) if plain is None else dumps_plain(value)
        faults = verdict.faults
        if done or faults:
            faults = self._check_again(document).faults
        faults = faults or self._schema_faults(value)
        if faults:
            return Prepared(raw, faults, verdict.warnings)
        return Prepared(document, (), verdict.warnings, done)

    def _name_clashes(self, value: dict[str, Value]) -> tuple[Fault, ...]:
        """Return a fault for each field of the user's own that has the name of a renamed one."""
        if not self._renames_fields:
            return ()
        own = _field_names(self._names)
        clashing = [name for name in _field_names(self._required.names) if name in value and name not in own]
        return tuple(
            Fault("target-schema", step("$", name), "there it is the name of another field") for name in clashing
        )

    def _rename(self, value: dict[str, Value]) -> None:
        value.pop("_id", None)
        value.pop("_creationTime", None)
        if self._required.renaming is not None:
            field = self._names.session_field
            value[field] = self._required.renaming(value[field])
        if self._renames_fields:
            session, message = value.pop(self._names.session_field), value.pop(self._names.message_field)
            value[self._required.names.session_field] = session
            value[self._required.names.message_field] = message

    def _unwanted(self, done: tuple[str, ...]) -> tuple[Fault, ...]:
        path = step("$", self._names.message_field)
        return tuple(Fault(_RULES.get(name, name), path, rewrite=name) for name in done)

    def _schema_faults(self, value: dict[str, Value]) -> tuple[Fault, ...]:
        fault = self._required.validator.check(value)
        return () if fault is None else (Fault("target-schema", f"${fault[1]}", fault[0]),)


def _field_names(names: Names) -> tuple[str, str]:
    return names.session_field, names.message_field


def compared_digest(row: dict[str, Value], names: Names, language: Language) -> bytes:
    """Return the digest that compares a row of the target with a message to send.

    Both sides are rewritten to today's form first: a message that an import would rewrite then equals itself in
    the table that it came from.
    """
    document = {name: value for name, value in row.items() if name not in ("_id", "_creationTime")}
    _rewrite(document, names.message_field, language)
    return message_digest(dumps(document))


def _rewrite(document: dict[str, Any], message_field: str, language: Language) -> tuple[str, ...]:
    """Rewrite a document's message to today's form, and return the rewrites that it needed."""
    message = document.get(message_field)
    if not isinstance(message, dict):
        return ()
    message, done = rewrites.rewrite(message, language)
    if done:
        document[message_field] = message
    return done


_RECORDS_A_STEP: Final = 1000


class _Candidate(NamedTuple):
    """A record as it was read, or as somebody repaired it."""

    record: Record
    of: str
    """Fingerprint of the bytes that were read."""
    original: bytes | None = None
    """The bytes that were read, if it was repaired."""
    removed: bool = False


class SourceReader:
    """Reads one source after the other into the staging database.

    Args:
        staging: the database.
        required: requirements for every message.
        chosen: the selected messages.
        fixes: repaired records; each replaces the record at its place.
        tally: counts warnings.
    """

    def __init__(self, staging: Staging, required: Requirements, chosen: Selection, fixes: Fixes, tally: Tally) -> None:
        self._staging = staging
        self._required = required
        self._chosen = replace(chosen, active_after=None)
        self._fixes = fixes
        self._tally = tally
        self._sources = 0
        self._last_met: str | None = None
        self.rewritten: Counter[str] = Counter()
        self.met: set[str] = set()
        """The sessions of ``-s`` that the sources hold, also if none of their messages is selected."""

    def read(self, part: InputPart, progress: Progress) -> None:
        """Read a source to its end.

        Raises:
            Damaged: it cannot be read to its end; the records before the damage are staged.
            UsageError: a repaired record belongs to a file that has changed.
        """
        source = self._sources
        self._sources += 1
        self._staging.add_source(source, part)
        batch: list[Incoming] = []
        try:
            for record in _with_neighbours_session(self._records(part)):
                batch.append(record)
                if len(batch) == _RECORDS_A_STEP:
                    self._staging.add(source, batch)
                    progress.advance(len(batch), 0)
                    batch.clear()
        finally:
            self._staging.add(source, batch)
            progress.advance(len(batch), 0)

    def _records(self, part: InputPart) -> Iterator[Incoming]:
        read_rows = RowReader(part.names).rows
        preparer = Preparer(self._required, part.names)
        selects = self._selector(part)
        session_field = part.names.session_field.encode()
        for chunk in in_chunks(part.records()):
            candidates = self._repaired(part, chunk)
            rows = read_rows([candidate.record.raw for candidate in candidates])
            found = [
                (candidate, row, session)
                for candidate, row in zip(candidates, rows, strict=True)
                if selects(row, session := _session_of(candidate.record.raw, row, session_field))
            ]
            prepared = preparer.prepare([candidate.record for candidate, _, _ in found])
            for (candidate, row, session), ready in zip(found, prepared, strict=True):
                if (ready.warnings or ready.rewritten) and not candidate.removed:
                    self._count(part, candidate.record, row, session, ready)
                incoming = _incoming(candidate, row, session, ready)
                if not candidate.removed or incoming.twin is not None:  # kept until its twins are found
                    yield self._renamed(incoming)

    def _selector(self, part: InputPart) -> Callable[[Row | None, str | None], bool]:
        """Return the filter for the records of a source."""
        if part.selected:  # it sends only selected records, and has refused unknown sessions
            self.met.update(self._chosen.sessions)
            return lambda _row, _session: True
        keep, keep_session = row_filter(self._chosen), session_filter(self._chosen)

        def selects(row: Row | None, session: str | None) -> bool:
            self._meet(session)
            if row is not None:
                return keep(row)
            return session is None or keep_session(session)  # a record of no known session is always reported

        return selects

    def _meet(self, session: str | None) -> None:
        if session is None or session == self._last_met or not self._chosen.sessions:
            return
        self._last_met = session
        self._staging.add_met(session)
        if session in self._chosen.sessions:
            self.met.add(session)

    def _repaired(self, part: InputPart, records: Iterable[Record]) -> list[_Candidate]:
        """Return records, or the repaired ones in their places."""
        candidates = []
        for record in records:
            of = fingerprint(record.raw)
            fix = self._fixes.at(part.title, record.line, of, lines=part.lines) if self._fixes else None
            if fix is None:
                candidates.append(_Candidate(record, of))
            elif fix.raw is None:
                candidates.append(_Candidate(record, of, record.raw, removed=True))
            else:
                candidates.append(_Candidate(Record(record.line, fix.raw, where=record.where), of, record.raw))
        return candidates

    def _renamed(self, record: Incoming) -> Incoming:
        if self._required.renaming is not None and record.session is not None:
            record.own_session = record.session
            record.session = self._required.renaming(record.session)
        return record

    def _count(self, part: InputPart, record: Record, row: Row | None, session: str | None, ready: Prepared) -> None:
        place = place_of(part.title, record.line if part.lines else None, row.id if row else "", session, record.where)
        self._tally.add(place, Verdict((), ready.warnings))
        self.rewritten.update(ready.rewritten)


def place_of(title: str, line: int | None, document_id: str, session: str | None, where: str) -> Place:
    """Return the place of a record as reports show it."""
    return Place(title, line, one_line(document_id), None if session is None else one_line(session), where)


def _incoming(candidate: _Candidate, row: Row | None, session: str | None, ready: Prepared) -> Incoming:
    # A time outside of Convex's range is no time: the record stays where its file has it.
    time = row.time if row is not None and 0 < row.time < END_OF_TIME else None
    document_id = row.id if row else ""
    digest = None if ready.faults or candidate.removed else message_digest(ready.document)
    return Incoming(
        session=session,
        time=time,
        id=document_id,
        line=candidate.record.line,
        where=candidate.record.where,
        of=candidate.of,
        document=None if candidate.removed else ready.document,
        digest=digest,
        faults=faults_json(ready.faults) if ready.faults else None,
        twin=_twin_digest(candidate, time, digest) if document_id else None,
        repaired=candidate.original is not None,
    )


def _twin_digest(candidate: _Candidate, time: float | None, digest: bytes | None) -> bytes:
    """Return equal bytes for records that are one row, in whatever order their JSON has its keys."""
    if digest is not None and candidate.original is None:
        return digest + repr(time).encode()
    raw = candidate.record.raw if candidate.original is None else candidate.original
    try:
        return message_digest(dumps(loads(raw)))
    except (ValueError, RecursionError):
        return message_digest(raw)


_INSIDE: Final = rb'(?:[^"\\]|\\.)*'
# Tokens of JSON that may be cut off: a key with the text after it, if it is text; other text; a bracket.
_TOKENS: Final = re.compile(
    rb'"(?P<key>' + _INSIDE + rb')"\s*:\s*(?P<text>"' + _INSIDE + rb'")?|"' + _INSIDE + rb'(?:"|\\?\Z)|[{}\[\]]',
    re.DOTALL,
)


def _session_of(raw: bytes, row: Row | None, field: bytes) -> str | None:
    """Return the session id of a record, also of broken JSON if it can be found there."""
    if row is not None:
        return row.session if isinstance(row.session, str) and _is_unicode(row.session) else None
    found = _text_of_field(raw, field)
    try:
        text = None if found is None else msgspec.json.decode(found, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return text if text is None or _is_unicode(text) else None


def _text_of_field(raw: bytes, field: bytes) -> bytes | None:
    """Return the text in a field of the outermost object, quotes included, of broken JSON."""
    depth, found = 0, None
    for token in _TOKENS.finditer(raw):
        if token["key"] is None:
            depth += 1 if token[0] in b"{[" else -1 if token[0] in b"}]" else 0
        elif depth == 1 and token["key"] == field and token["text"] is not None:
            found = token["text"]
    return found


def _with_neighbours_session(records: Iterable[Incoming]) -> Iterator[Incoming]:
    """Give a record of no known session that of its neighbours, if both have the same.

    It is part of that session then, which must not continue without it.
    """
    before: str | None = None
    waiting: list[Incoming] = []
    try:
        for record in records:
            if record.session is None and len(waiting) < _RECORDS_A_STEP:
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


def _is_unicode(session: str) -> bool:
    try:
        session.encode()
    except UnicodeEncodeError:
        return False
    return True
