"""Reader of the changes of one table, in their order, through ``POST /api/v1/data/sync``.

Source: get-convex/convex-backend, ``crates/local_backend/src/streaming_export.rs`` (wire, refusals) and
``crates/table_iteration/src/data_sync.rs`` (guarantees of the pages).
"""

from __future__ import annotations

import json
import re
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
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
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Names
from sync_tool.rows.reading import RowReader

# Bytes of a file that are scanned at a time, and of one chunk.
_WINDOW: Final = 1 << 20
# Bytes of the longest element: a document has 1 MiB, which JSON escapes to 6 MiB at most.
_LONGEST: Final = 64 << 20

_BROKEN: Final = "it is cut off, or no object with such an array"
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_scan: Final = json.JSONDecoder().raw_decode


class LongAnswer:
    """A JSON object in a file, with one long array of objects that is read in chunks.

    An answer of ``data/sync`` may have hundreds of megabytes, and its cursor comes last. So the file is scanned once,
    a window at a time, for the places of the elements.

    Args:
        file: holds one JSON object.
        member: name of the long array.

    Raises:
        ValueError: it holds something else.

    Attributes:
        rest: the same object with the array empty, as JSON text.
    """

    def __init__(self, file: BinaryIO, member: str) -> None:
        self._file = file
        self._chunks = array("Q")
        """Offsets: begin and end of the first chunk, of the second one, …; each holds whole elements."""
        self._text = ""
        """The window. In Latin-1 a character is a byte, and JSON's own characters are ASCII."""
        self._base = self._at = self._kept = 0
        """Offset of the window in the file; in the window, the next character and the first one still needed."""
        file.seek(0)
        self.rest = self._index(member)

    def chunks(self) -> Iterator[bytes]:
        """Yield the array's elements, some at a time, as JSON arrays; as often as wanted."""
        offsets = self._chunks
        for index in range(0, len(offsets), 2):
            self._file.seek(offsets[index])
            yield b"[" + self._file.read(offsets[index + 1] - offsets[index]) + b"]"

    def _index(self, member: str) -> bytes:
        head = None
        self._expect("{")
        while True:
            name = self._value()
            self._expect(":")
            if name == member:
                self._expect("[")
                head = self._text[self._kept : self._at]
                self._find_elements()
                self._kept = self._at - 1
            else:
                self._value()
            if self._expect(",}") == "}":
                break
        if head is None:
            raise ValueError(_BROKEN)
        return (head + self._text[self._kept : self._at]).encode("latin-1")

    def _find_elements(self) -> None:
        """Note the chunks of the array; the window ends up behind it."""
        if self._next() == "]":
            self._at += 1
            return
        offsets = self._chunks
        while True:
            if self._next() != "{":
                raise ValueError(_BROKEN)
            self._kept, begin = self._at, self._base + self._at
            self._value()
            end = self._base + self._at
            if offsets and end - offsets[-2] < _WINDOW:
                offsets[-1] = end
            else:
                offsets.extend((begin, end))
            if self._expect(",]") == "]":
                return

    def _next(self) -> str:
        """Return the next character that is no white space."""
        while True:
            if found := _SPACE.match(self._text, self._at):
                self._at = found.end()
            if self._at < len(self._text):
                return self._text[self._at]
            self._read_more()

    def _expect(self, wanted: str) -> str:
        found = self._next()
        if found not in wanted:
            raise ValueError(_BROKEN)
        self._at += 1
        return found

    def _value(self) -> Any:
        """Decode the next value."""
        self._next()
        while True:
            with suppress(json.JSONDecodeError):
                value, end = _scan(self._text, self._at)
                if end < len(self._text):  # else a number may go on
                    self._at = end
                    return value
            self._read_more()

    def _read_more(self) -> None:
        """Read the next part of the file, and drop what is no longer needed."""
        kept = self._text[self._kept :]
        more = self._file.read(max(_WINDOW, len(kept)))
        if not more or len(kept) > _LONGEST:
            raise ValueError(_BROKEN)
        self._text = kept + more.decode("latin-1")
        self._base, self._at, self._kept = self._base + self._kept, self._at - self._kept, 0


_PATH: Final = "/api/v1/data/sync"
# Bytes of the longest answer that is held in memory; a longer one is read from a file in chunks.
_IN_MEMORY: Final = 16 << 20
# Bytes of answers to read ahead.
_AHEAD_BYTES: Final = 8 << 20
_AT_A_TIME: Final = 1000
_EXPIRED: Final = "DataSyncCursorExpired"

INVALID_CURSOR: Final = "InvalidDataSyncCursor"
"""`Refused.code` of a cursor of another deployment, or one ahead of this deployment."""

_DAY: Final = 86_400 * 10**9
# Retentions to distinguish. Convex keeps 14 days by default, 2 in the compose file for self-hosting.
_DAYS: Final = (1, 2, 3, 4, 5, 6, 7, 10, 14, 21, 30, 60, 90)

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
    """Revisions of documents, in the order in which to apply them."""

    rows: Page
    """The whole documents as canonical JSON; of a deleted one, its ``_id``."""
    ts: list[int]
    """Time of each commit, int64 nanoseconds since 1970; rising for one document."""
    deleted: list[bool]
    """True for each deletion."""


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Changes with the cursor after them: save both in one step, or neither."""

    changes: Iterator[Changes]
    """Decoded one batch at a time. A document may occur several times, with a later commit each time."""
    truncated: bool
    """True if everything recorded of this table before this page is void."""
    cursor: str
    """Opaque; `StreamReader.pages` resumes after this page."""
    up_to_date: bool
    """True for the last page of a pass."""
    snapshot: int | None
    """Time, int64 nanoseconds since 1970, at which the pages so far equal the table; None within the first pass."""
    bytes: int
    """Size of the answer."""


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
        """Yield the changes after a cursor up to the newest; with None, from the beginning.

        Pages are read ahead. Memory is bounded by some tens of megabytes: an answer of more than 16 MiB is in a
        temporary file. A dropped table has no changes, and is truncated when its name is used again.

        Raises:
            CursorExpired: the changes after the cursor are no longer kept: read from the beginning.
            NoStreaming: the plan has no streaming export, or the backend is too old.
            Refused: the key may not (``OperationNotPermitted``), or the cursor is of another deployment
                (``InvalidDataSyncCursor``).
            OutputError: no space left in the temporary folder.
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
        """Check that plan, key and backend allow streaming; reads no document.

        Raises:
            NoStreaming: the plan has no streaming export, or the backend is too old.
            Refused: the key may not.
            Unreachable: no usable answer after retries.
        """
        body = {"cursor": "none", "selection": self._selection}
        answer = self._client.http.request(_PATH, msgspec.json.encode(body))  # checked last of all
        if answer.code != INVALID_CURSOR:
            raise self._refusal(answer)

    def kept_days(self) -> int | None:
        """Return the days, at least, for which changes are kept; 0 for less than one, None if unknown.

        No endpoint returns the retention. One of August 2026, which reads no document, refuses earlier times.
        """
        now = time.time_ns()
        low, high = 0, len(_DAYS)
        while low < high:
            middle = (low + high) // 2
            answer = self._cursor_at(now - _DAYS[middle] * _DAY)
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

    def _cursor_at(self, ts: int) -> Answer:
        """Request a cursor for a time, nanoseconds since 1970."""
        body = msgspec.json.encode({"cursor": ts, "selection": self._selection})
        return self._client.http.request("/api/data_sync_cursor_from_deltas", body)

    def _page(self, cursor: str | None) -> ChangePage:
        body = {"selection": self._selection} if cursor is None else {"selection": self._selection, "cursor": cursor}
        with ExitStack() as stack:
            file = cast("BinaryIO", stack.enter_context(SpooledTemporaryFile(_IN_MEMORY)))
            answer = self._client.http.request(_PATH, msgspec.json.encode(body), into=file)
            if answer.status != 200:
                raise self._refusal(answer)
            try:
                head, batches = _read_short(file) if answer.size <= _IN_MEMORY else _read_long(file, stack)
            except msgspec.ValidationError:
                raise NoStreaming(f"{_TOO_OLD}: data/sync answers in a form of its first days.", hint=_UPDATE) from None
            except (ValueError, RecursionError) as error:
                raise self._garbled(error) from None
        return ChangePage(
            changes=self._changes(batches),
            truncated=any(self._ours(truncate) for truncate in head.truncates),
            cursor=head.pagination.next_cursor,
            up_to_date=head.status.type == "upToDate",
            snapshot=head.status.snapshot_ts,
            bytes=answer.size,
        )

    def _changes(self, batches: Iterator[Sequence[_Revision]]) -> Iterator[Changes]:
        """Yield the changes of one answer.

        Raises:
            Unreachable: the answer is garbled.
        """
        try:
            for revisions in batches:
                yield self._read([revision for revision in revisions if self._ours(revision)])
        except (ValueError, RecursionError) as error:
            raise self._garbled(error) from None

    def _read(self, revisions: list[_Revision]) -> Changes:
        rows = self._reader.exported_page([bytes(revision.value) for revision in revisions])
        if not all(rows.batch.ids):
            raise ValueError("a document has no _id")
        return Changes(rows, [revision.ts for revision in revisions], [revision.deleted for revision in revisions])

    def _ours(self, named: _Named) -> bool:
        return named.table == self._table and not named.component

    def _garbled(self, error: Exception) -> Unreachable:
        return Unreachable(f"the changes of {self._client.url} are garbled: {error}.")

    def _refusal(self, answer: Answer) -> Refused:
        if answer.code == _EXPIRED:
            return CursorExpired(
                "the deployment no longer keeps the changes since the last run.",
                code=answer.code,
                hint=[("needed", "a full pass"), ("to avoid it", "run more often than changes are kept")],
            )
        if answer.code == INVALID_CURSOR:
            return Refused(
                "the deployment does not know the position of the last run: it is of another deployment, or this one "
                "was restored to an earlier state.",
                code=answer.code,
                hint=[("if it is the right one", "a full pass finds everything")],
            )
        if answer.status == 404:
            return NoStreaming(f"{_TOO_OLD}: it has no data/sync.", code=answer.code, hint=_UPDATE)
        return refusal(answer, self._client.url)


def _read_short(file: BinaryIO) -> tuple[_Head, Iterator[Sequence[_Revision]]]:
    """Decode an answer in memory.

    Raises:
        ValueError: it is no such answer; `msgspec.ValidationError` if its head has another form.
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
    """Decode an answer of any size in chunks; `stack` is closed after the last one.

    Raises:
        ValueError: as `_read_short`; of a chunk, when it is read.
    """
    long = LongAnswer(file, "values")
    head, left = _head(long.rest), stack.pop_all()

    def batches() -> Iterator[Sequence[_Revision]]:
        with left:
            yield from map(_revisions, long.chunks())

    return head, batches()
