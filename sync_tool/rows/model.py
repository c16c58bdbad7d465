"""The words of this tool as types: names, positions, rows, pages, selections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from sync_tool.encoding.canonical import loads
from sync_tool.encoding.order import MISSING, Missing, sort_key
from sync_tool.encoding.plain import dumps_plain, dumps_plain_lines, plain_lines
from sync_tool.encoding.values import Value
from sync_tool.text import moment, text_of

__all__ = ["MISSING", "Block", "Names", "Page", "Position", "Row", "Selection", "SessionInfo"]

_SYSTEM_FIELDS: Final = ("_id", "_creationTime")


@dataclass(frozen=True, slots=True)
class Names:
    """How a deployment calls its table, index and fields; the defaults are LangChain's own."""

    table: str = "messages"
    index: str = "bySessionId"
    session_field: str = "sessionId"
    message_field: str = "message"


class Position(NamedTuple):
    """A place between rows in session order: after the row with these values, or where it would stand."""

    session: Value | Missing
    time: float
    """``_creationTime``, float64 milliseconds since 1970."""
    id: str

    def key(self) -> tuple[bytes, float, str]:
        """Return a key that sorts positions as the deployment's index does."""
        return (sort_key(self.session), self.time, self.id)


@dataclass(slots=True)
class Row:
    """One document of the table, kept as the JSON bytes it travelled in and decoded when looked at."""

    raw: bytes
    """The row as ``convex_encoded_json``."""
    id: str
    """``_id``; empty where the document has none (a file may hold such rows)."""
    time: float
    """``_creationTime``, float64 milliseconds since 1970; NaN where there is none."""
    session: Value | Missing
    """The session id; `MISSING` where the document has none. Any Convex value is possible."""
    n: int = 0
    """Which row of its session this is among those read, from 1."""
    message_field: str = "message"
    plain: bool = False
    """True if `value` is known to be plain (`sync_tool.encoding.plain`)."""
    _value: dict[str, Value] | None = field(default=None, repr=False)

    @property
    def value(self) -> dict[str, Value]:
        """The whole document as Convex values (see `sync_tool.encoding.values`)."""
        if self._value is None:
            self._value = loads(self.raw)
        return self._value

    @property
    def message(self) -> dict[str, Any]:
        """LangChain's stored message ``{type, data}``; empty where the document holds none."""
        message = self.value.get(self.message_field)
        return message if isinstance(message, dict) else {}

    @property
    def type(self) -> str:
        """The message's type such as ``human`` or ``ai``; empty where it has none."""
        kind = self.message.get("type")
        return kind if isinstance(kind, str) else ""

    @property
    def text(self) -> str:
        """What was said: the text, or of list content the text blocks joined by newlines."""
        return text_of(self.message) or ""

    @property
    def created_at(self) -> datetime | None:
        """`time` as a UTC datetime; None outside the years 1970 to 9999."""
        return moment(self.time)

    @property
    def position(self) -> Position:
        """Where this row stands in session order."""
        return Position(self.session, self.time, self.id)


@dataclass(slots=True)
class Block:
    """Documents that each have an id, a time and a session that is text, in lists of equal length.

    They are held as the JSON that they came in, or as values that are plain (`sync_tool.encoding.plain`).
    """

    names: Names
    ids: list[str]
    times: list[float]
    sessions: list[str]
    jsonl: bytes | None = None
    """The documents as they came, one a line, each line with its newline; cut only when asked for one by one."""
    plain: list[dict[str, Value]] | None = None
    numbers: list[int] | None = None
    """Which row of its session each is, from 1, where that is known."""

    @property
    def count(self) -> int:
        """How many documents these are."""
        return len(self.ids)

    def values(self) -> list[dict[str, Value]] | None:
        """Return the documents as plain values; None if some are not plain."""
        if self.plain is None:
            self.plain = plain_lines(self.jsonl or b"")
        return self.plain

    def texts(self) -> list[bytes]:
        """Return the documents as JSON, each by itself."""
        return list(map(dumps_plain, self.plain or [])) if self.jsonl is None else self.jsonl.split(b"\n")[:-1]

    def lines(self) -> bytes:
        """Return the documents as JSON lines."""
        return dumps_plain_lines(self.plain or []) if self.jsonl is None else self.jsonl

    def at(self, places: Sequence[int]) -> Block:
        """Return the documents at some places."""

        def some(held: list[Any] | None) -> Any:
            return None if held is None else [held[place] for place in places]

        texts = None if self.jsonl is None else some(self.texts())
        jsonl = None if texts is None else b"\n".join([*texts, b""])
        ids, times, sessions, plain, numbers = map(
            some, (self.ids, self.times, self.sessions, self.plain, self.numbers)
        )
        return Block(self.names, ids, times, sessions, jsonl, plain, numbers)

    def rows(self) -> list[Row]:
        """Return the same as rows."""
        field_name, plain = self.names.message_field, self.jsonl is None
        values: list[Any] = self.plain or [None] * self.count
        numbers = self.numbers or [0] * self.count
        columns = zip(self.texts(), self.ids, self.times, self.sessions, numbers, values, strict=True)
        return [
            Row(raw, name, time, session, n, field_name, plain, value) for raw, name, time, session, n, value in columns
        ]


class Page:
    """Rows in order: the unit of transfer and of progress."""

    __slots__ = ("_rows", "block", "bytes")

    def __init__(self, rows: list[Row] | Block, size: int) -> None:
        self.block: Block | None = rows if isinstance(rows, Block) else None
        """The rows as long as nobody has asked for them one by one."""
        self._rows: list[Row] = [] if isinstance(rows, Block) else rows
        self.bytes = size
        """How many bytes of documents were read to get these rows (filtered ones included)."""

    @property
    def rows(self) -> list[Row]:
        """The rows one by one."""
        if self.block is not None:
            self._rows, self.block = self.block.rows(), None
        return self._rows

    @rows.setter
    def rows(self, rows: list[Row]) -> None:
        self._rows, self.block = rows, None

    @property
    def count(self) -> int:
        """How many rows these are."""
        return len(self._rows) if self.block is None else self.block.count

    @property
    def begun(self) -> int:
        """How many sessions begin here, of rows that are numbered."""
        if self.block is not None:
            return (self.block.numbers or []).count(1)
        return [row.n for row in self._rows].count(1)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages: everything, or what all of these let through. Times are milliseconds since 1970."""

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
        """True if nothing is left out."""
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
    """The last thing a human said, where it was asked for."""
