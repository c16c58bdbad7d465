"""Writing messages through ``convexMsgs``: appends that cannot double, and erasing from the oldest on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from sync_tool.deployment.client import Client
from sync_tool.deployment.functions import MODULE, FunctionsDoor
from sync_tool.deployment.gate import Throttle
from sync_tool.deployment.ranges import KeyRange
from sync_tool.errors import Unreachable
from sync_tool.model import Names, Row

_ERASED_A_CALL: Final = 4000.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents for the end of one session."""

    session: str
    documents: Sequence[bytes]
    """Each as ``convex_encoded_json``, with the session field, without ``_id`` and ``_creationTime``."""
    expect_last: str | None
    """The ``_id`` that the session's last row has now; None where the session must be empty."""


@dataclass(frozen=True, slots=True)
class Appended:
    """A batch that was written."""

    last: str
    """The ``_id`` of its last row."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A batch that was not written: the session's last row is another one than expected."""

    last: str | None


class AppendDoor:
    """Writes into one table.

    Args:
        client: of the deployment.
        names: how the table, its index and its session field are called.
        bytes_per_second: most bytes to send, on average; None for no limit.
    """

    def __init__(self, client: Client, names: Names, bytes_per_second: float | None) -> None:
        self._client = client
        self._reader = FunctionsDoor(client, names)
        self._tail_reader = FunctionsDoor(client, names, 1)
        self._names = {"table": names.table, "index": names.index, "sessionField": names.session_field}
        self._throttle = Throttle(bytes_per_second)

    def append(self, batches: Sequence[Batch]) -> list[Appended | Moved]:
        """Write batches of different sessions in one transaction, each wholly or not at all.

        Repeating a call whose answer was lost writes nothing twice: the session's last row is then another one
        than expected, and the answer is `Moved`.

        Raises:
            FunctionFailed: the deployment refused the call; nothing was written.
            Refused: the key was refused.
            Unreachable: no usable answer; it is open whether anything was written.
        """
        self._throttle.wait(sum(len(document) for batch in batches for document in batch.documents))
        body = [
            {
                "sessionId": batch.session,
                "documents": list(map(msgspec.Raw, batch.documents)),
                "expectLastId": batch.expect_last,
            }
            for batch in batches
        ]
        answer = self._client.mutation_encoded(f"{MODULE}:append", {**self._names, "batches": body})
        results = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(results, list) or len(results) != len(batches):
            raise Unreachable("the answer to an append is not what the deployed convexMsgs sends.")
        return [_result(result, batch) for result, batch in zip(results, batches, strict=True)]

    def newest(self, session: str) -> Iterator[Row]:
        """Yield the rows of a session from the last one back."""
        for page in self._reader.pages(KeyRange(session=session, newest_first=True)):
            yield from page.rows

    def last_row(self, session: str) -> Row | None:
        """Return the last row of a session; None where it has none."""
        pages = self._tail_reader.pages(KeyRange(session=session, newest_first=True))
        return next((row for page in pages for row in page.rows), None)

    def rows(self, session: str) -> Iterator[Row]:
        """Yield the rows of a session, oldest first."""
        for page in self._reader.pages(KeyRange(session=session)):
            yield from page.rows

    def erase(self, session: str, through: str) -> None:
        """Delete the rows of a session, oldest first, up to and with the one of the id `through`.

        Raises:
            FunctionFailed: the deployment refused.
            Unreachable: no usable answer; some or all may be deleted, and calling it again goes on.
        """
        args = {**self._names, "sessionId": session, "throughId": through, "limit": _ERASED_A_CALL}
        # May be repeated: once the row of that id is gone, a call does nothing.
        while not self._client.mutation_value(f"{MODULE}:erase", args, repeatable=True)["isDone"]:
            pass


def _result(result: Any, batch: Batch) -> Appended | Moved:
    if isinstance(result, dict):
        ids = result.get("ids")
        if isinstance(ids, list) and len(ids) == len(batch.documents) and ids:
            return Appended(str(ids[-1]))
        if "moved" in result:
            return Moved(None if result["moved"] is None else str(result["moved"]))
    raise Unreachable("the answer to an append is not what the deployed convexMsgs sends.")
