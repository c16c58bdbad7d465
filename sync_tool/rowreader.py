"""From the JSON text of documents to rows, decoding only what the tool itself looks at."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from sync_tool.encoding.order import MISSING, same_value
from sync_tool.encoding.values import Value, decode
from sync_tool.errors import Unreachable
from sync_tool.model import Names, Page, Row


class RowReader:
    """Makes rows of documents, knowing how the table's fields are called."""

    def __init__(self, names: Names) -> None:
        self._message_field = names.message_field
        head = msgspec.defstruct(
            "Head",
            [("id", Any, ""), ("time", Any, math.nan), ("session", Any, msgspec.UNSET)],
            rename={"id": "_id", "time": "_creationTime", "session": names.session_field},
        )
        self._decode = msgspec.json.Decoder(head).decode

    def row(self, raw: bytes) -> Row:
        """Return one document as a row.

        Raises:
            ValueError: not a JSON object in UTF-8 (below the fields looked at, that shows later).
        """
        head: Any = self._decode(raw)
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

    def page(self, documents: Iterable[msgspec.Raw]) -> Page:
        """Return documents that a deployment sent together as a page.

        Raises:
            Unreachable: they are not what a deployment sends: no objects, or not UTF-8.
        """
        try:
            rows = [self.row(_checked(bytes(raw))) for raw in documents]
        except ValueError as error:
            raise Unreachable(f"a page of the deployment came garbled: {error}.") from None
        return Page(rows, sum(len(row.raw) for row in rows))


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
        for row in page.rows:
            if n == 0 or not same_value(row.session, current):
                current, n = row.session, 0
            n += 1
            row.n = n
        yield page
