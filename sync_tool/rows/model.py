"""Names, positions, rows, pages, selections."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sync_tool.encoding.canonical import loads
from sync_tool.encoding.order import MISSING, Missing, sort_key
from sync_tool.encoding.plain import plain_texts
from sync_tool.encoding.values import Value
from sync_tool.text import moment, text_of

__all__ = ["MISSING", "Names", "Position", "Row", "Selection", "SessionInfo"]


@dataclass(frozen=True, slots=True)
class Names:
    """Names of the table, index and fields; the defaults are LangChain's."""

    table: str = "messages"
    index: str = "bySessionId"
    session_field: str = "sessionId"
    message_field: str = "message"


class Position(NamedTuple):
    """A position between rows in session order, after the row with these values."""

    session: Value | Missing
    time: float
    """``_creationTime``, float64 milliseconds since 1970."""
    id: str

    def key(self) -> tuple[bytes, float, str]:
        """Return a key that sorts positions as the deployment's index does."""
        return (sort_key(self.session), self.time, self.id)


@dataclass(slots=True)
class Row:
    """One document of the table, kept as JSON and decoded on demand."""

    raw: bytes
    """The row as ``convex_encoded_json``."""
    id: str
    """``_id``; empty if the document has none, as rows of a file may."""
    time: float
    """``_creationTime``, float64 milliseconds since 1970; NaN if the document has none."""
    session: Value | Missing
    """The session id, any Convex value; `MISSING` if the document has none."""
    n: int = 0
    """Number of the row in its session among the rows read, from 1."""
    message_field: str = "message"
    _value: dict[str, Value] | None = field(default=None, repr=False)

    @property
    def value(self) -> dict[str, Value]:
        """The whole document as Convex values (see `sync_tool.encoding.values`)."""
        if self._value is None:
            (self._value,) = plain_texts([self.raw]) or [loads(self.raw)]
        return self._value

    @property
    def message(self) -> dict[str, Any]:
        """LangChain's stored message ``{type, data}``; empty if the document has none."""
        message = self.value.get(self.message_field)
        return message if isinstance(message, dict) else {}

    @property
    def type(self) -> str:
        """The message's type such as ``human`` or ``ai``; empty if it has none."""
        kind = self.message.get("type")
        return kind if isinstance(kind, str) else ""

    @property
    def text(self) -> str:
        """The text of the message; of list content the text blocks joined by newlines."""
        return text_of(self.message) or ""

    @property
    def created_at(self) -> datetime | None:
        """`time` as a UTC datetime; None outside the years 1970 to 9999."""
        return moment(self.time)

    @property
    def position(self) -> Position:
        """Position of the row in session order."""
        return Position(self.session, self.time, self.id)


@dataclass(frozen=True, slots=True)
class Selection:
    """Filters for messages, combined with AND. Times are milliseconds since 1970."""

    sessions: tuple[str, ...] = ()
    match: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    after: float | None = None
    """Only messages created at this time or later."""
    before: float | None = None
    """Only messages created before this time."""
    active_after: float | None = None
    """Only (whole) sessions with a message created at this time or later."""

    @property
    def everything(self) -> bool:
        """True if there is no filter."""
        return self == Selection()

    @property
    def windowed(self) -> bool:
        """True if messages are cut by time."""
        return self.after is not None or self.before is not None


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session as ``sessions`` lists it. Times are float64 milliseconds since 1970."""

    session: Value | Missing
    first: float | None = None
    last: float | None = None
    count: int | None = None
    words: str | None = None
    """The last human message, if requested."""
