"""Convex's ``.paginate()``.

Source: get-convex/convex-backend, ``crates/isolate/src/environment/udf/async_syscall.rs`` (``query_page``),
``crates/database/src/query/index_range.rs``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sync_tool.encoding.validators import NULL, NUMBER, STRING, obj, optional, union
from sync_tool.encoding.values import Value
from sync_tool.sandbox import limits
from sync_tool.sandbox.database.documents import Row
from sync_tool.sandbox.database.transaction import Interval, LimitError, after
from sync_tool.sandbox.faults import FunctionError, developer_error
from sync_tool.sandbox.functions.registry import Context

# ``paginationOptsValidator`` of convex/server.
PAGINATION_OPTS: Final = obj(
    {
        "numItems": NUMBER,
        "cursor": union(STRING, NULL),
        "endCursor": optional(union(STRING, NULL)),
        "id": optional(NUMBER),
        "maximumRowsRead": optional(NUMBER),
        "maximumBytesRead": optional(NUMBER),
    }
)

_SPLIT_ROWS: Final = limits.MAX_DOCUMENTS_READ * 3 // 4
_SPLIT_BYTES: Final = limits.MAX_BYTES_READ * 3 // 4
_SPLIT_LENGTH: Final = 6_144


@dataclass(frozen=True)
class Paged:
    """Query to be paged; the fingerprint distinguishes it from other queries."""

    span: Interval
    descending: bool
    fingerprint: bytes
    keep: Callable[[Row], bool] | None = None


class _Page:
    """Page while it is read."""

    def __init__(self, paged: Paged, start: bytes | None) -> None:
        self.paged = paged
        self.rows: list[Row] = []
        self.keys: list[bytes] = []
        self.last = start
        self.bytes_read = 0
        self.ended = False
        self.status: str | None = None

    def fill(self, ctx: Context, span: Interval, opts: dict[str, Any]) -> None:
        """Read until the page is full, a limit is reached or the range ends."""
        is_bounded = opts.get("endCursor") is None
        rows = ctx.db.scan(span, descending=self.paged.descending)
        try:
            while not (is_bounded and len(self.rows) >= opts["numItems"]):
                if is_bounded and self._is_spent(opts):
                    self.status = "SplitRequired"
                    return
                row = next(rows, None)
                if row is None:
                    self.ended = True
                    return
                self._take(row)
        except LimitError:
            if not self.keys:
                raise
            self.status = "SplitRequired"

    def _is_spent(self, opts: dict[str, Any]) -> bool:
        return bool(
            len(self.keys) >= opts.get("maximumRowsRead", limits.MAX_DOCUMENTS_READ + 1)
            or self.bytes_read >= opts.get("maximumBytesRead", limits.MAX_BYTES_READ + 1)
        )

    def _take(self, row: Row) -> None:
        self.last = row.key
        self.keys.append(row.key)
        self.bytes_read += row.size
        if self.paged.keep is None or self.paged.keep(row):
            self.rows.append(row)

    def page_status(self, opts: dict[str, Any]) -> str | None:
        """Return a status if the page is close to a limit."""
        rows = opts.get("maximumRowsRead", limits.MAX_DOCUMENTS_READ) * 3 // 4
        size = opts.get("maximumBytesRead", limits.MAX_BYTES_READ) * 3 // 4
        near = len(self.keys) > min(rows, _SPLIT_ROWS) or self.bytes_read > min(size, _SPLIT_BYTES)
        return self.status or ("SplitRecommended" if near or len(self.rows) > _SPLIT_LENGTH else None)


def paginate(ctx: Context, paged: Paged, opts: dict[str, Any]) -> Value:
    """Return one page: ``page``, ``isDone``, ``continueCursor``, ``splitCursor``, ``pageStatus``.

    A page that is exactly full is never the last: only a read past the end proves the end.
    """
    _check(opts)
    cursors, fingerprint = ctx.facts.cursors, paged.fingerprint
    start = None if opts["cursor"] is None else cursors.read(opts["cursor"], fingerprint)
    end_text = opts.get("endCursor")
    end = None if end_text is None else cursors.read(end_text, fingerprint)
    page = _Page(paged, start)
    if opts["cursor"] is not None and start is None:
        page.ended = True
    else:
        page.fill(ctx, _remaining(paged, start, end), opts)
    middle = page.keys[len(page.keys) // 2] if len(page.keys) > 2 else None
    last = end if end_text is not None else None if page.ended else page.last
    return {
        "page": page.rows,
        "isDone": last is None,
        "continueCursor": cursors.write(fingerprint, last),
        "splitCursor": None if middle is None else cursors.write(fingerprint, middle),
        "pageStatus": page.page_status(opts),
    }


def _check(opts: dict[str, Any]) -> None:
    items = opts["numItems"]
    if not items.is_integer() or items < 0:
        raise FunctionError(
            f"Uncaught Error: `options.numItems` must be a positive number. Received `{items}`.", thrown=True
        )
    if items == 0:
        raise developer_error("Must request at least 1 document while paginating")
    if items > limits.MAX_DOCUMENTS_READ:
        raise developer_error(f"Requested too many items: {int(items)}")
    if opts.get("maximumRowsRead") == 0 or opts.get("maximumBytesRead") == 0:
        raise developer_error("maximumRowsRead and maximumBytesRead must be greater than 0")


def _remaining(paged: Paged, start: bytes | None, end: bytes | None) -> Interval:
    """Return the part of the range between start and end, in reading direction."""
    index, low, high = paged.span
    if paged.descending:
        high = high if start is None else min(high, start)
        low = low if end is None else max(low, end)
    else:
        low = low if start is None else max(low, after(start))
        high = high if end is None else min(high, after(end))
    return Interval(index, low, max(low, high))
