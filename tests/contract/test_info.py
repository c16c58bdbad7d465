"""``info``, and the names that every other function takes."""

from __future__ import annotations

from typing import Any

import pytest

from sync_tool.errors import FunctionFailed

from .backends import Backend, Can
from .table import Table

READS: list[tuple[str, dict[str, Any]]] = [
    ("page", {"limit": 1}), ("recent", {"limit": 1}), ("sessions", {"limit": 1}), ("bounds", {"n": 1}), ("count", {}),
]  # fmt: skip


def test_info_names_tool_and_version(backend: Backend) -> None:
    """`info` says which contract the deployed functions keep."""
    assert backend.client.query_value("convexMsgs:info", {}) == {"name": "convex-msgs", "version": 1.0}


@pytest.mark.parametrize(("function", "args"), READS)
def test_default_names_may_be_given(table: Table, function: str, args: dict[str, Any]) -> None:
    """Giving LangChain's names is the same as giving none."""
    names = {"table": "messages", "index": "bySessionId", "sessionField": "sessionId"}
    own = {} if function in ("sessions", "bounds") else {"until": None}
    given = table.query(function, **args, **own, **names)
    assert given.keys() == table.query(function, **args, **own).keys()


@pytest.mark.parametrize(("function", "args"), READS)
def test_unknown_arguments_are_refused(table: Table, function: str, args: dict[str, Any]) -> None:
    """An argument that the contract does not know is an error, not ignored."""
    with pytest.raises(FunctionFailed) as caught:
        table.query(function, **args, unheardOf=True)
    assert caught.value.data is None


@pytest.mark.parametrize("name", [{"index": "byNothing"}, {"table": "noTable"}, {"sessionField": "noField"}])
def test_unknown_names_are_refused(table: Table, name: dict[str, str]) -> None:
    """Naming a table, an index or a field that is not there fails; it does not read something else."""
    session = table.session()
    for function in ("page", "count"):
        with pytest.raises(FunctionFailed) as caught:
            table.query(function, limit=1, sessionId=session, **name)
        assert caught.value.data is None


@pytest.mark.needs(Can.OTHER_NAMES)
def test_every_function_works_under_other_names(renamed: Table) -> None:
    """Table, index and session field may have any names: each function takes them as arguments."""
    one, two = renamed.session(), renamed.session()
    ids = renamed.append(one, ["1", "2", "3"])
    other = renamed.append(two, ["4"])
    rows = renamed.rows(**renamed.own())
    assert [row["_id"] for row in rows] == ids + other
    assert [row["chat"] for row in rows] == [one] * 3 + [two]
    assert sorted(row["_id"] for row in renamed.rows("recent")) == sorted(ids + other)
    first, last = rows[0]["_creationTime"], rows[2]["_creationTime"]
    found = renamed.query("sessions", limit=1, times=True)
    assert found["sessions"] == [{"sessionId": one, "first": first, "last": last}]
    assert renamed.query("count", sessionId=one)["n"] == 3
    places = [renamed.position(row) for row in rows]
    assert all(place in places for place in renamed.query("bounds", n=9)["bounds"])
    assert renamed.append_batches(renamed.batch(one, ["5"], expectLastId=None)) == [{"moved": ids[-1]}]
    assert renamed.erase(one, throughId=ids[1])["erased"] == 2
    assert renamed.ids(one) == ids[2:]
