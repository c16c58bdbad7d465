"""Reading, extending and clearing one session: a blocking and an asynchronous client, written side by side."""

from __future__ import annotations

import shlex
import threading
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from sync_tool.deployment.asynchronous import AsyncClient
from sync_tool.deployment.client import Call, Client, Result
from sync_tool.deployment.functions import (
    MODULE,
    ROWS,
    ROWS_ERASED_A_CALL,
    AppendBatch,
    Appended,
    FunctionsReader,
    append_call,
    function_names,
    read_appended,
    table_args,
)
from sync_tool.deployment.ranges import KeyRange
from sync_tool.deployment.rates import DEFAULT_ROWS, Pace
from sync_tool.deployment.system import SystemReader, documents_call, equal, read_documents
from sync_tool.encoding.canonical import dumps, loads
from sync_tool.errors import FunctionFailed, Refused, Unreachable, only_this_refused
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Names, Row
from sync_tool.rows.reading import RowReader

T = TypeVar("T")

_API_SPEC: Final = Call("query", "_system/cli/modules:apiSpec", {})


@dataclass(frozen=True, slots=True)
class LastRow:
    """``_id`` of the last row of a session; None if the session is empty."""

    id: str | None


class Shared:
    """Facts about a deployment that all sessions of a connection share."""

    _MOST_SESSIONS: Final = 10_000

    def __init__(self) -> None:
        self.functions: frozenset[str] | None = None
        """Deployed functions of ``convexMsgs``; None while unknown."""
        self._last_rows: OrderedDict[tuple[str, Names], LastRow] = OrderedDict()
        self._lock = threading.Lock()

    def lacks(self, function: str) -> bool:
        """Return whether a function is known to be missing."""
        return self.functions is not None and function not in self.functions

    def last_row(self, session: str, names: Names) -> LastRow | None:
        """Return the last row of a session as it was seen last; None if it was never seen."""
        with self._lock:
            return self._last_rows.get((session, names))

    def saw(self, session: str, names: Names, last: LastRow | None) -> None:
        """Remember the last row of a session, or with None forget it."""
        with self._lock:
            self._last_rows.pop((session, names), None)
            if last is not None:
                self._last_rows[session, names] = last
            if len(self._last_rows) > self._MOST_SESSIONS:
                self._last_rows.popitem(last=False)


@dataclass(slots=True)
class SessionState:
    """One session, and what its two clients know of it. Not for several threads at once."""

    session: str
    names: Names
    shared: Shared
    unsettled: tuple[LastRow, list[bytes]] | None = field(default=None)
    """Expected last row and documents of an append whose outcome is unknown."""

    def saw(self, row: Row | None) -> None:
        """Remember the last row, which was just read; None if the session is empty."""
        self.shared.saw(self.session, self.names, LastRow(None if row is None else row.id))

    def begin(self, documents: list[bytes]) -> tuple[bool, LastRow | None]:
        """Return whether these documents may be stored already, and the last row that they follow, if known."""
        if self.unsettled is not None and self.unsettled[1] == documents:
            return True, self.unsettled[0]
        return False, self.shared.last_row(self.session, self.names)

    def batch(self, expected: LastRow, documents: list[bytes]) -> list[AppendBatch]:
        """Return the argument of an append, which is unsettled from now on."""
        self.unsettled = (expected, documents)
        self.shared.saw(self.session, self.names, None)
        return [AppendBatch(self.session, documents, expected.id)]

    def settle(self, last: LastRow | None) -> None:
        """Remember that the documents are stored."""
        self.unsettled = None
        self.shared.saw(self.session, self.names, last)

    def tail_call(self) -> Call:
        """Return the call that reads the last row; through the functions, without which nothing can be written."""
        args = {**table_args(self.names), "sessionId": self.session, "order": "desc", "limit": 1.0}
        return Call("query", f"{MODULE}:page", args)

    def erase_call(self, through: str, rows: int) -> Call:
        """Return the call that erases rows, oldest first, up to and including the row with the id `through`."""
        args = {**table_args(self.names), "sessionId": self.session, "throughId": through, "limit": float(rows)}
        return Call("mutation", f"{MODULE}:erase", args)

    def last_of(self, result: Result) -> LastRow:
        """Return the result of a `tail_call`."""
        rows = RowReader(self.names).page(result.read(ROWS).rows).rows
        return LastRow(rows[0].id if rows else None)

    def failure(self, function: str, error: FunctionFailed) -> Refused:
        """Return the error of a function that failed, or is missing."""
        return _not_deployed(function) if self.shared.lacks(function) else with_advice(error, self.names)


class Session:
    """Blocking operations.

    Args:
        state: of the session.
        connect: returns the client.
    """

    def __init__(self, state: SessionState, connect: Callable[[], Client]) -> None:
        self._state = state
        self._connect = connect

    def pages(self, *, newest_first: bool = False, rows: int = DEFAULT_ROWS) -> Iterator[Page]:
        """Yield the rows of the session, at most `rows` a page; without the functions through the system queries."""
        where = KeyRange(session=self._state.session, newest_first=newest_first)
        begun = False
        try:
            if not self._state.shared.lacks("page"):
                try:
                    for page in FunctionsReader(self._connect(), self._state.names, rows).pages(where):
                        begun = True
                        yield page
                except FunctionFailed as error:
                    if begun or not self._is_missing("page", error):
                        raise
                else:
                    return
            yield from SystemReader(self._connect(), self._state.names, rows).pages(where)
        except FunctionFailed as error:
            raise with_advice(error, self._state.names) from None

    def append(self, documents: list[bytes]) -> None:
        """Write documents after the last row: all or none, and once, however often an answer is lost.

        The call names the expected last row, so a second call writes nothing. If an answer was lost, the rows that
        follow the expected one show whether it was done. That holds for a second `append` of the same documents
        too, after one that raised `Unreachable`.
        """
        state = self._state
        unsure, expected = state.begin(documents)
        if expected is None:
            expected = self._read_tail()
        while True:
            batches = state.batch(expected, documents)
            result = self._call("append", append_call(state.names, batches))
            (outcome,) = read_appended(result, batches)
            if isinstance(outcome, Appended):
                return state.settle(LastRow(outcome.last))
            if (unsure or result.unsure) and self._follow(expected, documents):
                return state.settle(None)
            unsure, expected = False, LastRow(outcome.last)  # somebody else wrote: append after that

    def clear(self) -> None:
        """Erase the session up to its present last row, oldest first, in calls of bounded size."""
        last, state = self._read_tail(), self._state
        state.shared.saw(state.session, state.names, None)
        through, pace = last.id, Pace(ROWS_ERASED_A_CALL)
        done = through is None
        while through is not None and not done:
            result = pace.call(lambda rows: self._call("erase", state.erase_call(through, rows)))
            done = result.value["isDone"]

    def _read_tail(self) -> LastRow:
        return self._state.last_of(self._call("page", self._state.tail_call()))

    def _follow(self, expected: LastRow, documents: list[bytes]) -> bool:
        """Return whether the rows that follow the expected last row are these documents."""
        following = _Following(expected, documents)
        for page in self.pages(newest_first=True, rows=following.page_rows):
            if following.take(page):
                break
        return following.are_documents

    def _call(self, function: str, call: Call) -> Result:
        try:
            return self._connect().call(call)
        except FunctionFailed as error:
            self._is_missing(function, error)
            raise self._state.failure(function, error) from None

    def _is_missing(self, function: str, error: FunctionFailed) -> bool:
        """Return whether a function that failed is not deployed: in production the failure does not tell."""
        shared = self._state.shared
        if error.data is None and shared.functions is None:
            try:
                shared.functions = function_names(self._connect().call(_API_SPEC).value)
            except Refused as refused:  # this key may not list them
                if not only_this_refused(refused):
                    raise
        return error.data is None and shared.lacks(function)


class AsyncSession:
    """The operations of `Session` without blocking the event loop.

    Args:
        state: of the session.
        connect: returns the client.
    """

    def __init__(self, state: SessionState, connect: Callable[[], Awaitable[AsyncClient]]) -> None:
        self._state = state
        self._connect = connect
        self._reader = RowReader(state.names)

    async def pages(self, *, newest_first: bool = False, rows: int = DEFAULT_ROWS) -> AsyncIterator[Page]:
        """Yield the rows of the session as `Session.pages`."""
        pace = Pace(rows)
        begun = False
        try:
            if not self._state.shared.lacks("page"):
                try:
                    async for page in self._function_pages(pace, newest_first=newest_first):
                        begun = True
                        yield page
                except FunctionFailed as error:
                    if begun or not await self._is_missing("page", error):
                        raise
                else:
                    return
            async for page in self._system_pages(pace, newest_first=newest_first):
                yield page
        except FunctionFailed as error:
            raise with_advice(error, self._state.names) from None

    async def append(self, documents: list[bytes]) -> None:
        """Write documents after the last row as `Session.append`."""
        state = self._state
        unsure, expected = state.begin(documents)
        if expected is None:
            expected = await self._read_tail()
        while True:
            batches = state.batch(expected, documents)
            result = await self._call("append", append_call(state.names, batches))
            (outcome,) = read_appended(result, batches)
            if isinstance(outcome, Appended):
                return state.settle(LastRow(outcome.last))
            if (unsure or result.unsure) and await self._follow(expected, documents):
                return state.settle(None)
            unsure, expected = False, LastRow(outcome.last)

    async def clear(self) -> None:
        """Erase the session as `Session.clear`."""
        last, state = await self._read_tail(), self._state
        state.shared.saw(state.session, state.names, None)
        through, pace = last.id, Pace(ROWS_ERASED_A_CALL)
        done = through is None
        while through is not None and not done:
            result = await _paced(pace, lambda rows: self._call("erase", state.erase_call(through, rows)))
            done = result.value["isDone"]

    async def _function_pages(self, pace: Pace, *, newest_first: bool) -> AsyncIterator[Page]:
        client = await self._connect()
        args: dict[str, Any] = {**table_args(self._state.names), "sessionId": self._state.session}
        args["order"] = "desc" if newest_first else "asc"
        while True:
            result = await _paced(
                pace, lambda rows: client.call(Call("query", f"{MODULE}:page", {**args, "limit": float(rows)}))
            )
            answer = result.read(ROWS)
            yield self._reader.page(answer.rows)
            if answer.is_done:
                return
            cursor = loads(bytes(answer.cursor))
            if cursor == args.get("after"):
                raise Unreachable("the deployment sent the same page twice.")
            args["after"] = cursor

    async def _system_pages(self, pace: Pace, *, newest_first: bool) -> AsyncIterator[Page]:
        client = await self._connect()
        place, clauses = (self._state.names.table, self._state.names.index), [equal(self._state.session)]
        cursor: str | None = None
        while True:

            async def read(rows: int, cursor: str | None = cursor) -> Any:
                return read_documents(await client.call(documents_call(place, clauses, cursor, newest_first, rows)))

            answer = await _paced(pace, read)
            yield self._reader.page(answer.page)
            if answer.is_done:
                return
            cursor = answer.continue_cursor

    async def _read_tail(self) -> LastRow:
        return self._state.last_of(await self._call("page", self._state.tail_call()))

    async def _follow(self, expected: LastRow, documents: list[bytes]) -> bool:
        following = _Following(expected, documents)
        async for page in self.pages(newest_first=True, rows=following.page_rows):
            if following.take(page):
                break
        return following.are_documents

    async def _call(self, function: str, call: Call) -> Result:
        try:
            return await (await self._connect()).call(call)
        except FunctionFailed as error:
            await self._is_missing(function, error)
            raise self._state.failure(function, error) from None

    async def _is_missing(self, function: str, error: FunctionFailed) -> bool:
        shared = self._state.shared
        if error.data is None and shared.functions is None:
            try:
                shared.functions = function_names((await (await self._connect()).call(_API_SPEC)).value)
            except Refused as refused:
                if not only_this_refused(refused):
                    raise
        return error.data is None and shared.lacks(function)


async def _paced(pace: Pace, ask: Callable[[int], Awaitable[T]]) -> T:
    """Call `ask` as `Pace.call` does."""
    while True:
        rows = pace.rows
        try:
            answer = await ask(rows)
        except FunctionFailed as error:
            pace.refused(rows, error)
            continue
        pace.went_well()
        return answer


class _Following:
    """The rows that follow the expected last row, read from the newest backwards."""

    def __init__(self, expected: LastRow, documents: list[bytes]) -> None:
        self._expected = expected
        self._documents = documents
        self._rows: deque[Row] = deque(maxlen=len(documents))
        self.page_rows = min(len(documents) + 1, DEFAULT_ROWS)

    def take(self, page: Page) -> bool:
        """Take a page; return whether the expected row is reached."""
        for row in page.rows:
            if row.id == self._expected.id:
                return True
            self._rows.append(row)
        return False

    @property
    def are_documents(self) -> bool:
        """True if the documents are stored right after the expected row."""
        rows = list(reversed(self._rows))
        return len(rows) == len(self._documents) and all(map(_holds, rows, self._documents))


def _holds(row: Row, document: bytes) -> bool:
    stored = {key: value for key, value in row.value.items() if key not in ("_id", "_creationTime")}
    return dumps(stored) == document


def with_advice(error: FunctionFailed, names: Names) -> FunctionFailed:
    """Add the command that explains a failure: in production its message is only "Server Error"."""
    if error.hint_lines or (error.data is not None and error.code != "bad_filter"):
        return error
    usual = Names()
    given = [("--table", names.table, usual.table), ("--index", names.index, usual.index),
             ("--session-field", names.session_field, usual.session_field)]  # fmt: skip
    flags = "".join(f" {flag} {shlex.quote(name)}" for flag, name, common in given if name != common)
    return FunctionFailed(error.message, data=error.data, hint=[("table, index, schema", f"convex-msgs doctor{flags}")])


def _not_deployed(function: str) -> Refused:
    return Refused(
        f"{MODULE}:{function} is not deployed there: reading works without it, writing does not.",
        code="not_deployed",
        hint=[("to add it", "convex-msgs init, then push it the way you always do (npx convex dev)")],
    )
