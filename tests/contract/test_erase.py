"""``erase``: oldest first, one session, never past the row named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_tool.encoding.sizes import size_of

from .backends import Can
from .filled import PROPERTY
from .table import MAX_BYTES, Table, refusal

TEXTS = ("hi", "x" * 900, "", "y" * 90, "z" * 2000, "hello", "1", "2", "3")


@PROPERTY
@given(data=st.data())
def test_any_erasing(table: Table, data: st.DataObject) -> None:
    """For any limits and any bound, each call erases as many rows as the budget rule says, the oldest."""
    session = table.session()
    table.append(session, TEXTS[: data.draw(st.integers(1, len(TEXTS)))])
    rows = table.stored(session)
    through = data.draw(st.none() | st.integers(0, len(rows) - 1))
    limit, size = data.draw(st.integers(1, 10)), data.draw(st.integers(1, 5000))
    args: dict[str, Any] = {"limit": limit, "maxBytes": size}
    if through is not None:
        args["throughId"] = rows[through]["_id"]
    due, kept = (rows, []) if through is None else (rows[: through + 1], rows[through + 1 :])
    done = False
    while not done:
        taken, used = 0, 0
        for row in due[:limit]:
            used += size_of(row)
            if taken and used > size:
                break
            taken += 1
        answer = table.erase(session, **args)
        assert answer["erased"] == taken
        due = due[taken:]
        assert table.stored(session) == due + kept
        done = answer["isDone"]
        assert done == (not due and (through is not None or taken < limit))
    assert due == []


def test_the_bound_itself_is_erased_and_ends_it(table: Table) -> None:
    """`throughId` is inclusive, and erasing it is the end even where the limit is used up."""
    session = table.session()
    ids = table.append(session, map(str, range(5)))
    assert table.erase(session, throughId=ids[2], limit=3) == {"erased": 3.0, "isDone": True}
    assert table.ids(session) == ids[3:]


def test_a_bound_that_is_gone_means_all_is_done(table: Table) -> None:
    """Oldest first means that all before a bound that is gone are gone: nothing is erased, however often."""
    session = table.session()
    ids = table.append(session, map(str, range(4)))
    assert table.erase(session, throughId=ids[1]) == {"erased": 2.0, "isDone": True}
    for _ in range(2):
        assert table.erase(session, throughId=ids[1]) == {"erased": 0.0, "isDone": True}
        assert table.erase(session, throughId=ids[0]) == {"erased": 0.0, "isDone": True}
    assert table.ids(session) == ids[2:]


@pytest.mark.parametrize("name", ["", "no id at all", "j57000820c20a1g7104gm2rc1n8jsdxb", "\U0001f600", "_", "x" * 300])
def test_a_text_that_is_no_row_erases_nothing(table: Table, name: str) -> None:
    """A `throughId` that names nothing erases nothing, whether or not it could be an id."""
    session = table.session()
    ids = table.append(session, ["1", "2"])
    assert table.erase(session, throughId=name) == {"erased": 0.0, "isDone": True}
    assert table.ids(session) == ids


def test_an_empty_session_is_done(table: Table) -> None:
    """Erasing what is not there is done at once, and again."""
    session = table.session()
    table.append(session, ["1"])
    assert table.erase(session) == {"erased": 1.0, "isDone": True}
    assert table.erase(session) == {"erased": 0.0, "isDone": True}
    assert table.erase(table.session(), limit=1) == {"erased": 0.0, "isDone": True}


def test_a_bound_in_another_session_is_refused(table: Table) -> None:
    """A `throughId` of another session is a mistake: `wrong_session`, and nothing is erased."""
    session, other = table.session("a"), table.session("ab")
    ids, others = table.append(session, ["1"]), table.append(other, ["2"])
    assert refusal(lambda: table.erase(session, throughId=others[0]))["code"] == "wrong_session"
    assert refusal(lambda: table.erase(table.session(), throughId=others[0]))["code"] == "wrong_session"
    assert (table.ids(session), table.ids(other)) == (ids, others)


@pytest.mark.needs(Can.SCRATCH_TABLES)
def test_a_bound_in_another_table_is_refused(table: Table) -> None:
    """A row of another table is none of this session, even where its fields say so: `wrong_session`."""
    session = table.session()
    ids = table.append(session, ["1"])
    insert = {"table": "contractScratch", "document": table.message(session, "not here")}
    table.backend.client.mutation_value("langchain/db:insert", insert)
    (row,) = table.query("recent", table="contractScratch", order="desc", limit=1)["rows"]
    assert row["sessionId"] == session
    assert refusal(lambda: table.erase(session, throughId=row["_id"]))["code"] == "wrong_session"
    assert table.ids(session) == ids
    assert table.get(row["_id"]) == row


def test_neighbours_are_left_alone(table: Table) -> None:
    """Sessions that sort right before and after an erased one keep all their rows."""
    names = ["a", "a\x00", "a b", "b"]
    ids = {name: table.append(table.session(name), ["1", "2"]) for name in names}
    table.erase(table.session("a\x00"))
    assert {name: table.ids(table.session(name)) for name in names} == {**ids, "a\x00": []}


@pytest.mark.parametrize("limit", [0, -1, 1.5, 4097, float("nan")])
def test_bad_limits_are_refused(table: Table, limit: float) -> None:
    """A limit is a whole number from 1 to 4096: `bad_limit`, and nothing is erased."""
    session = table.session()
    ids = table.append(session, ["1"])
    assert refusal(lambda: table.erase(session, limit=limit))["code"] == "bad_limit"
    assert table.ids(session) == ids


@pytest.mark.parametrize("size", [0, -1, MAX_BYTES + 1, float("inf")])
def test_bad_byte_budgets_are_refused(table: Table, size: float) -> None:
    """`maxBytes` is from 1 to 8 MiB: `bad_max_bytes`, and nothing is erased."""
    session = table.session()
    ids = table.append(session, ["1"])
    assert refusal(lambda: table.erase(session, maxBytes=size))["code"] == "bad_max_bytes"
    assert table.ids(session) == ids


def test_the_largest_budget_is_taken(table: Table) -> None:
    """A limit of 4096 and 8 MiB are within bounds."""
    session = table.session()
    table.append(session, map(str, range(700)))
    assert table.erase(session, limit=4096, maxBytes=MAX_BYTES) == {"erased": 700.0, "isDone": True}
