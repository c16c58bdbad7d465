"""Two histories in session order, compared side by side: a few rows of each are held at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain, groupby, islice
from typing import Final, Literal

from sync_tool.commands.options import By
from sync_tool.encoding.canonical import canonical, dumps
from sync_tool.encoding.order import sort_key
from sync_tool.messages.rewrites import rewrite
from sync_tool.rows.digests import BYTES, DigestSum, content_bytes
from sync_tool.rows.model import Names, Page, Row

Status = Literal["same", "only_here", "only_there", "extended", "reordered", "changed"]
MessageStatus = Literal["only_here", "only_there", "changed"]

_LISTED_MESSAGES: Final = 10
_PEEKED: Final = 50
_SESSION_FIELDS: Final = (Names().session_field,) * 2

Group = tuple[bytes, Iterator[Row]]


@dataclass(frozen=True, slots=True)
class MessageDifference:
    """One message that is not the same on both sides."""

    status: MessageStatus
    n: int
    """Its number in the session: there, where it is only there; else here."""
    here: Row | None
    there: Row | None


@dataclass(slots=True)
class SessionComparison:
    """What became of one session."""

    session: object
    """A Convex value, or MISSING."""
    status: Status = "same"
    here: int = 0
    """Messages here."""
    there: int = 0
    at: int | None = None
    """The first message that is not the same, from 1."""
    longer: Literal["here", "there"] | None = None
    """Which side goes on, where one does."""
    messages: list[MessageDifference] = field(default_factory=list)
    """The first ones that differ."""

    def note(self, difference: MessageDifference) -> None:
        """Take a message that differs."""
        if self.at is None:
            self.at = difference.n
        if len(self.messages) < _LISTED_MESSAGES:
            self.messages.append(difference)


def compare_histories(
    here: Iterable[Page], there: Iterable[Page], by: By | None, fields: tuple[str, str] = _SESSION_FIELDS
) -> Iterator[tuple[SessionComparison, By]]:
    """Yield what became of each session, in order, with the way of comparing.

    Args:
        here: pages in session order.
        there: the same.
        by: ``rows`` (ids and times count: copies of one origin) or ``history`` (order and content alone); None
            for what fits the first session that both hold: rows, if any of its first ids is on both sides.
        fields: how each side calls the session field.
    """
    lefts, rights = _sessions(here), _sessions(there)
    left, right = next(lefts, None), next(rights, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[0] < right[0]):
            yield _alone(left, "only_here"), by or "history"
            left = next(lefts, None)
        elif left is None or right[0] < left[0]:
            yield _alone(right, "only_there"), by or "history"
            right = next(rights, None)
        else:
            one, two = left[1], right[1]
            if by is None:
                one, two, by = _chosen(one, two)
            yield _by_rows(one, two) if by == "rows" else _by_history(one, two, fields), by
            left, right = next(lefts, None), next(rights, None)


def _sessions(pages: Iterable[Page]) -> Iterator[Group]:
    rows = (row for page in pages for row in page.rows)
    return ((key, group) for key, group in groupby(rows, key=lambda row: sort_key(row.session)))


def _chosen(here: Iterator[Row], there: Iterator[Row]) -> tuple[Iterator[Row], Iterator[Row], By]:
    """Look at the first rows of both sides to see whether they are copies of one origin."""
    first, second = list(islice(here, _PEEKED)), list(islice(there, _PEEKED))
    common = {row.id for row in first if row.id} & {row.id for row in second}
    return chain(first, here), chain(second, there), "rows" if common else "history"


def _alone(group: Group | None, status: Literal["only_here", "only_there"]) -> SessionComparison:
    found = SessionComparison(None, status)
    for row in group[1] if group else ():
        found.session = row.session
        if status == "only_here":
            found.here += 1
        else:
            found.there += 1
    return found


class _Unmatched:
    """The contents that one side has and the other has not at the same place, added up."""

    def __init__(self) -> None:
        self.here = DigestSum()
        self.there = DigestSum()

    def add(self, here: bytes | None, there: bytes | None) -> None:
        for side, content in ((self.here, here), (self.there, there)):
            if content is not None:
                side.add(blake2b(content, digest_size=BYTES).digest())

    @property
    def same(self) -> bool:
        return self.here == self.there


def _by_rows(here: Iterator[Row], there: Iterator[Row]) -> SessionComparison:
    """Walk both sides by creation time and id."""
    one, two = next(here, None), next(there, None)
    found = SessionComparison((one or two or Row(b"", "", 0.0, None)).session)
    unmatched = _Unmatched()
    inside = False
    while one is not None or two is not None:
        place_one, place_two = _place(one), _place(two)
        if one is not None and two is not None and place_one == place_two:
            found.here, found.there = found.here + 1, found.there + 1
            left, right = (one.raw, one.raw) if one.raw == two.raw else (canonical(one.raw), canonical(two.raw))
            if left != right:
                found.note(MessageDifference("changed", found.here, one, two))
                unmatched.add(content_bytes(left), content_bytes(right))
            inside = inside or found.at is not None
            one, two = next(here, None), next(there, None)
        elif one is not None and (two is None or place_one < place_two):
            found.here += 1
            found.note(MessageDifference("only_here", found.here, one, None))
            unmatched.add(content_bytes(canonical(one.raw)), None)
            one = next(here, None)
        elif two is not None:
            found.there += 1
            found.note(MessageDifference("only_there", found.there, None, two))
            unmatched.add(None, content_bytes(canonical(two.raw)))
            two = next(there, None)
    return _judged(found, unmatched, inside=inside)


def _by_history(here: Iterator[Row], there: Iterator[Row], fields: tuple[str, str]) -> SessionComparison:
    """Walk both sides message by message."""
    one, two = next(here, None), next(there, None)
    found = SessionComparison((one or two or Row(b"", "", 0.0, None)).session)
    unmatched = _Unmatched()
    inside = False
    while one is not None or two is not None:
        left = None if one is None else content_bytes(canonical(one.raw))
        right = None if two is None else content_bytes(canonical(two.raw))
        found.here += one is not None
        found.there += two is not None
        if left != right:  # an import may have brought it to today's form, or into fields of other names
            left = None if one is None else _said(one, fields[0])
            right = None if two is None else _said(two, fields[1])
        if left != right:
            unmatched.add(left, right)
            status: MessageStatus = "changed" if one and two else ("only_here" if one else "only_there")
            found.note(MessageDifference(status, max(found.here, found.there), one, two))
            inside = inside or (one is not None and two is not None)
        one, two = next(here, None), next(there, None)
    return _judged(found, unmatched, inside=inside)


def _said(row: Row, session_field: str) -> bytes:
    """Return what a row holds beside id, time and session, its message in today's form."""
    document = {name: value for name, value in row.value.items() if name not in ("_id", "_creationTime", session_field)}
    message = document.pop(row.message_field, None)
    return dumps({"message": rewrite(message)[0] if isinstance(message, dict) else message, "more": document})


def _judged(found: SessionComparison, unmatched: _Unmatched, *, inside: bool) -> SessionComparison:
    """Say what it comes to; `inside` is true where not all that differs stands behind the end of one side."""
    if found.here != found.there:
        found.longer = "here" if found.here > found.there else "there"
    if found.at is None:
        return found
    one_sided = unmatched.here.count == 0 or unmatched.there.count == 0
    if unmatched.same:
        found.status = "reordered"
    elif one_sided and not inside:
        found.status = "extended"
    else:
        found.status = "changed"
    return found


def _place(row: Row | None) -> tuple[float, str]:
    return (0.0, "") if row is None else (row.time, row.id)
