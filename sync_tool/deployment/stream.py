"""The ``stream`` door: every change of one table through ``POST /api/v1/data/sync``, in the order it happened.

Source: get-convex/convex-backend, ``crates/local_backend/src/streaming_export.rs`` (wire, refusals) and
``crates/table_iteration/src/data_sync.rs`` (what the pages promise together).
"""

from __future__ import annotations

import re
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, Final, Literal, NamedTuple, cast

import msgspec

from sync_tool.deployment.answers import Answer
from sync_tool.deployment.client import Client, refusal
from sync_tool.deployment.rates import Throttle
from sync_tool.errors import CursorExpired, NoStreaming, Refused, Unreachable
from sync_tool.parallel.ordered import map_in_order
from sync_tool.rows.model import Names, Page
from sync_tool.rows.reading import RowReader

# A JSON object of any size, in a file, whose one long array is read in pieces. An answer of ``data/sync`` may have
# hundreds of megabytes, and what a reader must know first (the cursor) comes last. So the file is gone through once,
# a window at a time, to find where the array's elements begin and end.

_WINDOW: Final = 1 << 20
_LONGEST: Final = 64 << 20
"""No element is as long, nor what stands around the array: a document has 1 MiB, of which JSON makes six at most."""

_DEEPEST: Final = 24
"""Documents are nested 16 deep at most; around them are a few more."""


def _inside(depth: int) -> bytes:
    """Return a pattern for what stands between two brackets; none of it is ever gone through twice."""
    flat = rb'[^"{}\[\]]++|' + _STRING
    inside = rb"(?:%b)*+" % flat
    for _ in range(depth):
        inside = rb"(?:%b|[{\[]%b[}\]])*+" % (flat, inside)
    return inside


_STRING: Final = rb'"(?:[^"\\]++|\\.)*+"'
_INSIDE: Final = _inside(_DEEPEST)
_VALUE: Final = rb'(?:[{\[]%b[}\]]|%b|[^",{}\[\]\s]++)' % (_INSIDE, _STRING)
_MEMBER: Final = rb"\s*+%b\s*+:\s*+%b\s*+," % (_STRING, _VALUE)
_ELEMENT: Final = rb"\{%b\}" % _INSIDE
_RUN: Final = rb"\s*+(%b(?:\s*+,\s*+%b)*+)" % (_ELEMENT, _ELEMENT)

_FIRST_RUN: Final = re.compile(_RUN, re.DOTALL)
_NEXT_RUN: Final = re.compile(rb"\s*+," + _RUN, re.DOTALL)
_END: Final = re.compile(rb"\s*+\]")


class LongAnswer:
    """The index of one file.

    Args:
        file: holds one JSON object.
        member: the member of that object whose value is the long array of objects.

    Raises:
        ValueError: it does not.

    Attributes:
        rest: the same object with the array empty, as JSON text.
    """

    def __init__(self, file: BinaryIO, member: str) -> None:
        self._file = file
        self._pieces = array("Q")
        """Offsets: begin and end of the first piece, of the second one, …; each holds whole elements."""
        head = re.compile(rb'\s*+\{(?:%b)*?\s*+"%b"\s*+:\s*+\[' % (_MEMBER, member.encode()), re.DOTALL)
        file.seek(0)
        window = file.read(_WINDOW)
        while (begin := head.match(window)) is None:
            window = self._longer(window)
        self.rest = begin[0] + b"]" + self._index(window, begin.end())

    def pieces(self) -> Iterator[bytes]:
        """Yield the array's elements, some at a time, as JSON arrays; as often as wanted."""
        offsets = self._pieces
        for index in range(0, len(offsets), 2):
            self._file.seek(offsets[index])
            yield b"[" + self._file.read(offsets[index + 1] - offsets[index]) + b"]"

    def _index(self, window: bytes, position: int) -> bytes:
        """Go through the array that begins there; return what follows it."""
        base, run = 0, _FIRST_RUN
        while (end := _END.match(window, position)) is None:
            if found := run.match(window, position):
                self._pieces.extend((base + found.start(1), base + found.end(1)))
                position, run = found.end(), _NEXT_RUN
            else:
                base, window, position = base + position, self._longer(window[position:]), 0
        after = window[end.end() :] + self._file.read(_LONGEST)
        if len(after) >= _LONGEST:
            raise ValueError("a text in it is too long")
        return after

    def _longer(self, window: bytes) -> bytes:
        """Return the window with more of the file behind it."""
        more = self._file.read(_WINDOW)
        if not more:
            raise ValueError("it ends too early, or is nested too deeply")
        if len(window) > _LONGEST:
            raise ValueError("a text in it is too long")
        return window + more


_PATH: Final = "/api/v1/data/sync"
_IN_MEMORY: Final = 16 << 20
"""A longer answer is kept in a file, and gone through there piece by piece."""
_AHEAD_BYTES: Final = 8 << 20
"""As long as less is waiting, one more answer is asked for."""
_AT_A_TIME: Final = 1000
_EXPIRED: Final = "DataSyncCursorExpired"

INVALID_CURSOR: Final = "InvalidDataSyncCursor"
"""`Refused.code` where a cursor is of another deployment, or ahead of this one."""

_DAY: Final = 86_400 * 10**9
_DAYS: Final = (1, 2, 3, 4, 5, 6, 7, 10, 14, 21, 30, 60, 90)
"""Which retentions are told apart. Convex: 14 by default, 2 in the compose file for self-hosting."""

_TOO_OLD: Final = "this backend is too old to stream changes"
_UPDATE: Final = (("needed", "a backend of July 2026 or newer"),)


class _Status(msgspec.Struct, rename="camel"):
    type: Literal["snapshotting", "stale", "upToDate"]
    snapshot_ts: int | None = None


class _Named(msgspec.Struct, gc=False):
    component: str
    table: str


class _Pagination(msgspec.Struct, rename="camel"):
    next_cursor: str


class _Head(msgspec.Struct):
    status: _Status
    truncates: list[_Named]
    pagination: _Pagination


class _Revision(_Named, gc=False):
    ts: int
    deleted: bool
    value: msgspec.Raw


class _Answer(_Head):
    values: list[_Revision]


_head = msgspec.json.Decoder(_Head).decode
_answer = msgspec.json.Decoder(_Answer).decode
_revisions = msgspec.json.Decoder(list[_Revision]).decode


class Changes(NamedTuple):
    """Revisions of documents, in the order in which they are to be taken: as they were written, or deleted."""

    rows: Page
    """The whole documents, in canonical spelling; of one that was deleted, its ``_id``."""
    ts: list[int]
    """When each was committed, int64 nanoseconds since 1970; of one document it only rises."""
    deleted: list[bool]
    """Which of them are that it was deleted."""


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Changes that belong together with the cursor after them: save both in one step, or neither."""

    changes: Iterator[Changes]
    """Read from the answer as they are asked for, some at a time.

    A document may come several times, with a greater moment each time."""
    truncated: bool
    """Everything recorded of this table before this page is void; its own changes stand."""
    cursor: str
    """Opaque; `StreamReader.pages` from it gives exactly what follows this page."""
    up_to_date: bool
    """Nothing newer was there: the last page of a pass."""
    snapshot: int | None
    """The moment, int64 nanoseconds since 1970, at which all pages so far together equal the table.

    None while that is not so yet: in the middle of the first pass."""
    bytes: int
    """Size of the answer that brought this page."""


class StreamReader:
    """Reads the changes of one table.

    Args:
        client: of the deployment.
        names: how the table and its fields are called.
        bytes_per_second: most to read a second, on average.
    """

    name = "stream"

    def __init__(self, client: Client, names: Names, bytes_per_second: float | None = None) -> None:
        self._client = client
        self._table = names.table
        self._reader = RowReader(names)
        self._throttle = Throttle(bytes_per_second)

    def pages(self, cursor: str | None) -> Iterator[ChangePage]:
        """Yield what changed after a cursor, until there is nothing newer; with None, from the beginning.

        The next pages are asked for while the caller is at work on this one. Some tens of megabytes are held in memory
        whatever the size of a page: one of more than 16 MiB is in a temporary file. A table that was dropped says
        nothing, and is truncated when there is one of its name again.

        Raises:
            CursorExpired: what follows the cursor is no longer kept: read from the beginning.
            NoStreaming: the plan has no streaming export, or the backend is too old to know the endpoint.
            Refused: the key may not (``OperationNotPermitted``), or the cursor is of another deployment
                (``InvalidDataSyncCursor``).
            OutputError: the temporary folder has no space left.
            Unreachable: no usable answer after retries.
        """
        return map_in_order([partial(self._pages, cursor)], 1, waiting=_AHEAD_BYTES)

    def _pages(self, cursor: str | None) -> Iterator[ChangePage]:
        while True:
            page = self._page(cursor)
            yield page
            if page.up_to_date:
                return
            self._throttle.wait(page.bytes)
            cursor = page.cursor

    def check(self) -> None:
        """See whether plan, key and backend let changes be streamed; reads nothing.

        Raises:
            NoStreaming: the plan has no streaming export, or the backend is too old.
            Refused: the key may not.
            Unreachable: no usable answer after retries.
        """
        body = {"cursor": "none", "selection": self._selection}
        answer = self._client.http.post(_PATH, msgspec.json.encode(body))  # the cursor is looked at last
        if answer.code != INVALID_CURSOR:
            raise self._refusal(answer)

    def kept_days(self) -> int | None:
        """Return for how many days, at least, changes are kept; 0 if for less than one, None where none can tell.

        No endpoint says it, but one that reads nothing (and came in August 2026) refuses moments before that.
        """
        now = time.time_ns()
        low, high = 0, len(_DAYS)
        while low < high:
            middle = (low + high) // 2
            answer = self._ask_since(now - _DAYS[middle] * _DAY)
            if answer.status == 200:
                low = middle + 1
            elif answer.code == _EXPIRED:
                high = middle
            else:
                return None
        return _DAYS[low - 1] if low else 0

    @property
    def _selection(self) -> dict[str, Any]:
        return {"_other": "excluded", "": {"_other": "excluded", self._table: {"_other": "included"}}}

    def _ask_since(self, ts: int) -> Answer:
        """Ask for a cursor that stands at a moment, nanoseconds since 1970."""
        body = msgspec.json.encode({"cursor": ts, "selection": self._selection})
        return self._client.http.post("/api/data_sync_cursor_from_deltas", body)

    def _page(self, cursor: str | None) -> ChangePage:
        asked = {"selection": self._selection} if cursor is None else {"selection": self._selection, "cursor": cursor}
        with ExitStack() as stack:
            file = cast("BinaryIO", stack.enter_context(SpooledTemporaryFile(_IN_MEMORY)))
            answer = self._client.http.post_into(_PATH, msgspec.json.encode(asked), file)
            if answer.status != 200:
                raise self._refusal(answer)
            try:
                head, pieces = _read_short(file) if answer.size <= _IN_MEMORY else _read_long(file, stack)
            except msgspec.ValidationError:
                raise NoStreaming(f"{_TOO_OLD}: data/sync answers in a form of its first days.", hint=_UPDATE) from None
            except (ValueError, RecursionError) as error:
                raise self._garbled(error) from None
        return ChangePage(
            changes=self._changes(pieces),
            truncated=any(self._ours(truncate) for truncate in head.truncates),
            cursor=head.pagination.next_cursor,
            up_to_date=head.status.type == "upToDate",
            snapshot=head.status.snapshot_ts,
            bytes=answer.size,
        )

    def _changes(self, pieces: Iterator[Sequence[_Revision]]) -> Iterator[Changes]:
        """Yield the changes of one answer.

        Raises:
            Unreachable: they are not what a deployment sends.
        """
        try:
            for piece in pieces:
                yield self._read([revision for revision in piece if self._ours(revision)])
        except (ValueError, RecursionError) as error:
            raise self._garbled(error) from None

    def _read(self, revisions: list[_Revision]) -> Changes:
        rows = self._reader.exported_page([bytes(revision.value) for revision in revisions])
        if not all(rows.block.ids if rows.block is not None else [row.id for row in rows.rows]):
            raise ValueError("a document has no _id")
        return Changes(rows, [revision.ts for revision in revisions], [revision.deleted for revision in revisions])

    def _ours(self, named: _Named) -> bool:
        return named.table == self._table and not named.component

    def _garbled(self, error: Exception) -> Unreachable:
        return Unreachable(f"the changes of {self._client.url} came garbled: {error}.")

    def _refusal(self, answer: Answer) -> Refused:
        if answer.code == _EXPIRED:
            return CursorExpired(
                "the deployment no longer keeps what changed since the last time.",
                code=answer.code,
                hint=[("needed", "a full pass"), ("to avoid it", "run more often than changes are kept")],
            )
        if answer.code == INVALID_CURSOR:
            return Refused(
                "the deployment does not know the position where the last time ended: it is of another deployment, "
                "or this one was set back to an earlier state.",
                code=answer.code,
                hint=[("if it is the right one", "a full pass finds everything")],
            )
        if answer.status == 404:
            return NoStreaming(f"{_TOO_OLD}: it has no data/sync.", code=answer.code, hint=_UPDATE)
        return refusal(answer, self._client.url)


def _read_short(file: BinaryIO) -> tuple[_Head, Iterator[Sequence[_Revision]]]:
    """Read an answer at once.

    Raises:
        ValueError: it is no such answer; `msgspec.ValidationError` where its head is another than expected.
    """
    file.seek(0)
    data = file.read()
    try:
        answer = _answer(data)
    except msgspec.ValidationError as error:
        _head(data)
        raise ValueError(str(error)) from None
    values = answer.values
    return answer, (values[start : start + _AT_A_TIME] for start in range(0, len(values), _AT_A_TIME))


def _read_long(file: BinaryIO, stack: ExitStack) -> tuple[_Head, Iterator[Sequence[_Revision]]]:
    """Read an answer of any size, piece by piece; `stack` is closed with the last one.

    Raises:
        ValueError: as `_read_short`; of a piece, when that is read.
    """
    long = LongAnswer(file, "values")
    head, left = _head(long.rest), stack.pop_all()

    def pieces() -> Iterator[Sequence[_Revision]]:
        with left:
            yield from map(_revisions, long.pieces())

    return head, pieces()
