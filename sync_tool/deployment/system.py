"""Reader that calls the system queries of the official CLI and dashboard; nothing needs to be deployed.

Source: get-convex/convex-backend, ``npm-packages/system-udfs/convex/_system/frontend/paginatedTableDocuments.ts``
and ``lib/filters.ts``. One call reads one range of an index: equalities on the first fields, then one
range. A cursor is valid within one pass; a new pass resumes by key.
"""

from __future__ import annotations

import base64
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from operator import gt, lt
from typing import Any, Final

import msgspec

from sync_tool.deployment.client import Call, Client, Result
from sync_tool.deployment.ranges import BEFORE_ALL_TIMES, KeyRange, TimeRange, cut
from sync_tool.deployment.rates import Pace
from sync_tool.encoding.ids import ALPHABET
from sync_tool.encoding.order import MISSING, sort_key
from sync_tool.encoding.values import Json, Value, encode
from sync_tool.errors import FunctionFailed, Refused
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Names, Position, SessionInfo
from sync_tool.rows.reading import RowReader
from sync_tool.rows.selection import sessions_of

_DOCUMENTS: Final = "_system/frontend/paginatedTableDocuments"
_UNDEFINED: Final = (
    "__CONVEX_PLACEHOLDER_undefined_I23atX0jcndVbFgXoQZffsih7eAqktCyFjgUuAeNBtfr3ySOljPSPSEOPFgprkdBO3zXNiGEJxmJ5ZFPc5C"
    "5qKesG80QRPvlJe8vgSxAt9feLTwxTg4PHfVwUaTEJU67FDwldWmTxp1guMPwxQ2jOuhEryTBf3mQ"
)
"""Placeholder of these queries for a missing field (``lib/values.ts``)."""

_NEIGHBOURS: Final = 32
_MOST_PROBES: Final = 32

Clause = dict[str, Any]
Bound = tuple[str, Value]


class DocumentsAnswer(msgspec.Struct):
    """Result of the query."""

    page: list[msgspec.Raw]
    is_done: bool = msgspec.field(name="isDone")
    continue_cursor: str = msgspec.field(name="continueCursor")


_page = msgspec.json.Decoder(DocumentsAnswer)


class SystemReader:
    """Reads any table of any deployment; needs nothing but an admin key."""

    name: Final = "system"

    def __init__(self, client: Client, names: Names, page_rows: int | None = None) -> None:
        self._client = client
        self._table = names.table
        self._index = names.index
        self._reader = RowReader(names)
        self._pace = Pace(page_rows)

    def pages(self, where: KeyRange) -> Iterator[Page]:
        """Yield the rows of a range in session order.

        Raises:
            Refused: the deployment returned other rows than this range holds, or in another order.
        """

        def read(resume: Position | None) -> Iterator[Page]:
            for clauses in _session_clauses(replace(where, resume=resume)):
                yield from self._walk(self._index, clauses, where.newest_first)

        return _Pass(read, Position.key, lambda at: _in_key_range(at, where), where.newest_first).pages(where.resume)

    def by_time(self, where: TimeRange) -> Iterator[Page]:
        """Yield the rows of all sessions in the order of their creation; raises as `pages`."""

        def read(resume: Position | None) -> Iterator[Page]:
            since = where.after if resume is None else resume.time
            clauses = _range(_bound("gte", since), _bound("lt", where.before))
            return self._walk("by_creation_time", clauses, where.newest_first)

        return _Pass(read, _time_key, lambda at: _in_time_range(at, where), where.newest_first).pages(None)

    def sessions(self, first: str | None, stop: str | None) -> Iterator[SessionInfo]:
        """Yield the sessions from `first` up to (not with) `stop`; reads every row of them."""
        return self._listed(KeyRange(first=first, stop=stop))

    def session(self, session: str) -> SessionInfo:
        """Return a session with its first and last time; reads every row of it."""
        return next(self._listed(KeyRange(session=session)), SessionInfo(session))

    def _listed(self, where: KeyRange) -> Iterator[SessionInfo]:
        return (replace(info, count=None) for info in sessions_of(self.pages(where)))

    def has_session(self, session: str) -> bool:
        """Return whether the session holds at least one message."""
        answer = self._ask(self._index, [equal(session)], None, False, 1)
        return bool(answer.page)

    def chunks(self, where: KeyRange, count: int) -> list[KeyRange]:
        """Split a range between sessions into chunks of about equal row count.

        The split points are random rows. Ids of one table share a prefix and are random behind it.
        """
        (first,) = self._edge_ids(newest_first=False) or ("",)
        (last,) = self._edge_ids(newest_first=True) or ("",)
        shared = len(os.path.commonprefix([first, last]))  # noqa: RUF071  # of letters, not of folders
        sessions: set[str] = set()
        for _ in range(min(count, _MOST_PROBES)):
            probe = first[:shared] + "".join(random.choices(ALPHABET, k=8))  # noqa: S311
            answer = self._ask("by_id", _range(("gte", probe), None), None, False, 1)
            sessions.update(row.session for row in self._reader.page(answer.page).rows if isinstance(row.session, str))
        return cut(where, [Position(session, BEFORE_ALL_TIMES, "") for session in sorted(sessions, key=sort_key)])

    def _edge_ids(self, *, newest_first: bool) -> list[str]:
        answer = self._ask("by_id", [], None, newest_first, 1)
        return [row.id for row in self._reader.page(answer.page).rows]

    def neighbours(self, session: str) -> list[str]:
        """Return ids of sessions near `session` in the index, found one by one."""
        near: list[str] = []
        lower: Bound = ("gte", session[: len(session) // 2])
        for _ in range(_NEIGHBOURS):
            answer = self._ask(self._index, _range(lower, None), None, False, 1)
            if not answer.page:
                break
            found = self._reader.row(bytes(answer.page[0])).session
            if isinstance(found, str):
                near.append(found)
            lower = ("gt", found)
        return near

    def _walk(self, index: str, clauses: list[Clause], newest_first: bool) -> Iterator[Page]:
        cursor: str | None = None
        while True:
            ask = partial(self._ask, index, clauses, cursor, newest_first)
            answer = self._pace.call(ask)
            page = self._reader.page(answer.page)
            if page.rows:
                yield page
            if answer.is_done:
                return
            cursor = answer.continue_cursor

    def _ask(
        self, index: str, clauses: list[Clause], cursor: str | None, newest_first: bool, rows: int
    ) -> DocumentsAnswer:
        return read_documents(
            self._client.call(documents_call((self._table, index), clauses, cursor, newest_first, rows))
        )


def documents_call(
    place: tuple[str, str], clauses: list[Clause], cursor: str | None, newest_first: bool, rows: int
) -> Call:
    """Return the call that reads a page of documents.

    Args:
        place: table and index.
        clauses: the range of the index.
        cursor: of the page before.
        newest_first: in reverse order.
        rows: most rows of the page.
    """
    table, index = place
    expression: Clause = {
        "clauses": [],
        "order": "desc" if newest_first else "asc",
        "index": {"name": index, "clauses": clauses},
    }
    args = {
        "table": table,
        "filters": base64.b64encode(msgspec.json.encode(expression)).decode(),
        "paginationOpts": {"numItems": float(rows), "cursor": cursor},
    }
    return Call("query", _DOCUMENTS, args)


def read_documents(result: Result) -> DocumentsAnswer:
    """Return the page of a `documents_call`.

    Raises:
        FunctionFailed: the range was refused.
        Unreachable: the result is no page.
    """
    answer = result.read(_page)
    _raise_page_error(answer)
    return answer


def _raise_page_error(answer: DocumentsAnswer) -> None:
    """These queries report their own errors as page elements without an ``_id``."""
    for raw in answer.page[:1]:
        element = msgspec.json.decode(raw)
        if "_id" not in element and "error" in element:
            raise FunctionFailed(str(element["error"]), data={"code": "bad_filter", "message": element["error"]})


def _session_clauses(where: KeyRange) -> list[list[Clause]]:
    """Return the index ranges, in order, that hold the rows of `where`, and those of the same time before `resume`."""
    resume = where.resume
    if where.session is not None:
        since = where.after if resume is None else resume.time
        return [[equal(where.session), *_range(_bound("gte", since), _bound("lt", where.before))]]
    upper = _bound("lt", where.stop if where.until is None else where.until.session)
    if resume is None:
        return [_range(_bound("gte", where.first), upper)]
    if resume.time == BEFORE_ALL_TIMES:
        return [_range(("gte", resume.session), upper)]
    rest_of_session = [equal(resume.session), *_range(("gte", resume.time), None)]
    return [rest_of_session, _range(("gt", resume.session), upper)]


def equal(value: Value) -> Clause:
    """Return the clause for documents with this value in the next field of the index."""
    return {"type": "indexEq", "enabled": True, "value": _spelled(value)}


def _bound(operator: str, value: Value) -> Bound | None:
    return None if value is None else (operator, value)


def _range(lower: Bound | None, upper: Bound | None) -> list[Clause]:
    """Return the clause with these bounds; none without bounds."""
    clause: Clause = {"type": "indexRange", "enabled": True}
    if lower:
        clause |= {"lowerOp": lower[0], "lowerValue": _spelled(lower[1])}
    if upper:
        clause |= {"upperOp": upper[0], "upperValue": _spelled(upper[1])}
    return [clause] if lower or upper else []


def _spelled(value: Value) -> Json:
    return _UNDEFINED if value is MISSING else encode(value)


Key = Callable[[Position], tuple[Any, ...]]


class _Pass:
    """One pass over a range: checks every page, and resumes by key where a cursor dies.

    Args:
        read: yields the pages of the range that follow a position, and perhaps some rows before it.
        key: sort key of the range.
        inside: returns whether a row belongs to the range.
        newest_first: the order is reversed; then nothing is resumed.
    """

    def __init__(
        self,
        read: Callable[[Position | None], Iterator[Page]],
        key: Key,
        inside: Callable[[Position], bool],
        newest_first: bool,
    ) -> None:
        self._read = read
        self._key = key
        self._inside = inside
        self._newest_first = newest_first

    def pages(self, resume: Position | None) -> Iterator[Page]:
        """Yield the pages that follow a position."""
        while True:
            last: Position | None = None
            try:
                for page in self._read(resume):
                    self._skip(page, resume)
                    if page.count:
                        last = self._checked(page, last)
                        yield page
            except FunctionFailed as error:
                if last is None or self._newest_first or not _may_be_cursor(error):
                    raise
                resume = last
            else:
                return

    def _skip(self, page: Page, resume: Position | None) -> None:
        """Remove the rows up to a position: the first page after it begins with rows of the same time."""
        if resume is not None and page.count and self._key(_position(page, 0)) <= self._key(resume):
            after = self._key(resume)
            page.keep([place for place in range(page.count) if self._key(_position(page, place)) > after])

    def _checked(self, page: Page, before: Position | None) -> Position:
        """Return the position of the last row.

        Raises:
            Refused: a row is out of order or outside the range.
        """
        first, last = _position(page, 0), _position(page, -1)
        keys = _keys(page, self._key)
        edges = [self._key(at) for at in (before, first) if at is not None]
        ordered = all(all(map(gt if self._newest_first else lt, found, found[1:])) for found in (keys, edges))
        # Of rows in order, the first and the last show whether all are inside.
        if ordered and self._inside(first) and self._inside(last):
            return last
        raise Refused(
            "the dashboard's queries of this deployment answer with other rows than requested: its backend is too old "
            "or too new for them.",
            hint=[("instead", "deploy convexMsgs (convex-msgs init) and read with --via functions")],
        )


def _position(page: Page, place: int) -> Position:
    batch = page.batch
    return Position(batch.sessions[place], batch.times[place], batch.ids[place])


def _keys(page: Page, key: Key) -> list[Any]:
    batch = page.batch
    if key is _time_key:
        return list(zip(batch.times, batch.ids, strict=True))
    if {*map(type, batch.sessions)} == {str}:  # text sorts as its UTF-8 bytes do, so the columns are the keys
        return list(zip(batch.sessions, batch.times, batch.ids, strict=True))
    return [key(_position(page, place)) for place in range(page.count)]


def _time_key(at: Position) -> tuple[float, str]:
    return at.time, at.id


def _in_key_range(at: Position, where: KeyRange) -> bool:
    if where.session is not None:
        return at.session == where.session and _in_time_range(at, where)
    session = sort_key(at.session)
    above = where.first is None or session >= sort_key(where.first)
    return above and (where.stop is None or session < sort_key(where.stop))


def _in_time_range(at: Position, where: KeyRange | TimeRange) -> bool:
    return (where.after is None or at.time >= where.after) and (where.before is None or at.time < where.before)


def _may_be_cursor(error: FunctionFailed) -> bool:
    """Return whether a failure after the first page can be caused by the cursor.

    In production a dead cursor may fail as "Server Error". By then pages have shrunk to one row, so size is not
    the reason.
    """
    died = isinstance(error.data, dict) and error.data.get("paginationError") == "InvalidCursor"
    return died or error.data is None
