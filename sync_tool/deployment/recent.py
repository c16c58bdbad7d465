"""The sessions with the newest messages, and what a human said in them last, reading as little as possible."""

from __future__ import annotations

import heapq
from dataclasses import replace
from itertools import islice
from typing import Final

from sync_tool.deployment.functions import FunctionsDoor
from sync_tool.deployment.ranges import KeyRange, TimeRange
from sync_tool.deployment.reading import Door
from sync_tool.encoding.order import sort_key
from sync_tool.model import SessionInfo

RECENT_ROWS: Final = 200
"""Page size for looking at the newest rows."""
_PAGES_BEFORE_LISTING: Final = 25
_PAGES_FOR_WORDS: Final = 5


def recent_sessions(door: Door, limit: int) -> list[SessionInfo]:
    """Return the `limit` sessions with the newest messages, newest first, with their last human words.

    Rows are read from the newest backwards. Where a few long sessions hold all of the newest rows, the
    deployed functions can list all sessions with their last times for less.
    """
    found: dict[bytes, SessionInfo] = {}
    for read, page in enumerate(door.by_time(TimeRange(newest_first=True))):
        for row in page.rows:
            key = sort_key(row.session)
            if key not in found:
                if len(found) == limit:
                    return _with_words(door, found)
                found[key] = SessionInfo(row.session, last=row.time)
            if row.type == "human" and found[key].words is None:
                found[key] = replace(found[key], words=row.text)
        if read == _PAGES_BEFORE_LISTING and isinstance(door, FunctionsDoor):
            listed = heapq.nlargest(limit, door.sessions(None, None), key=lambda info: info.last or 0.0)
            known = {sort_key(info.session): replace(info, first=None) for info in listed}
            return _with_words(door, {**known, **{key: info for key, info in found.items() if key in known}})
    return _with_words(door, found)


def _with_words(door: Door, found: dict[bytes, SessionInfo]) -> list[SessionInfo]:
    newest_first = sorted(found.values(), key=lambda info: info.last or 0.0, reverse=True)
    return [_look_for_words(door, info) for info in newest_first]


def _look_for_words(door: Door, info: SessionInfo) -> SessionInfo:
    """Look further back in a session whose rows seen so far held no human words."""
    if info.words is not None or not isinstance(info.session, str):
        return info
    pages = islice(door.pages(KeyRange(session=info.session, newest_first=True)), _PAGES_FOR_WORDS)
    words = (row.text for page in pages for row in page.rows if row.type == "human")
    return replace(info, words=next(words, None))
