"""``page``: any walk over any window gives the rows that are there, in order, each once."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .filled import PROPERTY, Filled, budgets, positions
from .table import DEFAULT_BYTES, MAX_BYTES, Row, Table, pages_by_contract, refusal


def expected(filled: Filled, rows: list[Row], args: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the answers of the contract for a walk over a window of `rows`."""
    ends = (args.get("after"), args.get("until"))
    low, high = ends if args["order"] == "asc" else ends[::-1]
    inside = filled.between(low, high, rows)
    return pages_by_contract(
        inside if args["order"] == "asc" else inside[::-1],
        limit=args["limit"],
        max_bytes=args.get("maxBytes", DEFAULT_BYTES),
        after=args.get("after"),
        position=filled.table.position,
    )


def test_rows_come_whole_and_in_order_of_utf8(filled: Filled) -> None:
    """A walk over all sessions gives each row as it was stored, sessions by UTF-8 bytes, then times."""
    assert filled.table.rows(**filled.table.own()) == filled.rows


@PROPERTY
@given(data=st.data())
def test_any_walk_over_all_sessions(filled: Filled, data: st.DataObject) -> None:
    """For any limits, direction and window, every page is the one that the contract describes."""
    order = data.draw(st.sampled_from(["asc", "desc"]))
    after, until = data.draw(positions(filled, filled.rows)), data.draw(positions(filled, filled.rows))
    args = {**data.draw(budgets()), "order": order, "after": after, "until": until}
    assert filled.table.pages("page", **args) == expected(filled, filled.rows, args)


@PROPERTY
@given(data=st.data())
def test_any_walk_over_one_session(filled: Filled, data: st.DataObject) -> None:
    """The same within one session, whose ends may be left open or be null."""
    session = data.draw(st.sampled_from(sorted({row["sessionId"] for row in filled.rows})))
    rows = filled.of(session)
    places = positions(filled, rows).filter(lambda place: place["sessionId"] == session)
    ends = data.draw(st.fixed_dictionaries({}, optional={"after": st.none() | places, "until": st.none() | places}))
    args = {**data.draw(budgets()), **ends, "order": data.draw(st.sampled_from(["asc", "desc"]))}
    assert filled.table.pages("page", sessionId=session, **args) == expected(filled, rows, args)


def test_ascending_is_the_default(filled: Filled) -> None:
    """Without `order` a page reads upwards."""
    session = filled.table.session("a")
    assert filled.table.query("page", sessionId=session, limit=2)["rows"] == filled.of(session)[:2]


def test_a_session_nobody_wrote_is_empty(table: Table) -> None:
    """An empty scan is done, has no rows, and has no cursor where none was given."""
    nothing: dict[str, Any] = {"rows": [], "cursor": None, "isDone": True}
    assert table.query("page", sessionId=table.session(), limit=5) == nothing
    assert table.query("page", sessionId=table.session(), limit=5, after=None, until=None, order="desc") == nothing


def test_a_session_is_not_its_prefix(filled: Filled) -> None:
    """Reading one session gives nothing of sessions whose id begins with its id."""
    table = filled.table
    assert table.rows(sessionId=table.session("a")) == filled.of(table.session("a"))
    assert len(filled.of(table.session("a"))) == 5


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_cursor_stays_where_it_was_given(filled: Filled, order: str) -> None:
    """A page without rows hands back the `after` it was given, also from behind the last row."""
    table = filled.table
    end = table.at(table.session("a"), 1.0 if order == "desc" else 2.0**52, "x")
    answer = table.query("page", sessionId=table.session("a"), after=end, limit=5, order=order)
    assert answer == {"rows": [], "cursor": end, "isDone": True}


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_positions_are_exclusive_at_both_ends(filled: Filled, order: str) -> None:
    """Neither the row at `after` nor the row at `until` is returned."""
    table, session = filled.table, filled.table.session("a")
    rows = filled.of(session) if order == "asc" else filled.of(session)[::-1]
    after, until = table.position(rows[0]), table.position(rows[-1])
    assert table.rows(sessionId=session, after=after, until=until, order=order) == rows[1:-1]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_windows_compare_sessions_by_utf8(filled: Filled, order: str) -> None:
    """A window from a session at the end of the basic plane to one of the astral planes is no empty one."""
    table = filled.table
    low, high = (table.position(filled.of(table.session(name))[0]) for name in ("\ue000", "\U0001f600"))
    after, until = (low, high) if order == "asc" else (high, low)
    expected = filled.between(low, high, filled.rows)
    assert len(expected) == 4
    assert table.rows(after=after, until=until, order=order) == (expected if order == "asc" else expected[::-1])
    assert table.rows(after=until, until=after, order=order) == []


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_windows_may_be_wider_than_time(filled: Filled, order: str) -> None:
    """Positions at minus infinity and infinity hold everything between them."""
    table, session = filled.table, filled.table.session("a")
    ends = [table.at(session, -math.inf, ""), table.at(session, math.inf, "~")]
    after, until = ends if order == "asc" else ends[::-1]
    rows = table.rows(after=after, until=until, order=order)
    assert rows == (filled.of(session) if order == "asc" else filled.of(session)[::-1])
    assert table.rows(after=until, until=after, order=order) == []


def test_an_empty_id_sorts_before_every_id(filled: Filled) -> None:
    """`{s, t, ""}` means "at t or later" as `after` and "before t" as `until`."""
    table, session = filled.table, filled.table.session("a")
    rows = filled.of(session)
    middle = table.at(session, rows[2]["_creationTime"])
    assert table.rows(sessionId=session, after=middle) == rows[2:]
    assert table.rows(sessionId=session, until=middle) == rows[:2]


@pytest.mark.parametrize("end", ["after", "until"])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("function", ["page", "count"])
def test_a_position_of_another_session_is_refused(table: Table, function: str, order: str, end: str) -> None:
    """With `sessionId` given, a position of another session is an error: `bad_position`."""
    session = table.session()
    args: dict[str, Any] = {"sessionId": session, "limit": 5} | ({"order": order} if function == "page" else {})
    no_session = {"creationTime": 1.0, "id": ""}
    for place in (table.at(table.session(), 1.0), table.at(None, 1.0), no_session, table.at(session + "x", 1.0)):
        data = refusal(lambda place=place: table.query(function, **args, **{end: place}))  # type: ignore[misc]
        assert data["code"] == "bad_position"


@pytest.mark.parametrize("limit", [0, -1, 0.5, 1.5, 4097, 2**60, float("nan"), float("inf")])
@pytest.mark.parametrize("function", ["page", "recent", "count"])
def test_bad_limits_are_refused(table: Table, function: str, limit: float) -> None:
    """A limit is a whole number from 1 to 4096: `bad_limit`."""
    assert refusal(lambda: table.query(function, limit=limit))["code"] == "bad_limit"


@pytest.mark.parametrize("size", [0, -1, MAX_BYTES + 1, float("nan"), float("inf")])
@pytest.mark.parametrize("function", ["page", "recent", "count"])
def test_bad_byte_budgets_are_refused(table: Table, function: str, size: float) -> None:
    """`maxBytes` is at most 8 MiB and at least 1: `bad_max_bytes`."""
    assert refusal(lambda: table.query(function, limit=1, maxBytes=size))["code"] == "bad_max_bytes"


def test_the_largest_budget_is_taken(filled: Filled) -> None:
    """A limit of 4096 and 8 MiB are within bounds."""
    answer = filled.table.query("page", limit=4096, maxBytes=MAX_BYTES, **filled.table.own())
    assert (answer["rows"], answer["isDone"]) == (filled.rows, True)
