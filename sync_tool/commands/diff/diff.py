"""``diff``: do these two hold the same?"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Unpack, get_args

from sync_tool.commands.diff.compare import MessageDifference, SessionComparison, compare_histories
from sync_tool.commands.history import session_text
from sync_tool.commands.opening import Openable, opened
from sync_tool.commands.options import By, Difference, DiffKeywords, DiffOptions
from sync_tool.errors import Exit, UsageError
from sync_tool.keywords import strict_keywords
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Row, Selection
from sync_tool.rows.ports import SILENT, Progress, Source
from sync_tool.text import shortened

DIFFERENCES: Final = get_args(Difference)
_WIDEST: Final = 60


@dataclass(frozen=True, slots=True)
class MessageReport:
    """A message that is not the same on both sides."""

    status: str
    """``only_here``, ``only_there`` or ``changed``."""
    n: int
    """Its number in the session: there, where it is only there; else here."""
    id: str
    here: str | None
    """Type and the first words; None where it is not here."""
    there: str | None


@dataclass(frozen=True, slots=True)
class SessionReport:
    """A session that is not the same on both sides."""

    session: str
    status: Difference
    here: int
    """Messages here."""
    there: int
    at: int | None
    """The first message that is not the same, from 1; None where the session is on one side only."""
    longer: str | None
    """``here`` or ``there``: which side has more messages."""
    messages: tuple[MessageReport, ...]
    """The first messages that are not the same, at most ten."""


@dataclass(frozen=True, slots=True)
class DiffReport:
    """Differences of two histories; the object that ``--json`` prints."""

    here: str
    there: str
    by: By
    """``rows`` (ids and times count) or ``history`` (content in order)."""
    same: int
    """Sessions that are the same."""
    only_here: int
    only_there: int
    extended: int
    """Sessions of which one side is the beginning of the other."""
    reordered: int
    """Sessions with the same messages in another order."""
    changed: int
    rows_here: int
    rows_there: int
    sessions: tuple[SessionReport, ...]
    """The first sessions that differ, of the kinds in `only`."""
    seconds: float
    exit_code: int
    """0; 4 if any session has a difference of the kinds in `only`."""


@strict_keywords(DiffOptions)
def diff(here: Openable, there: Openable, **keywords: Unpack[DiffKeywords]) -> DiffReport:
    """Compare two histories session by session, then message by message.

    Args:
        here: an address, a path, or what `connect` or `open` returned.
        there: the same.
        keywords: `DiffOptions`.

    Raises:
        UsageError: neither side holds a selected session; an unknown option or address.
        Damaged: a file or an archive is.
        Refused: a deployment refused.
        Unreachable: a deployment gave no answer.
    """
    options = DiffOptions(**keywords)
    chosen = options.selection()
    with (
        opened(here, as_of=options.as_of, names=options.names) as left,
        opened(there, as_of=options.there_as_of, names=options.names) as right,
    ):
        return _compared(left, right, chosen, options)


def _compared(left: Source, right: Source, chosen: Selection, options: DiffOptions) -> DiffReport:
    wanted = tuple(options.only) or DIFFERENCES
    progress = options.progress or SILENT
    started = time.monotonic()
    progress.begin(f"{left.title} and {right.title}", left.count())
    counts: Counter[str] = Counter()
    found: list[SessionReport] = []
    rows_here = rows_there = 0
    # A session that is only on one side is a difference, no mistake of the user's.
    pages = _watched(left.pages(chosen, missing_ok=True), progress)
    used: By | None = options.by
    met: set[object] = set()
    fields = left.names.session_field, right.names.session_field
    for session, way in compare_histories(pages, right.pages(chosen, missing_ok=True), options.by, fields):
        used = way
        counts[session.status] += 1
        rows_here += session.here
        rows_there += session.there
        if chosen.sessions:
            met.add(session.session)
        if session.status in wanted and len(found) < options.listed:
            found.append(_session(session))
    _refuse_unknown(chosen, met, left, right)
    return DiffReport(
        here=left.title,
        there=right.title,
        by=used or "history",
        same=counts["same"],
        only_here=counts["only_here"],
        only_there=counts["only_there"],
        extended=counts["extended"],
        reordered=counts["reordered"],
        changed=counts["changed"],
        rows_here=rows_here,
        rows_there=rows_there,
        sessions=tuple(found),
        seconds=time.monotonic() - started,
        exit_code=int(Exit.DIFFERS if any(counts[name] for name in wanted) else Exit.DONE),
    )


def _refuse_unknown(chosen: Selection, met: set[object], *sides: Source) -> None:
    """Refuse a session that neither side holds: a slip would look like two histories that are the same."""
    for session in chosen.sessions:
        if session in met:
            continue
        refusals = []
        for side in sides:
            try:
                next(side.pages(Selection(sessions=(session,))), None)
            except UsageError as error:  # no such session; names the ids most like it
                refusals.append(error)
        if len(refusals) == len(sides):
            raise refusals[0]


def _watched(pages: Iterable[Page], progress: Progress) -> Iterable[Page]:
    for page in pages:
        yield page
        progress.advance(len(page.rows), page.bytes)


def _session(found: SessionComparison) -> SessionReport:
    assert found.status != "same"  # noqa: S101
    return SessionReport(
        session=session_text(found.session),
        status=found.status,
        here=found.here,
        there=found.there,
        at=found.at,
        longer=found.longer,
        messages=tuple(map(_message, found.messages)),
    )


def _message(found: MessageDifference) -> MessageReport:
    known = found.here or found.there
    return MessageReport(found.status, found.n, known.id if known else "", _words(found.here), _words(found.there))


def _words(row: Row | None) -> str | None:
    return None if row is None else f"{row.type}: {shortened(row.text, _WIDEST)}"
