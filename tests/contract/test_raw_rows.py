"""Rows that only an import can have written: equal times, and sessions that are no text."""

from __future__ import annotations

from typing import Any

import pytest

from sync_tool.encoding import canonical
from sync_tool.encoding.order import MISSING

from .backends import Can
from .raw import AFTER_TEXT, BEFORE_TEXT, RAW_ROWS, TIES, YEAR_2020, YEAR_2021, tag_of
from .table import Row, Table, pages_by_contract, time_position

pytestmark = pytest.mark.needs(Can.RAW_ROWS)

START_OF_TEXT = Table.at("", -1.0)
START_OF_BYTES = Table.at(b"", -1.0)


def encoded(session: Any) -> bytes:
    """Return a session field as bytes, since NaN equals nothing and 0.0 equals -0.0."""
    return b"missing" if session is MISSING else canonical.dumps(session)


def session_of(row: Row) -> bytes:
    """Return the session field of a row as bytes."""
    return encoded(row.get("sessionId", MISSING))


def test_every_raw_row_is_there_once(table: Table) -> None:
    """A walk in time order over the year of the raw rows gives each of them, whole and once."""
    window = {"after": {"creationTime": YEAR_2020, "id": ""}, "until": {"creationTime": YEAR_2021, "id": ""}}
    rows = table.rows("recent", **window)
    fields = [{name: value for name, value in row.items() if name != "_id"} for row in rows]
    expected = [row for row in RAW_ROWS if row["_creationTime"] < YEAR_2021]
    assert sorted(map(canonical.dumps, fields)) == sorted(map(canonical.dumps, expected))
    places = [(row["_creationTime"], row["_id"]) for row in rows]
    assert places == sorted(set(places))
    assert len({time for time, _ in places}) < len(places) / 4


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 3, 100])
def test_sessions_of_every_kind_are_walked_in_index_order(table: Table, limit: int, order: str) -> None:
    """Missing, null, int64, float64 and boolean sessions come before text, bytes, arrays and objects after it."""
    for ends, kinds in (((None, START_OF_TEXT), BEFORE_TEXT), ((START_OF_BYTES, None), AFTER_TEXT)):
        after, until = ends if order == "asc" else ends[::-1]
        rows = table.rows(after=after, until=until, limit=limit, order=order)
        expected = [encoded(kind) for kind in kinds for _ in range(2)]
        assert [session_of(row) for row in rows] == (expected if order == "asc" else expected[::-1])


@pytest.mark.parametrize("session", [kind for kind in BEFORE_TEXT + AFTER_TEXT if kind is not MISSING], ids=repr)
def test_one_session_of_any_kind(table: Table, session: Any) -> None:
    """`page` and `count` read one session of any value, and do not take 5 for 5.0 or -0.0 for 0.0."""
    rows = table.rows(sessionId=session, limit=1)
    assert [row["_creationTime"] - YEAR_2020 for row in rows] == [0.0, 0.25]
    assert {session_of(row) for row in rows} == {encoded(session)}
    assert table.query("count", sessionId=session)["n"] == 2
    back = table.query("page", sessionId=session, limit=1, after=table.position(rows[1]), order="desc")
    assert canonical.dumps(back["rows"]) == canonical.dumps(rows[:1])


def test_a_position_without_a_session_is_that_of_the_missing(table: Table) -> None:
    """The cursor of a row without session field has none either, and leads on to its neighbours."""
    page = table.query("page", limit=1)
    assert page["cursor"] == time_position(page["rows"][0])
    second = table.query("page", limit=1, after=page["cursor"])
    assert "sessionId" not in second["rows"][0]
    third = table.query("page", limit=1, after=second["cursor"])
    assert third["rows"][0]["sessionId"] is None
    assert "sessionId" in third["cursor"]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 5, 14])
def test_ties_are_walked_by_id(table: Table, limit: int, order: str) -> None:
    """Rows of one session and equal time come by id, none is skipped and none comes twice."""
    rows = table.rows(sessionId=TIES, order="asc")
    assert sorted(map(tag_of, rows)) == sorted(tag_of(row) for row in RAW_ROWS if row.get("sessionId") == TIES)
    places = [(row["_creationTime"], row["_id"]) for row in rows]
    assert places == sorted(places)
    rows = rows if order == "asc" else rows[::-1]
    args = {"limit": limit, "sessionId": TIES, "order": order}
    pages = pages_by_contract(rows, limit=limit, max_bytes=1 << 20, after=None, position=table.position)
    assert table.pages("page", **args) == pages


@pytest.mark.parametrize("function", ["page", "recent"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_windows_may_begin_and_end_within_a_tie(table: Table, order: str, function: str) -> None:
    """Both ends of a window may lie between rows of one time, and are exact to the row."""
    if function == "page":
        rows = table.rows(sessionId=TIES, order=order)
        args, position = {"sessionId": TIES, "order": order}, table.position
    else:
        start = {"creationTime": YEAR_2020, "id": ""}
        rows = table.rows(function, after=start, until={"creationTime": YEAR_2020 + 0.5, "id": ""})
        rows = rows[:9] if order == "asc" else rows[8::-1]
        args, position = {"order": order}, time_position
    for first in range(0, len(rows), 2):
        for last in range(first + 1, len(rows), 3):
            window = {"after": position(rows[first]), "until": position(rows[last])}
            found = table.rows(function, **args, **window, limit=2)
            assert canonical.dumps(found) == canonical.dumps(rows[first + 1 : last])


def test_sessions_of_every_kind_are_listed(table: Table) -> None:
    """`sessions` steps over sessions of every kind, from any of them to the next, with their times."""
    for kinds, start in ((BEFORE_TEXT, {}), (AFTER_TEXT[1:], {"after": b""})):
        place: dict[str, Any] = start
        for kind in kinds:
            answer = table.query("sessions", limit=1, times=True, **place)
            (found,) = answer["sessions"]
            assert encoded(found.get("sessionId", MISSING)) == encoded(kind)
            assert (found["first"], found["last"]) == (YEAR_2020, YEAR_2020 + 0.25)
            cursor = answer["cursor"]
            assert encoded(cursor.get("sessionId", MISSING)) == encoded(kind)
            place = {"afterMissing": True} if kind is MISSING else {"after": cursor["sessionId"]}
    assert table.query("sessions", limit=9, **place)["isDone"]


def test_sessions_may_start_after_the_missing(table: Table) -> None:
    """`afterMissing` starts with the first session that has a value; without it the missing one is first."""
    assert table.query("sessions", limit=1)["sessions"] == [{}]
    assert table.query("sessions", limit=1, afterMissing=True)["sessions"] == [{"sessionId": None}]
    assert table.query("sessions", limit=1, afterMissing=False)["sessions"] == [{}]
