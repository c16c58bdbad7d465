"""The ``stream`` door: every change of one table through ``POST /api/v1/data/sync``, in the order it happened.

Source: get-convex/convex-backend, ``crates/local_backend/src/streaming_export.rs`` (wire, refusals) and
``crates/table_iteration/src/data_sync.rs`` (what the pages promise together).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from sync_tool.deployment.client import Client
from sync_tool.model import Names, Row


class Change(NamedTuple):
    """One revision of one document: as it was written, or that it was deleted."""

    id: str
    """``_id``."""
    ts: int
    """When that revision was committed, int64 nanoseconds since 1970; of one document it only rises."""
    row: Row | None
    """The whole document; None if it was deleted."""


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Changes that belong together with the cursor after them: save both in one step, or neither."""

    changes: Iterable[Change]
    """Read from a temporary file when looked at; gone when the next page is asked for. Until then, as often as wanted.

    A document may come several times, with a greater `Change.ts` each time."""
    truncated: bool
    """Everything recorded of this table before this page is void; its own changes stand."""
    cursor: str
    """Opaque; `StreamDoor.pages` from it gives exactly what follows this page."""
    up_to_date: bool
    """Nothing newer was there: the last page of a pass."""
    snapshot: int | None
    """The moment, int64 nanoseconds since 1970, at which all pages so far together equal the table.

    None while that is not so yet: in the middle of the first pass."""
    bytes: int
    """Size of the answer that brought this page."""


class StreamDoor:
    """Reads the changes of one table.

    Args:
        client: of the deployment.
        names: how the table and its fields are called.
    """

    name = "stream"

    def __init__(self, client: Client, names: Names) -> None:
        self._client = client
        self._names = names

    def pages(self, cursor: str | None) -> Iterator[ChangePage]:
        """Yield what changed after a cursor, until there is nothing newer; with None, from the beginning.

        Raises:
            CursorExpired: what follows the cursor is no longer kept: read from the beginning.
            NoStreaming: the plan has no streaming export, or the backend is too old to know the endpoint.
            Refused: the key may not (``OperationNotPermitted``), or the cursor is of another deployment
                (``InvalidDataSyncCursor``).
            Unreachable: no usable answer after retries.
        """
        raise NotImplementedError
