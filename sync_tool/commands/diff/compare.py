"""Two histories in session order, compared side by side: a few rows of each are held at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain, groupby, islice, zip_longest
from typing import Any, Final, Literal, TypeVar

from sync_tool.commands.options import By
from sync_tool.encoding.canonical import canonical, dumps
from sync_tool.encoding.order import sort_key
from sync_tool.messages.rewrites import rewrite
from sync_tool.rows.batch import Page
from sync_tool.rows.digests import BYTES, DigestSum, content_bytes
from sync_tool.rows.model import Names, Row

Status = Literal["same", "only_here", "only_there", "extended", "reordered", "changed"]
MessageStatus = Literal["only_here", "only_there", "changed"]

_LISTED_MESSAGES: Final = 10
_PEEKED: Final = 50
_SESSION_FIELDS: Final = (Names().session_field,) * 2

Group = tuple[bytes, Iterator[Row]]
T = TypeVar("T")


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
    """Comparison of one session."""

    session: object
    """A Convex value, or MISSING."""
    status: Status = "same"
    here: int = 0
    """Messages here."""
    there: int = 0
    at: int | None = None
    """The first message that is not the same, from 1."""
    longer: Literal["here", "there"] | None = None
    """The longer side, if there is one."""
    messages: list[MessageDifference] = field(default_factory=list)
    """The first ones that differ."""

    def take(self, here: Row | None, there: Row | None) -> None:
        """Count a message of either side, or of both."""
        known = here or there
        self.session = known.session if known else self.session
        self.here += here is not None
        self.there += there is not None

    def note(self, difference: MessageDifference) -> None:
        """Take a message that differs."""
        if self.at is None:
            self.at = difference.n
        if len(self.messages) < _LISTED_MESSAGES:
            self.messages.append(difference)


def compare_histories(
    here: Iterable[Page], there: Iterable[Page], by: By | None, fields: tuple[str, str] = _SESSION_FIELDS
) -> Iterator[tuple[SessionComparison, By]]:
    """Yield the comparison of each session, in order, with the method of comparing.

    Args:
        here: pages in session order.
        there: the same.
        by: ``rows`` (ids and times count: copies of one origin) or ``history`` (order and content alone); None
            for the one that fits the first session on both sides: rows, if any of its first ids is on both.
        fields: names of the session field of each side.
    """
    for one, two in merge_join(_sessions(here), _sessions(there), key=lambda group: group[0]):
        left, right = iter(one[1] if one else ()), iter(two[1] if two else ())
        if one is None or two is None:
            yield _alone(left, right), by or "history"
            continue
        if by is None:
            left, right, by = _chosen(left, right)
        yield _by_rows(left, right) if by == "rows" else _by_history(left, right, fields), by


def merge_join(left: Iterable[T], right: Iterable[T], key: Callable[[T], Any]) -> Iterator[tuple[T | None, T | None]]:
    """Yield the items of two sides that are sorted by `key`, in pairs where the keys are equal, else alone."""
    lefts, rights = iter(left), iter(right)
    one, two = next(lefts, None), next(rights, None)
    while one is not None or two is not None:
        order = 0
        if one is None or two is None:
            order = 1 if one is None else -1
        elif (place := key(one)) != (other := key(two)):
            order = -1 if place < other else 1
        yield one if order <= 0 else None, two if order >= 0 else None
        if order <= 0:
            one = next(lefts, None)
        if order >= 0:
            two = next(rights, None)


def _sessions(pages: Iterable[Page]) -> Iterator[Group]:
    rows = (row for page in pages for row in page.rows)
    return ((key, group) for key, group in groupby(rows, key=lambda row: sort_key(row.session)))


def _chosen(here: Iterator[Row], there: Iterator[Row]) -> tuple[Iterator[Row], Iterator[Row], By]:
    """Judge by the first rows of both sides whether they are copies of one origin."""
    first, second = list(islice(here, _PEEKED)), list(islice(there, _PEEKED))
    common = {row.id for row in first if row.id} & {row.id for row in second}
    return chain(first, here), chain(second, there), "rows" if common else "history"


def _alone(here: Iterator[Row], there: Iterator[Row]) -> SessionComparison:
    """Count the messages of a session that is on one side only."""
    found = SessionComparison(None)
    for one, two in zip_longest(here, there):
        found.take(one, two)
    found.status = "only_here" if found.here else "only_there"
    return found


class _Judge:
    """The comparison of one session, message by message."""

    def __init__(self) -> None:
        self.found = SessionComparison(None)
        self._here, self._there = DigestSum(), DigestSum()
        self._inside = False

    def same(self, one: Row, two: Row) -> None:
        """Take a message that is the same on both sides."""
        self.found.take(one, two)
        self._inside = self._inside or self.found.at is not None

    def differ(self, one: Row | None, two: Row | None, left: bytes | None, right: bytes | None, n: int) -> None:
        """Take a message that differs, with its content on each side."""
        for side, content in ((self._here, left), (self._there, right)):
            if content is not None:
                side.add(blake2b(content, digest_size=BYTES).digest())
        status: MessageStatus = "changed" if one and two else ("only_here" if one else "only_there")
        self.found.note(MessageDifference(status, n, one, two))
        self._inside = self._inside or (one is not None and two is not None)

    def verdict(self) -> SessionComparison:
        """Return the comparison with its status: ``extended`` if all that differs stands behind one side's end."""
        found = self.found
        if found.here != found.there:
            found.longer = "here" if found.here > found.there else "there"
        if found.at is None:
            return found
        if self._here == self._there:
            found.status = "reordered"
        elif not self._inside and 0 in (self._here.count, self._there.count):
            found.status = "extended"
        else:
            found.status = "changed"
        return found


def _by_rows(here: Iterator[Row], there: Iterator[Row]) -> SessionComparison:
    """Compare the messages with equal time and id."""
    judge = _Judge()
    for one, two in merge_join(here, there, key=lambda row: (row.time, row.id)):
        if one is not None and two is not None and one.raw == two.raw:
            judge.same(one, two)
            continue
        left = None if one is None else canonical(one.raw)
        right = None if two is None else canonical(two.raw)
        if one is not None and two is not None and left == right:
            judge.same(one, two)
            continue
        judge.found.take(one, two)
        n = judge.found.here if one is not None else judge.found.there
        left, right = (None if text is None else content_bytes(text) for text in (left, right))
        judge.differ(one, two, left, right, n)
    return judge.verdict()


def _by_history(here: Iterator[Row], there: Iterator[Row], fields: tuple[str, str]) -> SessionComparison:
    """Compare the messages with equal number."""
    judge = _Judge()
    for one, two in zip_longest(here, there):
        judge.found.take(one, two)
        left = None if one is None else content_bytes(canonical(one.raw))
        right = None if two is None else content_bytes(canonical(two.raw))
        if left != right:  # an import may have brought it to today's form, or into fields of other names
            left = None if one is None else _said(one, fields[0])
            right = None if two is None else _said(two, fields[1])
        if left != right:
            judge.differ(one, two, left, right, max(judge.found.here, judge.found.there))
    return judge.verdict()


def _said(row: Row, session_field: str) -> bytes:
    """Return the row without id, time and session, its message in today's form."""
    document = {name: value for name, value in row.value.items() if name not in ("_id", "_creationTime", session_field)}
    message = document.pop(row.message_field, None)
    return dumps({"message": rewrite(message)[0] if isinstance(message, dict) else message, "more": document})
