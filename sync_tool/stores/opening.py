"""Another store of LangChain's, opened by its address, as a source of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Final

from sync_tool.encoding.canonical import dumps, loads
from sync_tool.errors import UsageError
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Names
from sync_tool.rows.reading import RowReader
from sync_tool.rows.stored import StoredRows
from sync_tool.stores import dynamodb, mongodb, redislists, sqltables
from sync_tool.stores.addresses import Address, read_address
from sync_tool.stores.store import Store
from sync_tool.text import one_line

_ROWS_A_PAGE: Final = 500
_KINDS: Final[dict[str, Callable[[Address], Store]]] = {
    **dict.fromkeys(redislists.SCHEMES, redislists.RedisLists),
    **dict.fromkeys(sqltables.SCHEMES, sqltables.SqlTables),
    **dict.fromkeys(mongodb.SCHEMES, mongodb.MongoMessages),
    **dict.fromkeys(dynamodb.SCHEMES, dynamodb.DynamoItems),
}
"""Stores by the scheme of their address; each imports its client when it is opened."""


def open_store(address: str, environment: Mapping[str, str] | None = None) -> StoreRows:
    """Open another store of LangChain's.

    Args:
        address: ``redis://host:6379/0#prefix``, ``postgresql://host/database#table`` and the like, without a
            password; ``env:NAME`` or ``env:NAME#part`` for one that a variable holds.
        environment: the variables; the process's own if None.

    Raises:
        UsageError: no such store or table, a password in the address, or a package that is not installed.
        Unreachable: no answer.
        Refused: user, password or rights.
    """
    found = read_address(address, environment)
    kind = None if found is None else _KINDS.get(found.scheme)
    if found is None or kind is None:
        shown = address if address.startswith("env:") else f"{address.partition('://')[0]}://"
        known = "https://…, @FILE, live, a path, or a store such as redis://… and sqlite:///…"
        raise UsageError(f"{one_line(shown)} is an address of an unknown kind.", hint=[("known", known)])
    return StoreRows(kind(found))


class StoreRows(StoredRows):
    """The rows of a store. They have no ``_id``, and a time only where the store knows it.

    A message that cannot be read becomes a row that holds it as text; `validate` names the fault.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def title(self) -> str:
        """Short name of the store."""
        return self.store.title

    @property
    def method(self) -> str:
        """Method of reading."""
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
        reader = RowReader(self.names)
        raws = (_canonical(record.raw) for record in self.store.records())
        while some := list(islice(raws, _ROWS_A_PAGE)):
            yield reader.stored_page(some)

    def close(self) -> None:
        """Close its connections."""
        self.store.close()


def _canonical(raw: bytes) -> bytes:
    try:
        return dumps(loads(raw))
    except ValueError:  # `validate` will say why
        return raw
