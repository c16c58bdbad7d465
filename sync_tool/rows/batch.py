"""Batches: many rows as columns for id, time and session, beside their JSON lines.

Almost every row that LangChain writes fits one typed form: an id, a time, a session and a message with a type and
data. msgspec decodes such rows into typed objects in half the time of dictionaries. A row that does not fit stays a
JSON line, is converted by the exact functions of `sync_tool.rows.columns`, and does not slow down its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any, Final

import msgspec
from msgspec import UNSET

from sync_tool.encoding.canonical import dumps, export_to_canonical, loads
from sync_tool.encoding.plain import dumps_plain, dumps_plain_lines
from sync_tool.errors import Damaged
from sync_tool.rows.model import Names, Row
from sync_tool.rows.typed import Head, Typed, decode_rows, form_of, head_decoder, plain_head, read_head

# Documents checked together where their values are not kept. 1,000 take twice the time: freed objects leave the cache.
_IN_CACHE: Final = 100


class Batch:
    """Rows in order, as columns of equal length.

    The rest of each row is kept as a JSON line, or as a typed object until its line is needed.

    Args:
        names: the names of the session and message fields.
        ids: ``_id`` of each row; empty for a row without one.
        times: ``_creationTime``; NaN for a row without one.
        sessions: the session id of each row, any Convex value or `MISSING`.
        lines: the rows as JSON lines, each with its newline.
        typed: the rows as typed objects; one of `lines` and `typed` is given.
    """

    __slots__ = ("_lines", "_typed", "ids", "names", "numbers", "sessions", "times")

    def __init__(
        self,
        names: Names,
        ids: list[str],
        times: list[float],
        sessions: list[Any],
        *,
        lines: bytes | None = None,
        typed: list[Typed] | None = None,
    ) -> None:
        self.names = names
        self.ids = ids
        self.times = times
        self.sessions = sessions
        self.numbers: list[int] | None = None
        """Number of each row in its session, from 1; None if unknown."""
        self._lines = lines
        self._typed = typed

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.ids)

    def lines(self) -> bytes:
        """Return the rows as JSON lines, each with its newline."""
        return dumps_plain_lines(self._typed or []) if self._lines is None else self._lines

    def texts(self) -> list[bytes]:
        """Return the JSON text of each row."""
        return self.lines().split(b"\n")[:-1]

    def typed(self) -> list[Typed]:
        """Return the rows as typed objects."""
        if self._typed is None:
            texts = self.texts()
            found = decode_rows(self.lines(), texts, form_of(self.names).decode_row)
            self._typed = [msgspec.Raw(text) if row is None else row for row, text in zip(found, texts, strict=True)]
        return self._typed

    def canonical(self) -> Batch:
        """Return the same rows with canonical lines.

        Raises:
            ValueError: a row is not valid ``convex_encoded_json``.
        """
        return Batch(self.names, self.ids, self.times, self.sessions, lines=self.canonical_lines())

    def canonical_lines(self) -> bytes:
        """Return the rows as canonical lines, whatever the JSON they came in looked like.

        Raises:
            ValueError: a row is not valid ``convex_encoded_json``.
        """
        rows = [dumps(loads(row)) if type(row) is msgspec.Raw else None for row in self.typed()]
        if not any(rows):
            return dumps_plain_lines(self.typed())
        both = zip(self.typed(), rows, strict=True)
        return dumps_plain_lines([row if exact is None else msgspec.Raw(exact) for row, exact in both])

    def at(self, places: Sequence[int]) -> Batch:
        """Return the rows at these places."""
        lines = typed = None
        if self._typed is not None:
            typed = [self._typed[place] for place in places]
        if self._lines is not None:
            texts = self.texts()
            lines = b"\n".join([*(texts[place] for place in places), b""])
        chosen = Batch(
            self.names,
            [self.ids[place] for place in places],
            [self.times[place] for place in places],
            [self.sessions[place] for place in places],
            lines=lines,
            typed=typed,
        )
        if self.numbers is not None:
            chosen.numbers = [self.numbers[place] for place in places]
        return chosen

    def packed(self) -> Batch:
        """Return the same rows without typed objects, which take ten times the memory of their lines."""
        packed = Batch(self.names, self.ids, self.times, self.sessions, lines=self.lines())
        packed.numbers = self.numbers
        return packed

    def rows(self) -> list[Row]:
        """Return the rows one by one."""
        field, numbers = self.names.message_field, self.numbers or repeat(0)
        columns = zip(self.texts(), self.ids, self.times, self.sessions, numbers, strict=False)
        return [Row(raw, name, time, session, n, field) for raw, name, time, session, n in columns]


def read_lines(lines: bytes, names: Names, place: Callable[[int], str]) -> Batch:
    """Return the rows of JSON lines of a file in canonical form; empty lines are skipped.

    Args:
        lines: whole lines, each with its newline.
        names: the names of the session and message fields.
        place: names the place of the line with this number, counted from 0, for errors.

    Raises:
        Damaged: a line is not a JSON object in UTF-8, or not valid ``convex_encoded_json``.
    """
    texts = lines.split(b"\n")[:-1]
    rows = decode_rows(lines, texts, form_of(names).decode_row)
    if None in rows:
        rows = list(_with_exact(rows, texts, place))
    return of_typed(rows, names)


def _with_exact(rows: list[Any], texts: list[bytes], place: Callable[[int], str]) -> Iterable[Typed]:
    for number, (row, text) in enumerate(zip(rows, texts, strict=True)):
        if row is not None:
            yield row
        elif text := text.strip():
            try:
                value = loads(text)
                if type(value) is not dict:
                    raise ValueError("not a JSON object")  # noqa: TRY301
                yield msgspec.Raw(dumps(value))
            except ValueError as error:
                raise Damaged(f"{place(number)}: {error}") from None


def read_exported(texts: Sequence[bytes], names: Names) -> Batch:
    """Return documents in ``export_json`` as rows with canonical lines.

    A document that a parse and a sorted write reproduce is canonical already: a bare integer, which is an int64 in
    ``export_json``, is decoded as a float and written with a point.

    Raises:
        ValueError: a text is not such a document.
    """
    decode_row = form_of(names).decode_row
    all_rows = Batch(names, [], [], [], lines=b"")
    lines: list[bytes] = []
    for start in range(0, len(texts), _IN_CACHE):
        some = texts[start : start + _IN_CACHE]
        block = b"\n".join([*some, b""])
        rows: list[Typed] = decode_rows(block, some, decode_row)
        if None in rows or dumps_plain_lines(rows) != block:
            for at, text in enumerate(some):
                if rows[at] is None or dumps_plain(rows[at]) != text:
                    rows[at] = msgspec.Raw(export_to_canonical(text))
            block = dumps_plain_lines(rows)
        part = of_typed(rows, names)
        all_rows.ids += part.ids
        all_rows.times += part.times
        all_rows.sessions += part.sessions
        lines.append(block)
    return Batch(names, all_rows.ids, all_rows.times, all_rows.sessions, lines=b"".join(lines))


def of_typed(rows: list[Typed], names: Names) -> Batch:
    """Return a batch of typed objects."""
    if msgspec.Raw in {*map(type, rows)}:
        heads = [read_head(row, names) if type(row) is msgspec.Raw else row for row in rows]
    else:
        heads = rows
    ids = [row.id for row in heads]
    times = [row.time for row in heads]
    sessions = [row.session for row in heads]
    if UNSET in ids:
        ids = ["" if name is UNSET else name for name in ids]
    if UNSET in times:
        times = [math.nan if time is UNSET else time for time in times]
    return Batch(names, ids, times, sessions, typed=rows)


def of_documents(raws: Sequence[msgspec.Raw | bytes], names: Names) -> Batch:
    """Return JSON documents as a batch that keeps them as they are; only the heads are decoded.

    Raises:
        ValueError: not JSON objects in UTF-8. Faults below the head show when a row is decoded.
    """
    lines = b"\n".join([*raws, b""])
    if lines.count(b"\n") != len(raws):  # some span lines
        raws = [dumps(loads(bytes(raw))) if b"\n" in bytes(raw) else raw for raw in raws]
        lines = b"\n".join([*raws, b""])
    if not lines.isascii():
        lines.decode("utf-8")
    try:
        heads: list[Any] = head_decoder(names.session_field).decode_lines(lines)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if len(heads) != len(raws):
        raise ValueError("an empty document")
    ids: list[Any] = [head.id for head in heads]
    times: list[Any] = [head.time for head in heads]
    sessions: list[Any] = [head.session for head in heads]
    if not {*map(type, ids)} | {*map(type, sessions)} <= {str} or not {*map(type, times)} <= {float}:
        plain = [plain_head(head) for head in heads]
        ids, times, sessions = ([getattr(head, name) for head in plain] for name in Head._fields)
    return Batch(names, ids, times, sessions, lines=lines)


class Page:
    """Rows in order and how many bytes were read for them: the unit of transfer and of progress."""

    __slots__ = ("_batch", "_rows", "bytes")

    def __init__(self, batch: Batch, size: int) -> None:
        self._batch = batch
        self._rows: list[Row] | None = None
        self.bytes = size
        """Bytes of the documents read for these rows, including rows that a filter removed."""

    @property
    def batch(self) -> Batch:
        """The rows as columns."""
        return self._batch

    @batch.setter
    def batch(self, batch: Batch) -> None:
        self._batch, self._rows = batch, None

    @property
    def rows(self) -> list[Row]:
        """The rows one by one."""
        if self._rows is None:
            self._rows = self._batch.rows()
        return self._rows

    @property
    def count(self) -> int:
        """Number of rows."""
        return self._batch.count

    @property
    def begun(self) -> int:
        """Number of sessions whose first row is here, if the rows are numbered."""
        return (self._batch.numbers or []).count(1)

    def number(self, numbers: list[int]) -> None:
        """Set the number of each row in its session."""
        self._batch.numbers, self._rows = numbers, None

    def keep(self, places: Sequence[int]) -> None:
        """Keep only the rows at these places."""
        if len(places) < self.count:
            self.batch = self._batch.at(places)
