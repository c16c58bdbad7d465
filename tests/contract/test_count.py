"""``count``: how many rows a window holds, within the same budget and by the same positions as ``page``."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from .filled import PROPERTY, Filled, budgets, positions
from .table import MAX_BYTES, Table, pages_by_contract


def counted(rows: list[dict[str, Any]], args: dict[str, Any], table: Table) -> list[dict[str, Any]]:
    """Return the answers of the contract for counting `rows`."""
    pages = pages_by_contract(
        rows,
        limit=args.get("limit", 4096),
        max_bytes=args.get("maxBytes", MAX_BYTES),
        after=args.get("after"),
        position=table.position,
    )
    return [{"cursor": page["cursor"], "isDone": page["isDone"], "n": len(page["rows"])} for page in pages]


@PROPERTY
@given(data=st.data())
def test_any_count_over_all_sessions(filled: Filled, data: st.DataObject) -> None:
    """For any limits and window, counting stops where a page would, and says how many rows that was."""
    after, until = data.draw(positions(filled, filled.rows)), data.draw(positions(filled, filled.rows))
    budget = data.draw(budgets() | st.just({}))
    args: dict[str, Any] = {**budget, "after": after, "until": until}
    inside = filled.between(after, until, filled.rows)
    assert filled.table.pages("count", **args) == counted(inside, args, filled.table)


@PROPERTY
@given(data=st.data())
def test_any_count_over_one_session(filled: Filled, data: st.DataObject) -> None:
    """The same within one session."""
    session = data.draw(st.sampled_from(sorted({row["sessionId"] for row in filled.rows})))
    rows = filled.of(session)
    places = positions(filled, rows).filter(lambda place: place["sessionId"] == session)
    ends = data.draw(st.fixed_dictionaries({}, optional={"after": st.none() | places, "until": st.none() | places}))
    args: dict[str, Any] = {**data.draw(budgets()), **ends}
    inside = filled.between(ends.get("after"), ends.get("until"), rows)
    assert filled.table.pages("count", sessionId=session, **args) == counted(inside, args, filled.table)


def test_counting_without_limits(filled: Filled) -> None:
    """A count needs no limit: by default it is as large as a call may be."""
    answer = filled.table.query("count", after=filled.table.low, until=filled.table.high)
    assert answer == {"cursor": filled.table.position(filled.rows[-1]), "isDone": True, "n": len(filled.rows)}


def test_counting_nothing(table: Table) -> None:
    """A session nobody wrote has no rows and no cursor."""
    assert table.query("count", sessionId=table.session()) == {"cursor": None, "isDone": True, "n": 0.0}
