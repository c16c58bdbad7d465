"""A session whose last row is dated in the future cannot be appended to: new rows would not be the last."""

from __future__ import annotations

import pytest

from .backends import Can
from .raw import FUTURE, YEAR_2100
from .table import Table, refusal

pytestmark = pytest.mark.needs(Can.RAW_ROWS)


@pytest.mark.parametrize("expecting", [True, False])
def test_appending_is_refused(table: Table, expecting: bool) -> None:
    """The refusal is `tail_in_future`, names session and time, and nothing of the whole call is written."""
    before, after = table.session(), table.session()
    expect: dict[str, str | None] = {"expectLastId": table.ids(FUTURE)[-1]} if expecting else {}
    batches = [table.batch(before, ["1"]), table.batch(FUTURE, ["2"], **expect), table.batch(after, ["3"])]
    data = refusal(lambda: table.append_batches(*batches))
    assert (data["code"], data["sessionId"], data["lastTime"]) == ("tail_in_future", FUTURE, YEAR_2100)
    assert table.stored(before) == table.stored(after) == []
    assert len(table.stored(FUTURE)) == 2


def test_an_unmet_expectation_comes_first(table: Table) -> None:
    """If the session is not what the caller expects, nothing would be written anyway: `moved`, no refusal."""
    last = table.ids(FUTURE)[-1]
    other = table.session()
    results = table.append_batches(table.batch(FUTURE, ["1"], expectLastId=None), table.batch(other, ["2"]))
    assert results == [{"moved": last}, {"ids": table.ids(other)}]


def test_nothing_to_write_is_no_conflict(table: Table) -> None:
    """A batch without documents has no row that could sort wrongly."""
    assert table.append_batches(table.batch(FUTURE, [])) == [{"ids": []}]


def test_other_sessions_do_not_suffer(table: Table) -> None:
    """A future row in one session moves neither the times nor the order of rows in others."""
    session = table.session()
    ids = table.append(session, ["1", "2"])
    ids += table.append(session, ["3"])
    assert table.ids(session) == ids
    assert all(row["_creationTime"] < YEAR_2100 for row in table.stored(session))
