"""Where rows stand in session order."""

from __future__ import annotations

from itertools import repeat
from operator import lt
from typing import Final

from sync_tool.encoding.order import sort_key
from sync_tool.model import Page

Key = tuple[bytes, str, float, str]
"""Kind of the session id, the id where it is text, creation time and ``_id``: these compare as rows do."""

TEXT: Final = sort_key("")[:1]
"""Sorts text among the other kinds of values, none of which has this very key."""


def keys_of(page: Page) -> list[Key]:
    """Return where the rows of a page stand."""
    block = page.block
    if block is not None:  # Python orders text by code points, which is the order of its UTF-8
        return list(zip(repeat(TEXT), block.sessions, block.times, block.ids))
    return [
        (TEXT, row.session, row.time, row.id)
        if type(row.session) is str
        else (sort_key(row.session), "", row.time, row.id)
        for row in page.rows
    ]


def in_order(keys: list[Key]) -> bool:
    """Tell whether none stands before the one it follows."""
    return not any(map(lt, keys[1:], keys))


class InOrder:
    """Watches whether rows stand in session order."""

    def __init__(self) -> None:
        self._last: Key = (b"", "", 0.0, "")

    def goes_on(self, page: Page) -> bool:
        """Tell whether the rows of the next page stand in order, behind those of the last one."""
        keys = [self._last, *keys_of(page)]
        self._last = keys[-1]
        return in_order(keys)

    def goes_on_between(self, first: Key, last: Key) -> bool:
        """Tell whether rows that are in order among themselves stand behind those of the last ones."""
        before, self._last = self._last, last
        return not first < before
