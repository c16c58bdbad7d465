"""What a selection lets through, and what to say about a session id that does not exist."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fnmatch import translate
from typing import Any, Final

from sync_tool.encoding.order import same_value, sort_key
from sync_tool.errors import UsageError
from sync_tool.rows.model import Page, Position, Row, Selection, SessionInfo

_NEAREST: Final = 3


def stored_selection(content: Any) -> Selection:
    """Return the selection that a manifest or journal holds as JSON.

    Raises:
        KeyError, TypeError, AttributeError: the content is not a selection.
    """
    fields: dict[str, Any] = {name: tuple(value) if type(value) is list else value for name, value in content.items()}
    for name in ("settled", "nothing"):  # written by version 0.1, always false
        if fields.pop(name, False):
            raise KeyError(name)
    return Selection(**fields)


def session_filter(selection: Selection) -> Callable[[object], bool]:
    """Return what decides about a session id; ids that are no strings pass only where no id is asked for."""
    if not (selection.sessions or selection.match or selection.exclude):
        return lambda _: True
    named = frozenset(selection.sessions)
    wanted = _any_glob(selection.match)
    unwanted = _any_glob(selection.exclude)

    def chosen(session: object) -> bool:
        if not isinstance(session, str):
            return not named and not selection.match
        if named and session not in named:
            return False
        return (not selection.match or wanted(session)) and not unwanted(session)

    return chosen


def row_filter(selection: Selection) -> Callable[[Row], bool]:
    """Return what decides about a row by its session id and time (`active_after` is about whole sessions)."""
    chosen = session_filter(selection)
    after = -1.0 if selection.after is None else selection.after
    before = float("inf") if selection.before is None else selection.before
    if not selection.windowed:
        return lambda row: chosen(row.session)
    return lambda row: after <= row.time < before and chosen(row.session)


def filtered(pages: Iterable[Page], selection: Selection) -> Iterator[Page]:
    """Leave out of `pages` the rows that the selection does not let through."""
    if selection.everything:
        yield from pages
        return
    keep = row_filter(selection)
    for page in pages:
        page.rows = [row for row in page.rows if keep(row)]
        yield page


def after(pages: Iterable[Page], resume: Position | None) -> Iterator[Page]:
    """Leave out of pages in session order the rows up to `resume`, if there is such a position."""
    key = None if resume is None else resume.key()
    for page in pages:
        if key is not None and page.rows:
            page.rows = [row for row in page.rows if row.position.key() > key]
            key = None if page.rows else key
        yield page


def sessions_of(pages: Iterable[Page]) -> Iterator[SessionInfo]:
    """Yield the sessions that pages in session order hold, with first and last time and count."""
    current: SessionInfo | None = None
    for page in pages:
        for row in page.rows:
            if current is None or not same_value(row.session, current.session):
                if current is not None:
                    yield current
                current = SessionInfo(row.session, row.time, row.time, 0)
            current = replace(current, last=row.time, count=(current.count or 0) + 1)
    if current is not None:
        yield current


def unknown_session(session: str, candidates: Iterable[str]) -> UsageError:
    """Return the error that names the three ids most like `session`."""
    from rapidfuzz import process
    from rapidfuzz.distance import Indel

    found = process.extract(
        session, list(dict.fromkeys(candidates)), scorer=Indel.normalized_similarity, limit=_NEAREST
    )
    near = sorted((candidate for candidate, _, _ in found), key=sort_key)
    if not near:
        return UsageError(f"no session {session!r}: there are no sessions.", hint=[("", "nothing was written.")])
    listed = ", ".join(map(repr, near))
    shared = os.path.commonprefix([session, *near])  # noqa: RUF071  # by letters is what is meant
    advice = f"--match {shlex.quote(shared + '*')}          nothing was written."
    hint = ("a pattern?", advice) if shared else ("", "nothing was written.")
    return UsageError(f"no session {session!r}. Nearest ids: {listed}.", hint=[hint])


def _any_glob(globs: Iterable[str]) -> Callable[[str], bool]:
    patterns = [re.compile(translate(glob)) for glob in globs]
    return lambda text: any(pattern.match(text) for pattern in patterns)
