"""Cursors are places, not rows: they stay good whatever is written or erased around them."""

from __future__ import annotations

from .table import Table, time_position


def test_a_cursor_outlives_its_row(table: Table) -> None:
    """A walk goes on right behind a row that has been erased since."""
    session = table.session()
    ids = table.append(session, map(str, range(6)))
    cursor = table.query("page", sessionId=session, limit=3)["cursor"]
    table.erase(session, throughId=ids[3])
    assert [row["_id"] for row in table.rows(sessionId=session, after=cursor)] == ids[4:]


def test_a_cursor_sees_what_was_written_behind_it(table: Table) -> None:
    """The cursor of a finished walk gives exactly what was appended later, again and again."""
    session = table.session()
    table.append(session, ["1", "2"])
    cursor = table.pages("page", sessionId=session, limit=10)[-1]["cursor"]
    later = table.append(session, ["3"])
    later += table.append(session, ["4"])
    for _ in range(2):
        assert [row["_id"] for row in table.rows(sessionId=session, after=cursor, limit=1)] == later


def test_a_cursor_does_not_care_about_other_sessions(table: Table) -> None:
    """A walk over all sessions is not disturbed by sessions that come and go before and behind it."""
    first, middle, last = (table.session(name) for name in "bdf")
    for session in (first, middle, last):
        table.append(session, ["1", "2"])
    expected = table.ids(middle)[1:] + table.ids(last)
    page = table.query("page", limit=3, **table.own())
    assert page["rows"][-1]["sessionId"] == middle
    table.erase(first)
    table.append(table.session("a"), ["before"])
    table.append(table.session("c"), ["before"])
    expected[1:1] = table.append(table.session("e"), ["between"])
    rest = table.rows(**{**table.own(), "after": page["cursor"]})
    assert [row["_id"] for row in rest] == expected


def test_one_cursor_serves_both_directions(table: Table) -> None:
    """From the place of a row, reading up and reading down give all other rows, and not that one."""
    session = table.session()
    ids = table.append(session, map(str, range(5)))
    place = table.position(table.stored(session)[2])
    up = table.rows(sessionId=session, after=place, order="asc")
    down = table.rows(sessionId=session, after=place, order="desc")
    assert [row["_id"] for row in up] == ids[3:]
    assert [row["_id"] for row in down] == ids[1::-1]


def test_cursors_in_time_order_last_too(table: Table) -> None:
    """The same holds for `recent`: the row is gone, the place stays."""
    session, other = table.session(), table.session()
    ids = table.append(session, ["1", "2", "3"])
    row = table.stored(session)[1]
    after, end = table.append(other, ["4", "5"])
    table.erase(session)
    until = time_position(table.get(end) or {})
    found = table.rows("recent", after=time_position(row), until=until)
    assert [row["_id"] for row in found if row["sessionId"] in (session, other)] == [after]
    assert table.get(ids[1]) is None
