"""``expectLastId``: appending only to the session that the caller has seen."""

from __future__ import annotations

from typing import Any

import pytest

from sync_tool.errors import FunctionFailed

from .table import Table


def test_without_expectation_anything_goes(table: Table) -> None:
    """Without `expectLastId` rows are appended after any rows of the session."""
    session = table.session()
    ids = table.append(session, ["1"])
    ids += table.append(session, ["2"])
    assert table.ids(session) == ids


def test_null_expects_an_empty_session(table: Table) -> None:
    """null appends to an empty session only; otherwise the answer is the id of the last row."""
    session = table.session()
    ids = table.append(session, ["1", "2"], expectLastId=None)
    assert table.append_batches(table.batch(session, ["3"], expectLastId=None)) == [{"moved": ids[-1]}]
    assert table.ids(session) == ids
    table.erase(session)
    assert table.append(session, ["4"], expectLastId=None) == table.ids(session)


def test_the_right_id_lets_rows_in(table: Table) -> None:
    """The id of the last row lets the next batch in, time after time."""
    session = table.session()
    ids: list[str] = []
    for number in range(5):
        ids += table.append(session, [f"{number}a", f"{number}b"], expectLastId=ids[-1] if ids else None)
    assert table.ids(session) == ids


@pytest.mark.parametrize("kind", ["earlier", "erased", "of another session", "no id", "empty"])
def test_a_wrong_id_writes_nothing(table: Table, kind: str) -> None:
    """An id that is not that of the last row writes nothing, and the answer says which one is."""
    session, other = table.session(), table.session()
    erased, earlier, last = table.append(session, ["0", "1", "2"])
    table.erase(session, limit=1)
    (elsewhere,) = table.append(other, ["1"])
    wrong = {"earlier": earlier, "erased": erased, "of another session": elsewhere, "no id": "none", "empty": ""}
    assert table.append_batches(table.batch(session, ["3"], expectLastId=wrong[kind])) == [{"moved": last}]
    assert table.ids(session) == [earlier, last]


def test_an_emptied_session_has_moved_to_null(table: Table) -> None:
    """If an id is expected but no row is left, `moved` is null."""
    session = table.session()
    ids = table.append(session, ["1"])
    table.erase(session)
    assert table.append_batches(table.batch(session, ["2"], expectLastId=ids[0])) == [{"moved": None}]
    assert table.stored(session) == []


def test_one_moved_session_does_not_hold_up_the_others(table: Table) -> None:
    """Batches whose session moved are left out; the others of the call are written."""
    sessions = [table.session() for _ in range(5)]
    (last,) = table.append(sessions[1], ["old"])
    (end,) = table.append(sessions[3], ["old"])
    first, moved, second, right, gone = table.append_batches(
        table.batch(sessions[0], ["1", "2"], expectLastId=None),
        table.batch(sessions[1], ["3"], expectLastId=None),
        table.batch(sessions[2], ["4"]),
        table.batch(sessions[3], ["5"], expectLastId=end),
        table.batch(sessions[4], ["6"], expectLastId=last),
    )
    assert (moved, gone) == ({"moved": last}, {"moved": None})
    assert table.ids(sessions[0]) == first["ids"]
    assert table.ids(sessions[1]) == [last]
    assert table.ids(sessions[2]) == second["ids"]
    assert table.ids(sessions[3]) == [end, *right["ids"]]
    assert table.ids(sessions[4]) == []


def test_an_expectation_is_checked_without_documents_too(table: Table) -> None:
    """A batch without documents tells whether the session is where the caller thinks."""
    session = table.session()
    (last,) = table.append(session, ["1"])
    assert table.append_batches(table.batch(session, [], expectLastId=last)) == [{"ids": []}]
    assert table.append_batches(table.batch(session, [], expectLastId=None)) == [{"moved": last}]


def test_a_repeated_call_never_doubles(table: Table) -> None:
    """The same call again, as after a lost answer, writes nothing and names the row it wrote first."""
    session = table.session()
    for expected in (None, *table.append(session, ["1"], expectLastId=None)):
        batch = table.batch(session, ["a", "b"], expectLastId=expected)
        before = table.ids(session)
        answers = [table.append_batches(batch) for _ in range(3)]
        if expected is None:
            assert answers == [[{"moved": before[-1]}]] * 3
        else:
            assert answers[1:] == [[{"moved": answers[0][0]["ids"][-1]}]] * 2
            assert table.ids(session) == before + answers[0][0]["ids"]


@pytest.mark.parametrize("expected", [1.0, 1, True, ["id"], {}])
def test_an_expectation_is_null_or_text(table: Table, expected: Any) -> None:
    """Anything else is refused before anything is read."""
    session = table.session()
    with pytest.raises(FunctionFailed) as caught:
        table.append_batches(table.batch(session, ["1"], expectLastId=expected))
    assert caught.value.data is None
    assert table.stored(session) == []
