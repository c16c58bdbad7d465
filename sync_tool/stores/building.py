"""From what a store holds of a message to a record: JSON text is passed through as it stands."""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

from sync_tool.records import Record
from sync_tool.schema.rewrites import FLAT_FIELDS, form_of
from sync_tool.schema.rules import Fault
from sync_tool.text import one_line

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
        if self._flat and isinstance(shallow, dict) and form_of(shallow) == FLAT_FIELDS:
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
