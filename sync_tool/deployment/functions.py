"""The door `functions`: pages through ``convex/convexMsgs.ts``, which someone has deployed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from sync_tool.deployment.client import Client
from sync_tool.deployment.http import Pace, Throttle
from sync_tool.deployment.ranges import BEFORE_ALL_TIMES, KeyRange, TimeRange, cut
from sync_tool.encoding.canonical import loads
from sync_tool.encoding.order import MISSING
from sync_tool.errors import Unreachable
from sync_tool.rows.model import Names, Page, Position, Row, SessionInfo
from sync_tool.rows.reading import RowReader

MODULE: Final = "convexMsgs"
_SESSIONS_A_CALL: Final = 500
_MOST_PROBES: Final = 1000


class RowsAnswer(msgspec.Struct):
    """What ``page`` and ``recent`` return."""

    cursor: msgspec.Raw
    is_done: bool = msgspec.field(name="isDone")
    rows: list[msgspec.Raw]


class _Sessions(msgspec.Struct):
    sessions: list[dict[str, Any]]
    is_done: bool = msgspec.field(name="isDone")


ROWS: Final = msgspec.json.Decoder(RowsAnswer)
_sessions = msgspec.json.Decoder(_Sessions)


def is_deployed(functions: list[dict[str, Any]], name: str) -> bool:
    """Tell whether the list that ``_system/cli/modules:apiSpec`` returns has a function of ours."""
    wanted = (f"{MODULE}.js:{name}", f"{MODULE}:{name}")
    return any(function.get("identifier") in wanted for function in functions)


class FunctionsDoor:
    """Reads by key: every page is one index range read, a position stays good for ever."""

    name: Final = "functions"

    def __init__(self, client: Client, names: Names, page_rows: int | None = None) -> None:
        self._client = client
        self._names = {"table": names.table, "index": names.index, "sessionField": names.session_field}
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
        """Tell whether the session holds at least one message."""
        return self._edge(session, "asc") is not None

    def pieces(self, where: KeyRange, count: int) -> list[KeyRange]:
        """Cut a range of sessions into up to `count` parts of about equal row count, giant sessions included."""
        answer = self._client.query_value(f"{MODULE}:bounds", self._args({"n": float(min(count, _MOST_PROBES))}))
        points = [Position(found.get("sessionId", MISSING), found["creationTime"], "") for found in answer["bounds"]]
        return cut(where, [point for n, point in enumerate(points) if n == 0 or point.key() != points[n - 1].key()])

    def neighbours(self, session: str) -> list[str]:
        """Return ids of sessions near `session` in the index, and of the first ones of all."""
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
            del answer  # else its bytes would be held, besides those of the page, until the next one is here
            if page.count:
                yield page
            del page
            if is_done:
                return
            cursor = loads(moved)
            if cursor == args.get("after"):
                raise Unreachable("the deployment sent a page that does not move on; run the same command again.")
            args["after"] = cursor

    def _args(self, args: dict[str, Any]) -> dict[str, Any]:
        return {**self._names, **args}


def _bounds(where: KeyRange) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return the exclusive lower and upper position of a range."""
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


# Writing messages through ``convexMsgs``: appends that cannot double, and erasing from the oldest on.

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
