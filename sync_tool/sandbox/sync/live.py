"""Query set of one client, and which queries are stale."""

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
    """Watched query.

    Attributes:
        ranges: ranges that its last run read.
        stale: it has to run.
        digest: digest of the last result sent.
    """

    query_id: int
    path: FunctionPath
    args: list[Json]
    ranges: list[Interval] = field(default_factory=list)
    stale: bool = True
    digest: bytes = b""

    def concerns(self, change: Change) -> bool:
        """Return whether a commit touched a range of the last run."""
        return any(span.holds(*touched) for span in self.ranges for touched in change.touched)


class LiveQueries:
    """Query set of one connection.

    Attributes:
        version: version of the set, counted by the client.
        queries: queries by the client's ids.
        removed: removed ids not yet reported.
    """

    def __init__(self) -> None:
        self.version = 0
        self.queries: dict[int, LiveQuery] = {}
        self.removed: list[int] = []
        self._running: list[LiveQuery] = []
        self._missed: list[Change] = []

    def modify(self, message: ModifyQuerySet) -> None:
        """Apply a change of the set."""
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
        """Return the stale queries; `end_run` checks them against commits until then."""
        self._running = [query for query in self.queries.values() if query.stale]
        self._missed = []
        for query in self._running:
            query.stale = False
        return self._running

    def end_run(self, ts: int) -> None:
        """Mark queries that a commit after `ts`, the state they ran on, made stale again."""
        for change in self._missed:
            if change.ts > ts:
                self._mark(self._running, change)
        self._running = []

    def on_commit(self, change: Change) -> bool:
        """Mark the queries that a commit concerns; return whether any query is stale."""
        self._missed.append(change)
        self._mark(list(self.queries.values()), change)
        return self.any_stale

    @property
    def any_stale(self) -> bool:
        """Whether a query has to run."""
        return any(query.stale for query in self.queries.values())

    def all_stale(self) -> None:
        """Mark all queries: the identity of the caller changed."""
        for query in self.queries.values():
            query.stale = True

    def _mark(self, queries: list[LiveQuery], change: Change) -> None:
        for query in queries:
            query.stale = query.stale or query.concerns(change)


def digest_of(outcome: Outcome, text: bytes) -> bytes:
    """Return the digest of a result, without the request id of an error."""
    if outcome.failure is not None:
        text = repr((outcome.failure.message, outcome.failure.data, outcome.log)).encode()
    return hashlib.blake2b(text, digest_size=16).digest()
