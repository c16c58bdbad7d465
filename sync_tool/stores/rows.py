"""Another store of LangChain's as a source of messages, so that whatever reads files reads it too."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from sync_tool.encoding.canonical import dumps, loads
from sync_tool.rows.model import Names, Page
from sync_tool.rows.reading import RowReader
from sync_tool.rows.stored import StoredRows
from sync_tool.stores.store import Store

_ROWS_A_PAGE: Final = 500


class StoreRows(StoredRows):
    """The rows of a store. They have no ``_id``, and a time only where the store knows it.

    A message that cannot be read is a row that holds what is there as text; `validate` says what is wrong with it.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def title(self) -> str:
        """What a person calls the store."""
        return self.store.title

    @property
    def method(self) -> str:
        """How it is read."""
        return self.store.method

    @property
    def names(self) -> Names:
        """LangChain's own."""
        return Names()

    def count(self) -> int | None:
        """Return how many messages there are, where the store knows."""
        return self.store.facts().messages

    def unpacked_bytes(self) -> int:
        """Nobody knows before it is read."""
        return 0

    def stored(self) -> Iterator[Page]:
        """Yield the rows session by session."""
        read_row = RowReader(self.names).row
        rows = (read_row(_canonical(record.raw)) for record in self.store.records())
        while page := list(islice(rows, _ROWS_A_PAGE)):
            yield Page(page, sum(len(row.raw) for row in page))

    def close(self) -> None:
        """Give back its connections."""
        self.store.close()


def _canonical(raw: bytes) -> bytes:
    try:
        return dumps(loads(raw))
    except ValueError:  # `validate` will say why
        return raw
