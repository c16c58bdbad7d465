"""From the JSON text of documents to rows and pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import msgspec

from sync_tool.encoding.order import same_value, sort_key
from sync_tool.encoding.values import Value
from sync_tool.errors import Unreachable
from sync_tool.rows.batch import Batch, Page, of_documents, read_exported
from sync_tool.rows.model import Names, Row
from sync_tool.rows.typed import read_head


class RowReader:
    """Makes rows of the documents of one table."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def row(self, raw: bytes) -> Row:
        """Return one document as a row.

        Raises:
            ValueError: not a JSON object in UTF-8. Faults below the head show later.
        """
        head = read_head(raw, self._names)
        return Row(raw, head.id, head.time, head.session, message_field=self._names.message_field)

    def rows(self, raws: Sequence[bytes]) -> Sequence[Row | None]:
        """Return documents as rows; None for each that is not a JSON object."""
        if not any(b"\n" in raw for raw in raws):
            try:
                return of_documents(raws, self._names).rows()
            except ValueError:
                pass
        return list(map(self._row_or_none, raws))

    def _row_or_none(self, raw: bytes) -> Row | None:
        try:
            return self.row(raw)
        except ValueError:
            return None

    def stored_page(self, raws: Sequence[bytes], size: int | None = None) -> Page:
        """Return documents as a page, each as it is; without `size`, their own bytes were read for them.

        Raises:
            ValueError: as `row`.
        """
        return Page(of_documents(raws, self._names), sum(map(len, raws)) if size is None else size)

    def page(self, documents: Iterable[msgspec.Raw | bytes]) -> Page:
        """Return documents that a deployment sent together as a page, each as it came.

        Raises:
            Unreachable: they are not JSON objects in UTF-8.
        """
        raws = list(documents)
        try:
            batch = of_documents(raws, self._names)
        except ValueError as error:
            raise Unreachable(f"a page of the deployment came garbled: {error}.") from None
        return Page(batch, len(batch.lines()) - len(raws))

    def exported_page(self, texts: Sequence[bytes]) -> Page:
        """Return documents in ``export_json`` as a page with canonical lines.

        Raises:
            ValueError: a text is not such a document.
        """
        batch = read_exported(texts, self._names)
        return Page(batch, len(batch.lines()) - len(texts))


def page_of_row(row: Row) -> Page:
    """Return a page of one row."""
    names = Names(message_field=row.message_field)
    batch = Batch(names, [row.id], [row.time], [row.session], lines=row.raw + b"\n")
    batch.numbers = [row.n] if row.n else None
    return Page(batch, len(row.raw))


def empty_page(size: int = 0) -> Page:
    """Return a page without rows, for which `size` bytes were read."""
    return Page(Batch(Names(), [], [], [], lines=b""), size)


def numbered(pages: Iterable[Page]) -> Iterator[Page]:
    """Number the rows of pages in session order within their sessions, from 1."""
    session: Value = None
    n = 0
    for page in pages:
        numbers: list[int] = []
        for session_of_run, count in runs_of(page.batch.sessions):
            n = n if n and same_value(session_of_run, session) else 0
            numbers += range(n + 1, n + count + 1)
            session, n = session_of_run, n + count
        page.number(numbers)
        yield page


def runs_of(sessions: list[Value]) -> Iterator[tuple[Value, int]]:
    """Yield each session of consecutive rows with their number."""
    keys = sessions
    if not {*map(type, sessions)} <= {str}:  # Python's == takes 1 and True for the same
        keys = [session if type(session) is str else sort_key(session) for session in sessions]
    start = 0
    for _, same in groupby(keys):
        count = len(list(same))
        yield sessions[start], count
        start += count
