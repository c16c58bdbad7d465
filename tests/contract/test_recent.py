"""``recent``: the rows of all sessions in the order of their creation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_tool.errors import FunctionFailed

from .backends import Can
from .filled import PROPERTY, Filled, budgets
from .table import DEFAULT_BYTES, Row, Table, pages_by_contract, time_position


def by_time(row: Row) -> tuple[float, str]:
    """Return what `recent` sorts by."""
    return row["_creationTime"], row["_id"]


def in_time_order(filled: Filled) -> list[Row]:
    """Return all rows as `recent` has to give them."""
    return sorted(filled.rows, key=by_time)


@pytest.mark.needs(Can.ALONE)
@PROPERTY
@given(data=st.data())
def test_any_walk_in_time_order(filled: Filled, data: st.DataObject) -> None:
    """For any limits, direction and window of time, every page is the one that the contract describes."""
    rows = in_time_order(filled)
    edge = (rows[0]["_creationTime"], ""), (rows[-1]["_creationTime"], "~")
    places = [by_time(row) for row in rows] + [(row["_creationTime"], "") for row in rows] + list(edge)
    low, high = (data.draw(st.sampled_from(places)) for _ in range(2))
    inside = [row for row in rows if low < by_time(row) < high]
    order = data.draw(st.sampled_from(["asc", "desc"]))
    ends = [{"creationTime": time, "id": name} for time, name in (low, high)]
    after, until = ends if order == "asc" else ends[::-1]
    args: dict[str, Any] = {**data.draw(budgets()), "order": order, "after": after, "until": until}
    assert filled.table.pages("recent", **args) == pages_by_contract(
        inside if order == "asc" else inside[::-1],
        limit=args["limit"],
        max_bytes=args.get("maxBytes", DEFAULT_BYTES),
        after=after,
        position=time_position,
    )


def test_the_newest_rows_first(filled: Filled) -> None:
    """Reading down from the newest row of this test meets its rows in the reverse order of writing."""
    rows = in_time_order(filled)
    end = {"creationTime": rows[-1]["_creationTime"], "id": "~"}
    stop = {"creationTime": rows[0]["_creationTime"], "id": ""}
    found = filled.table.rows("recent", order="desc", after=end, until=stop)
    assert [row for row in found if row["sessionId"].startswith(filled.table.prefix)] == rows[::-1]


@pytest.mark.parametrize("limit", [1, 5, 4096])
def test_rows_of_others_do_not_matter(filled: Filled, limit: int) -> None:
    """Despite other writers, a walk returns the rows of this test in strict order of time and id, whole, once."""
    rows = in_time_order(filled)
    window = {"after": {"creationTime": rows[0]["_creationTime"], "id": ""}, "until": time_position(rows[-1])}
    found = filled.table.rows("recent", limit=limit, **window)
    places = [by_time(row) for row in found]
    assert places == sorted(set(places))
    assert [row for row in found if row["sessionId"].startswith(filled.table.prefix)] == rows[:-1]


def test_ascending_is_the_default(filled: Filled) -> None:
    """Without `order`, time runs upwards."""
    rows = in_time_order(filled)
    answer = filled.table.query("recent", after=time_position(rows[0]), limit=1)
    assert answer["rows"][0]["_creationTime"] >= rows[0]["_creationTime"]
    assert answer["cursor"] == time_position(answer["rows"][0])


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_an_empty_window(table: Table, order: str) -> None:
    """A window without rows is done at once and hands back the `after` it was given."""
    low, high = {"creationTime": 1.0, "id": ""}, {"creationTime": 2.0, "id": "x"}
    after, until = (low, high) if order == "asc" else (high, low)
    answer = table.query("recent", after=after, until=until, limit=5, order=order)
    assert answer == {"rows": [], "cursor": after, "isDone": True}
    crossed = table.query("recent", after=until, until=after, limit=5, order=order)
    assert crossed == {"rows": [], "cursor": until, "isDone": True}


@pytest.mark.parametrize("args", [{"sessionId": "s"}, {"after": {"sessionId": "s", "creationTime": 1.0, "id": ""}}])
def test_time_order_knows_no_session(table: Table, args: dict[str, Any]) -> None:
    """`recent` takes no session, neither as argument nor in a position."""
    with pytest.raises(FunctionFailed) as caught:
        table.query("recent", limit=1, **args)
    assert caught.value.data is None
