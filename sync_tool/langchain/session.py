"""What is asked of a deployment to read, extend and clear one session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sync_tool.deployment.functions import ROWS
from sync_tool.deployment.http import DEFAULT_ROWS, Pace
from sync_tool.deployment.system import documents_call, equal, read_documents
from sync_tool.encoding.canonical import dumps, loads
from sync_tool.encoding.values import Value
from sync_tool.errors import FunctionFailed, Refused, Unreachable
from sync_tool.langchain.steps import NOT_DEPLOYED, Functions, Steps, with_advice
from sync_tool.rows.model import Names, Page, Row
from sync_tool.rows.reading import RowReader

Document = dict[str, Value]

_ERASED_A_CALL: Final = 4000
"""As many as ``convexMsgs:erase`` takes."""


@dataclass(frozen=True, slots=True)
class Tail:
    """The last row of a session; None if the session is empty."""

    row: Row | None

    @property
    def id(self) -> str | None:
        """Its ``_id``."""
        return None if self.row is None else self.row.id


class Reading:
    """One reading of a session, page by page.

    Args:
        session_id: which.
        names: how the table and its fields are called.
        functions: those deployed there; without them the dashboard's queries are asked.
        newest_first: begin at the end.
        rows: how many a call asks for at most.
        after: begin behind this row.
    """

    def __init__(
        self,
        session_id: str,
        names: Names,
        functions: Functions,
        *,
        newest_first: bool = False,
        rows: int = DEFAULT_ROWS,
        after: Row | None = None,
    ) -> None:
        self._session = session_id
        self._names = names
        self._functions = functions
        self._newest_first = newest_first
        self._pace = Pace(rows)
        self._reader = RowReader(names)
        self._after: Any = None
        self._cursor: str | None = None
        self.done = False
        """True if no page is left."""
        if after is not None:
            self._after = {"sessionId": session_id, "creationTime": after.time, "id": after.id}

    def next_page(self) -> Steps[Page]:
        """Read the next page; it may be empty."""
        if self._cursor is None and not self._functions.lacks("page"):
            try:
                return (yield from self._by_functions())
            except Refused as error:
                if error.code != NOT_DEPLOYED or self._after is not None:
                    raise
        return (yield from self._by_system())

    def _by_functions(self) -> Steps[Page]:
        args: dict[str, Any] = {"sessionId": self._session, "order": "desc" if self._newest_first else "asc"}
        if self._after is not None:
            args["after"] = self._after
        result = yield from self._functions.ask("query", "page", self._names, args, self._pace)
        answer = result.read(ROWS)
        cursor = loads(bytes(answer.cursor))
        if cursor == self._after and not answer.is_done:
            raise Unreachable("the deployment sent a page that does not move on.")
        self._after, self.done = cursor, answer.is_done
        return self._reader.page(answer.rows)

    def _by_system(self) -> Steps[Page]:
        """Read through the dashboard's queries, which need nothing deployed."""
        place = (self._names.table, self._names.index)
        while True:
            rows = self._pace.rows
            call = documents_call(place, [equal(self._session)], self._cursor, self._newest_first, rows)
            try:
                answer = read_documents((yield call))
            except FunctionFailed as error:
                self._pace.refused(rows, with_advice(error, self._names))
                continue
            self._pace.went_well()
            self._cursor, self.done = answer.continue_cursor, answer.is_done
            return self._reader.page(answer.page)


class Session:
    """The operations on one session, and what is known of its end. Not for several threads at once."""

    def __init__(self, session_id: str, names: Names, functions: Functions) -> None:
        self._id = session_id
        self._names = names
        self._functions = functions
        self._tail: Tail | None = None
        """As it was seen last; None if nobody looked, or something was written since."""
        self._unsettled: tuple[Tail, list[Document]] | None = None
        """What was sent and behind which row, while it is not known whether it was stored."""

    def reading(self, *, newest_first: bool = False, rows: int = DEFAULT_ROWS, after: Row | None = None) -> Reading:
        """Begin to read the session."""
        return Reading(self._id, self._names, self._functions, newest_first=newest_first, rows=rows, after=after)

    def saw_tail(self, row: Row | None) -> None:
        """Remember the session's last row, which somebody has just read; None if it is empty."""
        self._tail = Tail(row)

    def append(self, documents: list[Document]) -> Steps[None]:
        """Write documents behind the last row: all or none, and once, however often an answer is lost.

        The call says which row it believes to be the last one, so that it cannot be done twice; and where an
        answer was lost, what stands behind that row shows whether it was done. That holds for a second `append`
        of the same documents too, after one that ended with `Unreachable`.
        """
        unsure, expected = False, self._tail
        if self._unsettled is not None and self._unsettled[1] == documents:
            unsure, expected = True, self._unsettled[0]
        while True:
            if expected is None:
                expected = yield from self._look_at_tail()
            self._unsettled = (expected, documents)
            batch = {"sessionId": self._id, "documents": documents, "expectLastId": expected.id}
            args = {"batches": [batch]}
            result = yield from self._functions.ask("mutation", "append", self._names, args, None)
            self._tail = None
            if "ids" in result.value["results"][0]:
                break
            if (unsure or result.unsure) and (yield from self._stand_behind(expected, documents)):
                break
            unsure, expected = False, None  # somebody else wrote: behind that, then
        self._unsettled = None

    def clear(self) -> Steps[None]:
        """Erase the session up to the row that is its last one now, oldest first, in calls of bounded size."""
        tail = yield from self._look_at_tail()
        self._tail = None
        pace = Pace(_ERASED_A_CALL)
        args = {"sessionId": self._id, "throughId": tail.id}
        done = tail.id is None
        while not done:
            result = yield from self._functions.ask("mutation", "erase", self._names, args, pace)
            done = result.value["isDone"]

    def _look_at_tail(self) -> Steps[Tail]:
        """Ask for the session's last row through the functions, without which nothing can be written anyway."""
        args = {"sessionId": self._id, "order": "desc"}
        result = yield from self._functions.ask("query", "page", self._names, args, Pace(1))
        rows = RowReader(self._names).page(result.read(ROWS).rows).rows
        return Tail(rows[0] if rows else None)

    def _stand_behind(self, tail: Tail, documents: list[Document]) -> Steps[bool]:
        """Look whether these documents are what was written next behind a row."""
        reading = self.reading(rows=len(documents), after=tail.row)
        compared = 0
        while compared < len(documents) and not reading.done:
            page = yield from reading.next_page()
            for row, document in zip(page.rows, documents[compared:], strict=False):
                if not _holds(row, document):
                    return False
                compared += 1
        return compared == len(documents)


def _holds(row: Row, document: Document) -> bool:
    """Tell whether a row is a document, stored."""
    stored = {key: value for key, value in row.value.items() if key not in ("_id", "_creationTime")}
    return dumps(stored) == dumps(document)
