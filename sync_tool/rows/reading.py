"""From the JSON text of documents to rows, decoding only what the tool itself looks at."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

import msgspec

from sync_tool.encoding.canonical import exports_to_canonical
from sync_tool.encoding.order import MISSING, same_value
from sync_tool.encoding.plain import canonical_texts, dumps_plain
from sync_tool.encoding.values import Value, decode
from sync_tool.errors import Unreachable
from sync_tool.rows.model import Block, Names, Page, Row

_IN_CACHE: Final = 100
"""So many documents are decoded at a time where their values are not kept: of ten times as many, what is freed is out
of the processor's cache, and each costs twice the time."""


class RowReader:
    """Makes rows of documents, knowing how the table's fields are called."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._message_field = names.message_field
        head = msgspec.defstruct(
            "Head",
            [("id", Any, ""), ("time", Any, math.nan), ("session", Any, msgspec.UNSET)],
            rename={"id": "_id", "time": "_creationTime", "session": names.session_field},
        )
        self._decoder = msgspec.json.Decoder(head)

    def row(self, raw: bytes) -> Row:
        """Return one document as a row.

        Raises:
            ValueError: not a JSON object in UTF-8 (below the fields looked at, that shows later).
        """
        head: Any = self._decoder.decode(raw)
        session = head.session
        if type(session) is not str:
            session = MISSING if session is msgspec.UNSET else decode(session)
        return Row(
            raw=raw,
            id=head.id if type(head.id) is str else "",
            time=head.time if type(head.time) is float else _number(head.time),
            session=session,
            message_field=self._message_field,
        )

    def rows(self, raws: list[bytes]) -> list[Row | None]:
        """Return documents as rows; None for each that is none."""
        block = self._block(raws)
        return list(map(self._row_or_none, raws)) if block is None else [*block.rows()]

    def _row_or_none(self, raw: bytes) -> Row | None:
        try:
            return self.row(raw)
        except (ValueError, RecursionError):
            return None

    def plain_page(self, values: list[dict[str, Value]], size: int) -> Page:
        """Return plain documents as a page; as a block where each has an id, a time and a session that is text."""
        ids: list[Any] = [value.get("_id") for value in values]
        times: list[Any] = [value.get("_creationTime") for value in values]
        sessions: list[Any] = [value.get(self._names.session_field) for value in values]
        if _fit(ids, times, sessions):
            return Page(Block(self._names, ids, times, sessions, plain=values), size)
        return Page([self.plain_row(value) for value in values], size)

    def exported_page(self, texts: list[bytes]) -> Page:
        """Return documents in ``export_json`` as a page, in canonical spelling.

        Raises:
            ValueError: they are none.
            Unreachable: as `page`.
        """
        ids: list[Any] = []
        times: list[Any] = []
        sessions: list[Any] = []
        for start in range(0, len(texts), _IN_CACHE):
            values = canonical_texts(texts[start : start + _IN_CACHE])
            if values is None:
                return self.page(exports_to_canonical(texts))
            ids += [value.get("_id") for value in values]
            times += [value.get("_creationTime") for value in values]
            sessions += [value.get(self._names.session_field) for value in values]
        if not _fit(ids, times, sessions):
            return self.page(texts)
        lines = b"\n".join([*texts, b""])
        return Page(Block(self._names, ids, times, sessions, lines), len(lines) - len(texts))

    def plain_row(self, value: dict[str, Value]) -> Row:
        """Return a plain document as a row."""
        row = self.row(dumps_plain(value))
        row.plain = True
        return row

    def page(self, documents: Iterable[msgspec.Raw | bytes]) -> Page:
        """Return documents that a deployment sent together as a page.

        Raises:
            Unreachable: they are not what a deployment sends: no objects, or not UTF-8.
        """
        raws = list(documents)
        block = self._block(raws)
        if block is not None:
            return Page(block, len(block.lines()) - len(raws))
        try:
            rows = [self.row(_checked(bytes(raw))) for raw in raws]
        except ValueError as error:
            raise Unreachable(f"a page of the deployment came garbled: {error}.") from None
        return Page(rows, sum(len(row.raw) for row in rows))

    def _block(self, raws: Sequence[msgspec.Raw | bytes]) -> Block | None:
        """Return documents as a block; None if they cannot be one, or something is wrong with them."""
        try:
            lines = _checked(b"\n".join([*raws, b""]))
            heads: list[Any] = self._decoder.decode_lines(lines)
        except (ValueError, RecursionError):
            return None
        if not len(heads) == len(raws) == lines.count(b"\n"):
            return None
        ids: list[Any] = [head.id for head in heads]
        times: list[Any] = [head.time for head in heads]
        sessions: list[Any] = [head.session for head in heads]
        return Block(self._names, ids, times, sessions, lines) if _fit(ids, times, sessions) else None


def _fit(ids: list[Any], times: list[Any], sessions: list[Any]) -> bool:
    """Tell whether documents can be a block: whether each has an id, a time and a session that is text."""
    return {*map(type, ids)} | {*map(type, sessions)} <= {str} and {*map(type, times)} <= {float}


def as_block(rows: list[Row], names: Names) -> Block | None:
    """Return rows as a block; None if they cannot be one."""
    ids, times = [row.id for row in rows], [row.time for row in rows]
    sessions: list[Any] = [row.session for row in rows]
    if not all(ids) or any(map(math.isnan, times)) or {*map(type, sessions)} != {str}:
        return None
    lines = b"\n".join([*(row.raw for row in rows), b""])
    if lines.count(b"\n") != len(rows):
        return None  # one came in several lines
    return Block(names, ids, times, sessions, lines, numbers=[row.n for row in rows])


def _number(value: Any) -> float:
    """Return an integer literal as the float64 that it stands for; NaN for anything else."""
    try:
        return float(value) if type(value) is int else math.nan
    except OverflowError:
        return math.nan


def _checked(raw: bytes) -> bytes:
    """See that bytes which nobody decodes are UTF-8."""
    if not raw.isascii():
        raw.decode("utf-8")
    return raw


def numbered(pages: Iterable[Page]) -> Iterator[Page]:
    """Number the rows of pages in session order within their sessions, from 1."""
    current: Value = None
    n = 0
    for page in pages:
        block = page.block
        if block is not None:
            block.numbers = []
            for session, same in groupby(block.sessions):
                n = n if n and same_value(session, current) else 0
                count = len(list(same))
                block.numbers += range(n + 1, n + count + 1)
                current, n = session, n + count
        else:
            for row in page.rows:
                if n == 0 or not same_value(row.session, current):
                    current, n = row.session, 0
                n += 1
                row.n = n
        yield page
