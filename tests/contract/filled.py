"""A few sessions with rows of many sizes, and what the contract says about reading them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from .table import DEFAULT_BYTES, Position, Row, Table

PROPERTY: Final = settings(
    max_examples=40, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
"""Every example is a call to a server; rows are put there once for all examples of a test."""

LENGTHS: Final[dict[str, int]] = {
    "": 2, " ": 1, "a": 5, "a\x00b": 1, "a/b": 1, "ab": 3, "e\u0301": 1, "\u00e9": 2, "\u7ffb": 1,
    "\ue000": 1, "\ufffd": 2, "\U0001f468\u200d\U0001f469": 2, "\U0001f600": 3, "\U0010fffd": 1,
}  # fmt: skip
"""Session names and how many rows each has. In UTF-16 the last three would sort before ``\\ue000``."""

_TEXTS: Final = ("hi", "", "x" * 700, "\u00e9\u4e2d\U0001f600" * 40, "y" * 60, "z" * 2500)


@dataclass(frozen=True, slots=True)
class Filled:
    """A table and its rows as they went in."""

    table: Table
    rows: list[Row]
    """In session order."""

    def of(self, session: Any) -> list[Row]:
        """Return the rows of one session."""
        return [row for row in self.rows if row["sessionId"] == session]

    def between(self, low: Position | None, high: Position | None, rows: list[Row]) -> list[Row]:
        """Return the rows strictly between two positions, oldest first."""
        keys = [self.table.key(row) for row in rows]
        return [
            row
            for row, key in zip(rows, keys, strict=True)
            if (low is None or key > position_key(low)) and (high is None or key < position_key(high))
        ]


def position_key(position: Position) -> tuple[bytes, float, str]:
    """Return what positions of text sessions are sorted by."""
    return position["sessionId"].encode(), position["creationTime"], position["id"]


def fill(table: Table) -> Filled:
    """Write the rows round by round, so that times of sessions interleave; read each back by its id."""
    rows: list[Row] = []
    for turn in range(max(LENGTHS.values())):
        sessions = [table.session(name) for name, length in LENGTHS.items() if length > turn]
        texts = [_TEXTS[(turn + number) % len(_TEXTS)] for number in range(len(sessions))]
        batches = [table.batch(session, [text]) for session, text in zip(sessions, texts, strict=True)]
        for result, batch in zip(table.append_batches(*batches), batches, strict=True):
            row = table.get(result["ids"][0])
            assert row is not None
            assert {**batch["documents"][0], "_id": row["_id"], "_creationTime": row["_creationTime"]} == row
            rows.append(row)
    return Filled(table, sorted(rows, key=table.key))


def budgets() -> st.SearchStrategy[dict[str, int]]:
    """Draw ``limit`` and now and then ``maxBytes``: from one row a page to all rows in one."""
    limits = st.integers(1, 60) | st.just(4096)
    sizes = st.integers(1, 9000) | st.just(DEFAULT_BYTES)
    return st.fixed_dictionaries({"limit": limits}, optional={"maxBytes": sizes})


def positions(filled: Filled, rows: list[Row]) -> st.SearchStrategy[Position]:
    """Draw positions of rows, positions between rows, and ones that only name a session and a time."""
    at = filled.table.at
    places: list[Position] = [filled.table.low, filled.table.high]
    for row in rows:
        session, time = row["sessionId"], row["_creationTime"]
        places += [filled.table.position(row), at(session, time), at(session, time, "~"), at(session, time + 0.01)]
    return st.sampled_from(places)
