"""The port of stores, the facts that a plan shows of one, and the records of its messages."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from sync_tool.errors import UsageError
from sync_tool.messages.records import Record
from sync_tool.messages.rewrites import FLAT_FIELDS, dialect_of
from sync_tool.messages.rules import Fault
from sync_tool.text import one_line, plural


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts to know before a store is moved."""

    product: str
    """Product that keeps the history, such as ``Redis``."""
    dialect: str
    """Layout and order, such as ``Python dialect, newest first, reversed``."""
    sessions: int | None
    """Number of sessions; None if it is unknown before everything is read."""
    unit: str = "session"
    """Word for a session there: list, document, item."""
    messages: int | None = None
    """Number of messages, where it is known."""
    times: bool = False
    """True if the store knows when each message was written: its rows have ``_creationTime``."""
    lost: tuple[str, ...] = ()
    """Details that the store did not keep when LangChain wrote into it; no migration returns them."""
    notes: tuple[str, ...] = ()
    """Further lines: what was skipped, what is not exact."""

    @property
    def summary(self) -> str:
        """Count and layout in one line: ``48,210 lists (Python dialect, newest first, reversed)``."""
        count = f"{self.unit}s" if self.sessions is None else plural(self.sessions, self.unit)
        return f"{count} ({self.dialect})"


class Store(Protocol):
    """A place where LangChain keeps histories of many sessions."""

    @property
    def title(self) -> str:
        """Short name without user and password: ``redis cache-1:6379/0, keys message_store:*``."""

    @property
    def method(self) -> str:
        """Method of reading, for ``--verbose``."""

    def facts(self) -> Facts:
        """Count and describe the store.

        Raises:
            Unreachable, Refused, UsageError: as `records`.
        """

    def records(self) -> Iterator[Record]:
        """Yield the messages: session after session, the oldest of a session first.

        A record is a row without ``_id``: ``{sessionId, message}`` and, where the store knows when a message
        was written, ``_creationTime`` (float64 ms, never falling within a session). One that cannot be read
        has a fault; its row then holds what is there as text, so that its session is known.

        Lazy, and within bounded memory: a long session is read in pieces where the store allows it.

        Raises:
            Unreachable: no answer.
            Refused: user or password are not accepted, or have no right to read.
            UsageError: nothing there that LangChain wrote.
        """

    def close(self) -> None:
        """Close connections and files."""


def missing_extra(extra: str, package: str) -> UsageError:
    """Return the error for a store whose client is not installed."""
    return UsageError(
        f"reading this store needs the Python package {package}, which is not installed.",
        hint=[("install", f"pip install '.[{extra}]', in a checkout of convex-msgs")],
    )


# From what a store holds of a message to a record: JSON text is passed through as it stands.

_encode = msgspec.json.Encoder(order="sorted").encode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_anything = msgspec.json.Decoder().decode
_LATEST_MS: Final = float(2**53)
_MOST_DIGITS: Final = 18
"""An integer of more digits is written as a double: Convex has no other number for it."""


class Builder:
    """Makes the records of sessions that come one after the other.

    Args:
        flat: true if a message may stand there as ``{type, …fields}`` because the store's writer puts it so.
    """

    def __init__(self, *, flat: bool = False) -> None:
        self._flat = flat
        self._session: str | None = None
        self._line = 0
        self._time = 0.0

    def text(self, session: str | None, payload: str | bytes, where: str, time: float | None = None) -> Record:
        """Return the record of a message that the store holds as JSON text.

        Args:
            session: its session id; None if there is none.
            payload: the text; it need not be JSON, nor UTF-8.
            where: the place, in words of the store.
            time: when it was written, ms since 1970.
        """
        try:
            message = payload.decode() if isinstance(payload, bytes) else payload
            raw = message.encode()
            shallow = _anything(raw)
        except UnicodeError:
            return self.unreadable(session, payload, where, "not-utf8")
        except (ValueError, RecursionError) as error:
            return self.unreadable(session, payload, where, "not-json", str(error))
        if self._flat and isinstance(shallow, dict) and dialect_of(shallow) == FLAT_FIELDS:
            members = _members(raw)
            kind = members.pop("type")
            return self._record(session, {"type": kind, "data": members}, where, time)
        return self._record(session, msgspec.Raw(raw), where, time)

    def value(self, session: str | None, message: Any, where: str, time: float | None = None) -> Record:
        """Return the record of a message that the store holds as a value: what a JSON parser could have returned."""
        try:
            return self._record(session, message, where, time)
        except (UnicodeError, TypeError, ValueError, OverflowError, RecursionError) as error:
            return self.unreadable(session, repr(type(message)), where, "unreadable", str(error))

    def unreadable(self, session: str | None, payload: str | bytes, where: str, rule: str, detail: str = "") -> Record:
        """Return the record of something that is no message; its row holds it as text."""
        text = payload.decode(errors="backslashreplace") if isinstance(payload, bytes) else payload
        text = text.encode(errors="backslashreplace").decode()
        record = self._record(session, text, where, None)
        return Record(record.line, record.raw, Fault(rule, "$.message", one_line(detail)), record.where)

    def _record(self, session: str | None, message: Any, where: str, time: float | None) -> Record:
        if session != self._session or self._line == 0:
            self._session, self._line, self._time = session, 0, 0.0
        row: dict[str, Any] = {"message": message}
        fault = None
        if session is not None:
            known = session.encode(errors="backslashreplace").decode()
            row["sessionId"] = known
            fault = None if known == session else Fault("not-utf8", "$.sessionId", known)
        if time is not None and 0 < time < _LATEST_MS and not math.isnan(time):
            row["_creationTime"] = max(time, self._time)
        raw = _encode(row)
        self._time = row.get("_creationTime", self._time)
        self._line += 1
        return Record(self._line, raw, fault, one_line(where))


def number(literal: str) -> int | float:
    """Return a number as JSON shall spell it: an integer if it is one and not beyond all doubles.

    Raises:
        ValueError: no number.
    """
    digits = literal.lstrip("+-")
    if digits.isdecimal() and len(digits) <= _MOST_DIGITS:
        return int(literal)
    return float(literal)
