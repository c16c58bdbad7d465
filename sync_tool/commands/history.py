"""A source of messages as programs and notebooks use it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from sync_tool.commands.selection import SelectionKeywords, SelectionOptions
from sync_tool.encoding.order import MISSING
from sync_tool.encoding.values import encode
from sync_tool.errors import UsageError
from sync_tool.keywords import strict_keywords
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Names, Position, Row, Selection, SessionInfo
from sync_tool.rows.ports import Kind, Source
from sync_tool.text import moment, one_line, padded, shortened

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from langchain_core.messages import BaseMessage

_WIDEST_COLUMN = 40
_WORDS_COLUMNS = 60


class History(Source):
    """The messages of a deployment, file, archive or store. As a context manager it closes its connections.

    It is a `Source` itself: every function of the library takes it, and so does `sync_tool.rows.ports`.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    def __repr__(self) -> str:
        return repr(self._source)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def names(self) -> Names:
        """Names of the table and its fields."""
        return self._source.names

    @property
    def title(self) -> str:
        """Short name for people."""
        return self._source.title

    @property
    def method(self) -> str:
        """Method of reading, with the reason."""
        return self._source.method

    @property
    def live(self) -> bool:
        """True where an app may write while rows are read."""
        return self._source.live

    @property
    def partial(self) -> bool:
        """True if it is known to hold only a selection of a table."""
        return self._source.partial

    @strict_keywords(SelectionOptions)
    def sessions(
        self, recent: int | None = None, *, count: bool = False, **selection: Unpack[SelectionKeywords]
    ) -> Sessions:
        """List sessions.

        Args:
            recent: only this many, newest first, with their last human words.
            count: also count their messages, which reads every one of them.
            selection: which sessions; all without it.
        """
        if recent is not None:
            if count or selection:
                raise UsageError("the newest sessions of all are listed; that does not go with a selection or count.")
            return Sessions(self.recent_sessions(recent), recent=True)
        return Sessions(self.list_sessions(SelectionOptions(**selection).selection(), count=count))

    @strict_keywords(SelectionOptions)
    def messages(self, one: str | None = None, /, **selection: Unpack[SelectionKeywords]) -> Messages:
        """Return messages in session order; nothing is read before the first one is used.

        Args:
            one: only this session; the same as ``session=``.
            selection: `SelectionOptions`, such as ``after`` and ``before``.
        """
        if one is not None:
            selection["session"] = one
        return Messages(self._source, SelectionOptions(**selection).selection())

    def pages(
        self, selection: Selection, resume: Position | None = None, *, missing_ok: bool = False
    ) -> Iterator[Page]:
        """Yield the selected rows in session order (`Source`)."""
        return self._source.pages(selection, resume, missing_ok=missing_ok)

    def resolve(self, selection: Selection) -> Selection | None:
        """Return the selection with `active_after` replaced by the ids of those sessions; None if there are none."""
        return self._source.resolve(selection)

    def next_time(self, since: float) -> float | None:
        """Return the first creation time at or after `since`, ms since 1970; None if there is none."""
        return self._source.next_time(since)

    def list_sessions(self, selection: Selection, *, count: bool = False) -> Iterator[SessionInfo]:
        """Yield the selected sessions in order; `sessions` is the friendly form."""
        return self._source.list_sessions(selection, count=count)

    def recent_sessions(self, limit: int) -> list[SessionInfo]:
        """Return the `limit` sessions with the newest messages, newest first, with their last human words."""
        return self._source.recent_sessions(limit)

    def sample(self) -> Page:
        """Return a few rows, for estimates of size."""
        return self._source.sample()

    def count(self) -> int | None:
        """Return the number of rows of the whole table if it is known without reading them."""
        return self._source.count()

    def capability(self, kind: type[Kind]) -> Kind | None:
        """Return what it opened as `kind`; None if that cannot do such work."""
        return self._source.capability(kind)

    def close(self) -> None:
        """Close connections and files."""
        self._source.close()


class Messages:
    """A lazy sequence of rows: read anew at each iteration, a few pages in memory at a time."""

    def __init__(self, source: Source, selection: Selection) -> None:
        self._source = source
        self._selection = selection

    def __repr__(self) -> str:
        return f"<Messages of {self._source.title}>"

    def __iter__(self) -> Iterator[Row]:
        with closing(self._source.pages(self._selection)) as pages:  # type: ignore[type-var]
            for page in pages:
                yield from page.rows

    def to_arrow(self) -> pa.Table:
        """Read everything into an Arrow table, columns exactly as in the Parquet files."""
        from sync_tool.files.parquet import to_table

        return to_table(self._source.pages(self._selection), self._source.names, self._source.title)

    def to_pandas(self) -> pd.DataFrame:
        """Read everything into a pandas DataFrame (needs pandas), columns exactly as in the Parquet files."""
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def to_langchain(self) -> list[BaseMessage]:
        """Read everything into LangChain's messages (needs the extra ``langchain``), in whatever form they are stored.

        Raises:
            Damaged: a row that holds no message that LangChain reads; names it.
            UsageError: LangChain is not installed.
        """
        try:
            from sync_tool.langchain import message_of
        except ModuleNotFoundError as error:
            raise UsageError(
                str(error), hint=[("install", "pip install '.[langchain]', in a checkout of convex-msgs")]
            ) from None
        return [message_of(row) for row in self]


class Sessions(list[SessionInfo]):
    """A list of sessions that prints as a table."""

    def __init__(self, sessions: Iterable[SessionInfo], *, recent: bool = False) -> None:
        super().__init__(sessions)
        self._recent = recent

    def __str__(self) -> str:
        return "\n".join(self.lines())

    __repr__ = __str__

    def lines(self, now: datetime | None = None) -> Iterator[str]:
        """Yield the table's lines. Times are shown in the local time zone."""
        now = now or datetime.now().astimezone()
        columns = [("SESSION", [_shown(info) for info in self])]
        recent = self._recent
        if not recent:
            columns.append(("FIRST", [_when(info.first, now) for info in self]))
        columns.append(("LAST MESSAGE" if recent else "LAST", [_when(info.last, now) for info in self]))
        if any(info.count is not None for info in self):
            columns.append(("MESSAGES", [f"{info.count or 0:,}" for info in self]))
        if recent:
            columns.append(("LAST HUMAN WORDS", [shortened(info.words or "", _WORDS_COLUMNS) for info in self]))
        return _table(columns)

    def to_pandas(self) -> pd.DataFrame:
        """Return the list as a pandas DataFrame (needs pandas); times as UTC timestamps."""
        import pandas as pd

        frame = pd.DataFrame([asdict(info) for info in self], columns=list(SessionInfo.__dataclass_fields__))
        for name in ("first", "last"):
            frame[name] = pd.to_datetime(frame[name], unit="ms", utc=True)
        return frame


def session_text(session: object) -> str:
    """Return a session id of any kind as text: strings as they are, other values as JSON."""
    if isinstance(session, str):
        return session
    return "(no id)" if session is MISSING else json.dumps(encode(session))


def _shown(info: SessionInfo) -> str:
    text = one_line(session_text(info.session))
    return text if text.strip() else repr(text)


def _when(milliseconds: float | None, now: datetime) -> str:
    time = moment(milliseconds)
    if time is None:
        return "-"
    time = time.astimezone(now.tzinfo)
    if time.date() == now.date():
        return f"today {time:%H:%M}"
    if time.date() == (now - timedelta(days=1)).date():
        return f"yesterday {time:%H:%M}"
    return f"{time:%Y-%m-%d %H:%M}"


def _table(columns: list[tuple[str, list[str]]]) -> Iterator[str]:
    from sync_tool.text import columns as width_of

    widths = [min(_WIDEST_COLUMN, max(width_of(text) for text in (title, *cells))) for title, cells in columns]
    yield "  ".join(padded(title, width) for (title, _), width in zip(columns, widths, strict=True)).rstrip()
    for cells in zip(*(cells for _, cells in columns), strict=True):
        yield "  ".join(padded(text, width) for text, width in zip(cells, widths, strict=True)).rstrip()
