"""Reader and writer that call the deployed functions of ``convex/convexMsgs.ts``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from sync_tool.deployment.client import Call, Client, Result
from sync_tool.deployment.ranges import BEFORE_ALL_TIMES, KeyRange, TimeRange, cut
from sync_tool.deployment.rates import Pace, Throttle
from sync_tool.encoding.canonical import loads
from sync_tool.encoding.order import MISSING
from sync_tool.errors import Unreachable
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Names, Position, Row, SessionInfo
from sync_tool.rows.reading import RowReader

MODULE: Final = "convexMsgs"
_SESSIONS_A_CALL: Final = 500
_MOST_PROBES: Final = 1000


class RowsAnswer(msgspec.Struct):
    """Result of ``page`` and ``recent``."""

    cursor: msgspec.Raw
    is_done: bool = msgspec.field(name="isDone")
    rows: list[msgspec.Raw]


class _Sessions(msgspec.Struct):
    sessions: list[dict[str, Any]]
    is_done: bool = msgspec.field(name="isDone")


ROWS: Final = msgspec.json.Decoder(RowsAnswer)
_sessions = msgspec.json.Decoder(_Sessions)


def function_names(spec: list[dict[str, Any]]) -> frozenset[str]:
    """Return our deployed functions, from the list that ``_system/cli/modules:apiSpec`` returns."""
    paths = (str(function.get("identifier", "")).partition(":") for function in spec)
    return frozenset(name for module, _, name in paths if module.removesuffix(".js") == MODULE)


def table_args(names: Names) -> dict[str, str]:
    """Return the arguments that every function takes."""
    return {"table": names.table, "index": names.index, "sessionField": names.session_field}


class FunctionsReader:
    """Reads by key: each page is one index range, and a position never expires."""

    name: Final = "functions"

    def __init__(self, client: Client, names: Names, page_rows: int | None = None) -> None:
        self._client = client
        self._names = table_args(names)
        self._reader = RowReader(names)
        self._pace = Pace(page_rows)

    def pages(self, where: KeyRange) -> Iterator[Page]:
        """Yield the rows of a range in session order."""
        args: dict[str, Any] = {"order": "desc" if where.newest_first else "asc"}
        if where.session is not None:
            args["sessionId"] = where.session
        low, high = _bounds(where)
        args["after"], args["until"] = (high, low) if where.newest_first else (low, high)
        return self._walk("page", args)

    def by_time(self, where: TimeRange) -> Iterator[Page]:
        """Yield the rows of all sessions in the order of their creation."""
        low = None if where.after is None else {"creationTime": where.after, "id": ""}
        high = None if where.before is None else {"creationTime": where.before, "id": ""}
        after, until = (high, low) if where.newest_first else (low, high)
        order = "desc" if where.newest_first else "asc"
        return self._walk("recent", {"after": after, "until": until, "order": order})

    def sessions(self, first: str | None, stop: str | None) -> Iterator[SessionInfo]:
        """Yield the sessions from `first` up to (not with) `stop`, with their first and last time."""
        after: dict[str, Any] = {}
        if first is not None:
            if self.has_session(first):
                yield self.session(first)
            after = {"after": first}
        while True:
            args = {**after, "limit": float(_SESSIONS_A_CALL), "times": True}
            answer = self._client.query(f"{MODULE}:sessions", self._args(args), _sessions)
            for found in answer.sessions:
                session = loads(msgspec.json.encode(found["sessionId"])) if "sessionId" in found else MISSING
                if stop is not None and isinstance(session, str) and session >= stop:
                    return
                yield SessionInfo(session, found.get("first"), found.get("last"))
                after = {"afterMissing": True} if session is MISSING else {"after": session}
            if answer.is_done:
                return

    def has_session(self, session: str) -> bool:
        """Return whether the session holds at least one message."""
        return self._edge(session, "asc") is not None

    def chunks(self, where: KeyRange, count: int) -> list[KeyRange]:
        """Split a range into up to `count` chunks of about equal row count, also within long sessions."""
        answer = self._client.query_value(f"{MODULE}:bounds", self._args({"n": float(min(count, _MOST_PROBES))}))
        points = [Position(found.get("sessionId", MISSING), found["creationTime"], "") for found in answer["bounds"]]
        return cut(where, [point for n, point in enumerate(points) if n == 0 or point.key() != points[n - 1].key()])

    def neighbours(self, session: str) -> list[str]:
        """Return ids of sessions near `session` in the index, and of the first sessions."""
        near: list[str] = []
        for after in ({}, {"after": session[: len(session) // 2]}):
            answer = self._client.query(
                f"{MODULE}:sessions", self._args({**after, "limit": float(_SESSIONS_A_CALL)}), _sessions
            )
            near += [found["sessionId"] for found in answer.sessions if isinstance(found.get("sessionId"), str)]
            if answer.is_done:
                break
        return near

    def session(self, session: str) -> SessionInfo:
        """Return a session with its first and last time."""
        return SessionInfo(session, self._edge(session, "asc"), self._edge(session, "desc"))

    def _edge(self, session: str, order: str) -> float | None:
        args = self._args({"sessionId": session, "order": order, "limit": 1.0})
        answer = self._client.query(f"{MODULE}:page", args, ROWS)
        return self._reader.row(bytes(answer.rows[0])).time if answer.rows else None

    def _walk(self, function: str, args: dict[str, Any]) -> Iterator[Page]:
        args = self._args({name: value for name, value in args.items() if value is not None})
        while True:
            answer = self._pace.call(
                lambda rows: self._client.query(f"{MODULE}:{function}", {**args, "limit": float(rows)}, ROWS)
            )
            page, is_done, moved = self._reader.page(answer.rows), answer.is_done, bytes(answer.cursor)
            del answer  # would keep its bytes in memory beside the page's until the next answer
            if page.count:
                yield page
            del page
            if is_done:
                return
            cursor = loads(moved)
            if cursor == args.get("after"):
                raise Unreachable("the deployment sent the same page twice; run the same command again.")
            args["after"] = cursor

    def _args(self, args: dict[str, Any]) -> dict[str, Any]:
        return {**self._names, **args}


def _bounds(where: KeyRange) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return the lower and the upper position of a range, both exclusive."""
    if where.session is not None:
        low = None if where.after is None else _position(where.session, where.after)
        high = None if where.before is None else _position(where.session, where.before)
    else:
        low = None if where.first is None else _position(where.first, BEFORE_ALL_TIMES)
        high = None if where.stop is None else _position(where.stop, BEFORE_ALL_TIMES)
    if where.resume is not None:
        low = _position(*where.resume)
    if where.until is not None:
        high = _position(*where.until)
    return low, high


def _position(session: Any, time: float, document_id: str = "") -> dict[str, Any]:
    position = {"creationTime": time, "id": document_id}
    return position if session is MISSING else {"sessionId": session, **position}


# Rows erased by one call: the most that ``convexMsgs:erase`` accepts.
ROWS_ERASED_A_CALL: Final = 4000


@dataclass(frozen=True, slots=True)
class AppendBatch:
    """Documents to append to one session."""

    session: str
    documents: Sequence[bytes]
    """Each as ``convex_encoded_json``, with the session field, without ``_id`` and ``_creationTime``."""
    expect_last: str | None
    """``_id`` of the session's last row; None if the session must be empty."""


@dataclass(frozen=True, slots=True)
class Appended:
    """A written batch."""

    last: str
    """``_id`` of its last row."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A batch that was not written, because the session's last row is not the expected one."""

    last: str | None
    """``_id`` of the session's last row; None if the session is empty."""


def append_call(names: Names, batches: Sequence[AppendBatch]) -> Call:
    """Return the call that writes batches of different sessions in one transaction, each wholly or not at all."""
    body = [
        {
            "sessionId": batch.session,
            "documents": list(map(msgspec.Raw, batch.documents)),
            "expectLastId": batch.expect_last,
        }
        for batch in batches
    ]
    return Call("mutation", f"{MODULE}:append", {**table_args(names), "batches": body}, encoded=True)


def read_appended(result: Result, batches: Sequence[AppendBatch]) -> list[Appended | Moved]:
    """Return the outcome of each batch of an `append_call`.

    Raises:
        Unreachable: the answer does not fit the call.
    """
    answer = result.value
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list) or len(results) != len(batches):
        raise _bad_append()
    return [_outcome(found, batch) for found, batch in zip(results, batches, strict=True)]


def _outcome(result: Any, batch: AppendBatch) -> Appended | Moved:
    if isinstance(result, dict):
        ids = result.get("ids")
        if isinstance(ids, list) and len(ids) == len(batch.documents) and ids:
            return Appended(str(ids[-1]))
        if "moved" in result:
            return Moved(None if result["moved"] is None else str(result["moved"]))
    raise _bad_append()


def _bad_append() -> Unreachable:
    return Unreachable("the answer to an append is not one of the deployed convexMsgs.")


class FunctionsWriter:
    """Appends to one table, and erases sessions from the oldest row on.

    Args:
        client: of the deployment.
        names: of the table, its index and its session field.
        bytes_per_second: average limit for sending; None for no limit.
    """

    def __init__(self, client: Client, names: Names, bytes_per_second: float | None) -> None:
        self._client = client
        self._reader = FunctionsReader(client, names)
        self._tail_reader = FunctionsReader(client, names, 1)
        self._names = names
        self._throttle = Throttle(bytes_per_second)

    def append(self, batches: Sequence[AppendBatch]) -> list[Appended | Moved]:
        """Write batches of different sessions in one transaction, each wholly or not at all.

        A repeated call writes nothing twice: the session's last row is no longer the expected one, and the
        outcome is `Moved`.

        Raises:
            FunctionFailed: the deployment refused the call; nothing was written.
            Refused: the key was refused.
            Unreachable: no usable answer; the batches may or may not be written.
        """
        self._throttle.wait(sum(len(document) for batch in batches for document in batch.documents))
        return read_appended(self._client.call(append_call(self._names, batches), once=True), batches)

    def newest(self, session: str) -> Iterator[Row]:
        """Yield the rows of a session, newest first."""
        for page in self._reader.pages(KeyRange(session=session, newest_first=True)):
            yield from page.rows

    def last_row(self, session: str) -> Row | None:
        """Return the last row of a session; None if it is empty."""
        pages = self._tail_reader.pages(KeyRange(session=session, newest_first=True))
        return next((row for page in pages for row in page.rows), None)

    def rows(self, session: str) -> Iterator[Row]:
        """Yield the rows of a session, oldest first."""
        for page in self._reader.pages(KeyRange(session=session)):
            yield from page.rows

    def erase(self, session: str, through: str) -> None:
        """Delete the rows of a session, oldest first, up to and including the row with the id `through`.

        Raises:
            FunctionFailed: the deployment refused.
            Unreachable: no usable answer; some or all rows may be deleted, and a second call deletes the rest.
        """
        args = {
            **table_args(self._names), "sessionId": session, "throughId": through, "limit": float(ROWS_ERASED_A_CALL),
        }  # fmt: skip
        # Safe to repeat: once the row `through` is gone, a call does nothing.
        while not self._client.mutation_value(f"{MODULE}:erase", args, repeatable=True)["isDone"]:
            pass
