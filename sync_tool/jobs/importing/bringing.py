"""One record brought to what the target takes, or every reason why it cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sync_tool.digests import message_digest
from sync_tool.encoding.canonical import dumps, loads
from sync_tool.encoding.plain import dumps_plain, plain_texts
from sync_tool.encoding.values import Value
from sync_tool.jobs.importing.renaming import Renaming
from sync_tool.model import Names
from sync_tool.schema import rewrites
from sync_tool.schema.check import GOOD, Checker, Verdict
from sync_tool.schema.parsing import step
from sync_tool.schema.rules import Fault, Language, Level
from sync_tool.validators import ANY, Validator

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
