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
        self._session_field = names.session_field
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
        time = head.time if type(head.time) in (float, int) else math.nan
        return Row(
            raw=raw,
            id=head.id if type(head.id) is str else "",
            time=float(time),
            session=session,
            message_field=self._message_field,
        )

    def plain_rows(self, lines: list[bytes], values: list[dict[str, Value]]) -> list[Row]:
        """Return as rows what `sync_tool.encoding.plain.plain_lines` made of `lines`."""
        rows = []
        session_field, message_field = self._session_field, self._message_field
        for raw, value in zip(lines, values, strict=True):
            document_id, time = value.get("_id"), value.get("_creationTime")
            rows.append(
                Row(
                    raw,
                    document_id if type(document_id) is str else "",
                    time if type(time) is float else math.nan,
                    value.get(session_field, MISSING),
                    0,
                    message_field,
                    True,
                    value,
                )
            )
        return rows

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
            session = row.session
            if n == 0 or (session is not current and not same_value(session, current)):
                current, n = session, 0
            n += 1
            row.n = n
        yield page
