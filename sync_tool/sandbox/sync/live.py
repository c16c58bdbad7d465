"""The queries one client watches, and when each has to run again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from sync_tool.encoding.values import Json
from sync_tool.sandbox.database.engine import Change
from sync_tool.sandbox.database.transaction import Interval
from sync_tool.sandbox.faults import bad_request
from sync_tool.sandbox.functions.calls import Outcome
from sync_tool.sandbox.paths import FunctionPath, parse_path
from sync_tool.sandbox.sync.wire import Add, ModifyQuerySet, Remove


@dataclass
class LiveQuery:
    """One watched query.

    Attributes:
        ranges: what its last run read.
        stale: it has to run (again).
        digest: of the last result that was sent.
    """

    query_id: int
    path: FunctionPath
    args: list[Json]
    ranges: list[Interval] = field(default_factory=list)
    stale: bool = True
    digest: bytes = b""

    def concerns(self, change: Change) -> bool:
        """Whether a commit touched something that the last run read."""
        return any(span.holds(*touched) for span in self.ranges for touched in change.touched)


class LiveQueries:
    """The query set of one connection.

    Attributes:
        version: of the set, as the client numbers it.
        queries: by the client's ids.
        removed: ids that were taken out and not yet reported.
    """

    def __init__(self) -> None:
        self.version = 0
        self.queries: dict[int, LiveQuery] = {}
        self.removed: list[int] = []
        self._running: list[LiveQuery] = []
        self._missed: list[Change] = []

    def modify(self, message: ModifyQuerySet) -> None:
        """Apply a change of the set.

        Raises:
            ServerError: 400, it does not follow the last one, or it names an impossible path.
        """
        if message.base_version != self.version:
            text = f"Base version {message.base_version} passed up doesn't match the current version {self.version}"
            raise bad_request("BaseVersionMismatch", text)
        for modification in message.modifications:
            self._apply(modification)
        self.version = message.new_version

    def _apply(self, modification: Add | Remove) -> None:
        query_id = modification.query_id
        if isinstance(modification, Add):
            self.queries[query_id] = LiveQuery(query_id, parse_path(modification.udf_path), modification.args)
        elif self.queries.pop(query_id, None) is not None:
            self.removed.append(query_id)

    def start_run(self) -> list[LiveQuery]:
        """Return the queries that have to run; commits are noted until `end_run`."""
        self._running = [query for query in self.queries.values() if query.stale]
        self._missed = []
        for query in self._running:
            query.stale = False
        return self._running

    def end_run(self, ts: int) -> None:
        """Mark those that a commit after `ts`, the state they ran on, made stale again meanwhile."""
        for change in self._missed:
            if change.ts > ts:
                self._mark(self._running, change)
        self._running = []

    def on_commit(self, change: Change) -> bool:
        """Mark what a commit concerns; return whether anything has to run."""
        self._missed.append(change)
        self._mark(list(self.queries.values()), change)
        return self.any_stale

    @property
    def any_stale(self) -> bool:
        """Whether a query has to run."""
        return any(query.stale for query in self.queries.values())

    def all_stale(self) -> None:
        """Have all queries run again, because the caller is somebody else now."""
        for query in self.queries.values():
            query.stale = True

    def _mark(self, queries: list[LiveQuery], change: Change) -> None:
        for query in queries:
            query.stale = query.stale or query.concerns(change)


def digest_of(outcome: Outcome, spelled: bytes) -> bytes:
    """Return what tells one result from another; the request id in an error does not count."""
    if outcome.failure is not None:
        spelled = repr((outcome.failure.message, outcome.failure.data, outcome.log)).encode()
    return hashlib.blake2b(spelled, digest_size=16).digest()
