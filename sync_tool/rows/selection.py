"""Selections as filters, and the error for a session id that does not exist."""

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
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Position, Row, Selection, SessionInfo
from sync_tool.rows.reading import runs_of

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
    """Return a predicate on a session id; an id that is not a string passes only if no id is selected."""
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
    """Return a predicate on a row's session id and time; `active_after` is about whole sessions."""
    keep = _head_filter(selection)
    return lambda row: keep(row.session, row.time)


def _head_filter(selection: Selection) -> Callable[[object, float], bool]:
    chosen = session_filter(selection)
    if not selection.windowed:
        return lambda session, _: chosen(session)
    after = -1.0 if selection.after is None else selection.after
    before = float("inf") if selection.before is None else selection.before
    return lambda session, time: after <= time < before and chosen(session)


def filtered(pages: Iterable[Page], selection: Selection) -> Iterator[Page]:
    """Keep the selected rows of pages, by their columns alone."""
    if selection.everything:
        yield from pages
        return
    keep = _head_filter(selection)
    for page in pages:
        heads = zip(page.batch.sessions, page.batch.times, strict=True)
        page.keep([place for place, (session, time) in enumerate(heads) if keep(session, time)])
        yield page


def after(pages: Iterable[Page], resume: Position | None) -> Iterator[Page]:
    """Skip the rows of pages in session order up to `resume`, if it is given."""
    key = None if resume is None else resume.key()
    for page in pages:
        if key is not None and page.count:
            heads = zip(page.batch.sessions, page.batch.times, page.batch.ids, strict=True)
            page.keep([place for place, head in enumerate(heads) if Position(*head).key() > key])
            key = None if page.count else key
        yield page


def sessions_of(pages: Iterable[Page]) -> Iterator[SessionInfo]:
    """Yield the sessions of pages in session order, with first and last time and count."""
    current: SessionInfo | None = None
    for page in pages:
        start = 0
        for session, count in runs_of(page.batch.sessions):
            first, last = page.batch.times[start], page.batch.times[start + count - 1]
            start += count
            if current is not None and same_value(session, current.session):
                current = replace(current, last=last, count=(current.count or 0) + count)
                continue
            if current is not None:
                yield current
            current = SessionInfo(session, first, last, count)
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
