"""Rows that no mutation can write: equal times, times to come, session fields that hold no text.

Backends that can have them hold them from the start, and no test changes them. Their times are in 2020
and in 2100, so that a window of time holds them and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

from sync_tool.encoding.order import MISSING

YEAR_2020: Final = 1577836800000.0
YEAR_2021: Final = 1609459200000.0
YEAR_2100: Final = 4102444800000.0

BEFORE_TEXT: Final[list[Any]] = [
    MISSING, None, -(2**63), -1, 0, 5, 2**63 - 1,
    -math.inf, -1.5, -0.0, 0.0, 0.5, 5.0, 2.0**53, math.inf, math.nan, False, True,
]  # fmt: skip
"""Session fields that sort before every text, in the order of a Convex index."""

AFTER_TEXT: Final[list[Any]] = [
    b"", b"\x00", b"\x00\x00", b"a", b"\xff", [], [None], [None, None], [1], [1.0], ["a"], [[]],
    {}, {"a": 1.0}, {"a": 1.0, "b": None}, {"a": 2.0}, {"b": 1.0},
]  # fmt: skip
"""Session fields that sort after every text, in the order of a Convex index."""

TIES: Final = "raw ties"
"""A session of rows of which many share a time."""
FUTURE: Final = "raw future"
"""A session whose last row is dated in 2100."""


def _row(session: Any, time: float, tag: str) -> dict[str, Any]:
    row = {"_creationTime": time, "message": {"type": "human", "data": {"content": tag}}}
    return row if session is MISSING else {"sessionId": session, **row}


def _rows() -> Iterator[dict[str, Any]]:
    for number, session in enumerate([*AFTER_TEXT, *BEFORE_TEXT]):
        for step in (1, 0):
            yield _row(session, YEAR_2020 + step * 0.25, f"odd {number} {step}")
    for number in range(14):
        yield _row(TIES, YEAR_2020 + number * 5 % 3, f"tie {number}")
    for time in (YEAR_2020 + 7, YEAR_2100):
        yield _row(FUTURE, time, f"future {time}")


RAW_ROWS: Final = list(_rows())


def tag_of(row: dict[str, Any]) -> str:
    """Return the text that no other raw row has."""
    tag: str = row["message"]["data"]["content"]
    return tag
