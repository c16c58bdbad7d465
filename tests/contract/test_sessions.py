"""``sessions``: the distinct session ids after one, found by stepping over the rows of each."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .filled import LENGTHS, PROPERTY, Filled
from .table import Table, refusal


def listed(table: Table, limit: int, **args: Any) -> list[dict[str, Any]]:
    """Walk from the start of this test's sessions to their end."""
    found: list[dict[str, Any]] = []
    after = table.prefix
    while True:
        answer = table.query("sessions", after=after, limit=limit, **args)
        assert answer.keys() == {"cursor", "isDone", "sessions"}
        own = [session for session in answer["sessions"] if str(session["sessionId"]).startswith(table.prefix)]
        found += own
        if answer["isDone"] or len(own) < len(answer["sessions"]):
            return found
        assert answer["cursor"] == {"sessionId": own[-1]["sessionId"]}
        assert answer["cursor"]["sessionId"] != after, "a list that is not done moves on"
        after = answer["cursor"]["sessionId"]


@pytest.mark.parametrize("limit", [1, 2, 7, 1000])
def test_each_session_once_in_order_of_utf8(filled: Filled, limit: int) -> None:
    """Every session is listed once, by the bytes of its id, however many rows it has."""
    table = filled.table
    expected = sorted((table.session(name) for name in LENGTHS if name), key=str.encode)
    assert listed(table, limit) == [{"sessionId": session} for session in expected]


@pytest.mark.parametrize("limit", [3, 1000])
def test_times_are_those_of_first_and_last_row(filled: Filled, limit: int) -> None:
    """With `times` each session has the creation times of its first and last row."""
    for found in listed(filled.table, limit, times=True):
        rows = filled.of(found["sessionId"])
        times = {"first": rows[0]["_creationTime"], "last": rows[-1]["_creationTime"]}
        assert found == {"sessionId": rows[0]["sessionId"], **times}


@PROPERTY
@given(data=st.data())
def test_starting_after_any_text(filled: Filled, data: st.DataObject) -> None:
    """The start need not exist: the first session listed is the next one by UTF-8 bytes."""
    table = filled.table
    letters = st.sampled_from(["a", "b", "/", "\x00", "\u00e9", "\ue000", "\uffff", "\U0001f600", "\U0010ffff"])
    start = table.prefix + data.draw(st.text(letters, max_size=3))
    expected = sorted({row["sessionId"] for row in filled.rows} - {start}, key=str.encode)
    expected = [session for session in expected if session.encode() > start.encode()]
    answer = table.query("sessions", after=start, limit=2)
    own = [found["sessionId"] for found in answer["sessions"] if found["sessionId"].startswith(table.prefix)]
    assert own == expected[:2]


def test_a_long_session_is_stepped_over(table: Table) -> None:
    """Three sessions are found in one call though one has many rows, also when it is erased to one row."""
    one, two, three = (table.session(name) for name in "abc")
    table.append(one, ["1"])
    table.append(two, map(str, range(300)))
    table.append(three, ["1"])
    names = [{"sessionId": session} for session in (one, two, three)]
    assert table.query("sessions", after=table.prefix, limit=3)["sessions"] == names
    table.erase(two, limit=299)
    assert table.query("sessions", after=table.prefix, limit=3)["sessions"] == names
    table.erase(two)
    assert table.query("sessions", after=table.prefix, limit=2)["sessions"] == [names[0], names[2]]


def test_the_limit_ends_a_list_before_it_is_done(table: Table) -> None:
    """A list ended by its limit is not done; its cursor is the last session, from which the next one follows."""
    one, two = (table.session(name) for name in "ab")
    for session in (one, two):
        table.append(session, ["1"])
    first = table.query("sessions", after=table.prefix, limit=1)
    assert first == {"cursor": {"sessionId": one}, "isDone": False, "sessions": [{"sessionId": one}]}
    assert table.query("sessions", after=one, limit=1)["sessions"] == [{"sessionId": two}]


def test_the_end_of_the_table(table: Table) -> None:
    """Behind every possible session there is nothing: done, no sessions, and the cursor that was given."""
    behind = {"zzz": {"zzz": "behind every other value"}}
    answer = table.query("sessions", after=behind, limit=5, times=True)
    assert answer == {"cursor": {"sessionId": behind}, "isDone": True, "sessions": []}


@pytest.mark.parametrize("limit", [0, -3, 2.5, 1001, float("nan")])
def test_bad_limits_are_refused(table: Table, limit: float) -> None:
    """A list has 1 to 1000 sessions: `bad_limit`."""
    assert refusal(lambda: table.query("sessions", limit=limit))["code"] == "bad_limit"
