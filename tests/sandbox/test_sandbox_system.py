"""Convex's own functions: what the CLI and the dashboard ask."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_tool.sandbox.database.cursors import Cursors, fingerprint_of
from sync_tool.sandbox.functions.filters import UNDEFINED

from .box import Running, Start


@pytest.fixture(scope="module")
def rows(box: Running) -> list[Any]:
    """Ten rows of two sessions, and one without a session."""
    for number in range(10):
        box.append("ab"[number % 2], {"n": number, "even": number % 2 == 0})
    box.call("mutation", "langchain/db:insert", {"table": "messages", "document": {"n": 99}})
    return box.query("convexMsgs:recent", {"limit": 100})["rows"]


def table_data(box: Running, cursor: str | None, items: float = 4, order: str = "asc", **opts: Any) -> Any:
    args = {"table": "messages", "order": order, "paginationOpts": {"numItems": items, "cursor": cursor, **opts}}
    return box.call("query", "_system/cli/tableData", args)


def documents(box: Running, expression: Any, items: float = 100, cursor: str | None = None) -> Any:
    filters = None if expression is None else base64.b64encode(json.dumps(expression).encode()).decode()
    args = {"table": "messages", "filters": filters, "paginationOpts": {"numItems": items, "cursor": cursor}}
    return box.query("_system/frontend/paginatedTableDocuments", args)


def numbers(page: Any) -> list[float]:
    return [row["n"] for row in page["page"]]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_walk(box: Running, rows: list[Any], order: str) -> None:
    """Pages by cursor give every row once, in order."""
    cursor, got = None, []
    while True:
        page = table_data(box, cursor, order=order)["value"]
        got += page["page"]
        cursor = page["continueCursor"]
        if page["isDone"]:
            break
    assert got == (rows if order == "asc" else rows[::-1])


def test_full_last_page_is_followed_by_an_empty_one(box: Running, rows: list[Any]) -> None:
    """A page that is exactly full is not done; the next one is empty and done; the last cursor stays at the end."""
    page = table_data(box, None, items=len(rows))["value"]
    assert (len(page["page"]), page["isDone"]) == (len(rows), False)
    end = table_data(box, page["continueCursor"])["value"]
    assert (end["page"], end["isDone"]) == ([], True)
    assert table_data(box, end["continueCursor"])["value"]["page"] == []


def test_bounded_page(box: Running, rows: list[Any]) -> None:
    """With an end cursor a page holds everything up to it, whatever numItems says."""
    first = table_data(box, None, items=6)["value"]
    again = table_data(box, None, items=1, endCursor=first["continueCursor"])["value"]
    assert again["page"] == rows[:6]
    assert again["continueCursor"] == first["continueCursor"]
    halves = table_data(box, first["splitCursor"], items=1, endCursor=first["continueCursor"])["value"]
    assert halves["page"] == rows[4:6]


def test_cursors_are_deterministic(box: Running, rows: list[Any]) -> None:
    """The same position gives the same cursor, and numItems may change in between."""
    assert table_data(box, None)["value"]["continueCursor"] == table_data(box, None)["value"]["continueCursor"]
    page = table_data(box, table_data(box, None)["value"]["continueCursor"], items=2)["value"]
    assert page["page"] == rows[4:6]


def test_cursor_of_another_query(box: Running, rows: list[Any]) -> None:
    """A cursor used with another order is InvalidCursor, with data that survives redaction."""
    answer = table_data(box, table_data(box, None)["value"]["continueCursor"], order="desc")
    assert answer["errorData"] == {"isConvexSystemError": True, "paginationError": "InvalidCursor"}
    assert "from a different query" in answer["errorMessage"]


@pytest.mark.parametrize(
    "change", [lambda c: "zz", lambda c: c[:-2], lambda c: c + "00", lambda c: "06" + c[2:], lambda c: ""]
)
def test_garbage_cursors(box: Running, rows: list[Any], change: Any) -> None:
    """A cursor that is not the deployment's own is refused without data."""
    answer = table_data(box, change(table_data(box, None)["value"]["continueCursor"]))
    assert "Failed to parse cursor" in answer["errorMessage"]
    assert "errorData" not in answer


def test_cursor_of_another_deployment(box: Running, rows: list[Any], starting: Start) -> None:
    """A cursor of one deployment means nothing to another one."""
    other = starting()
    answer = table_data(other, table_data(box, None)["value"]["continueCursor"])
    assert "Failed to parse cursor" in answer["errorMessage"]


@given(key=st.binary(max_size=80) | st.none())
def test_any_position_fits_into_a_cursor(key: bytes | None) -> None:
    """A cursor is read back as it was written."""
    cursors, fingerprint = Cursors(b"secret" * 4, "name"), fingerprint_of("a", 1)
    assert cursors.read(cursors.write(fingerprint, key), fingerprint) == key


@pytest.mark.parametrize(
    ("items", "gist"),
    [(0, "at least 1 document"), (-1, "must be a positive"), (1.5, "positive"), (32_001, "too many items")],
)
def test_impossible_page_sizes(box: Running, items: float, gist: str) -> None:
    """A page of no, a broken or too large a number of items is refused."""
    assert gist in table_data(box, None, items=items)["errorMessage"]


def test_page_ends_at_five_megabytes(starting: Start) -> None:
    """A page of a system query stops once it holds 5,000,000 bytes, and going on loses nothing."""
    box = starting()
    for _ in range(3):
        box.append("big", *({"text": "x" * 500_000} for _ in range(4)))
    page = table_data(box, None, items=100)["value"]
    assert (len(page["page"]), page["isDone"], page["pageStatus"]) == (10, False, "SplitRequired")
    rest = table_data(box, page["continueCursor"], items=100)["value"]
    assert (len(rest["page"]), rest["isDone"]) == (2, True)


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ({"name": "bySessionId", "clauses": [{"type": "indexEq", "enabled": True, "value": "a"}]}, [0, 2, 4, 6, 8]),
        ({"name": "bySessionId", "clauses": [{"type": "indexEq", "enabled": True, "value": UNDEFINED}]}, [99]),
        ({"name": "bySessionId", "clauses": []}, [99, 0, 2, 4, 6, 8, 1, 3, 5, 7, 9]),
        (
            {
                "name": "bySessionId",
                "clauses": [{"type": "indexRange", "enabled": True, "lowerOp": "gt", "lowerValue": "a"}],
            },
            [1, 3, 5, 7, 9],
        ),
        (
            {
                "name": "bySessionId",
                "clauses": [{"type": "indexRange", "enabled": True, "upperOp": "lt", "upperValue": "b"}],
            },
            [99, 0, 2, 4, 6, 8],
        ),
        (
            {"name": "bySessionId", "clauses": [{"type": "indexEq", "enabled": False, "value": "a"}]},
            [99, 0, 2, 4, 6, 8, 1, 3, 5, 7, 9],
        ),
        ({"name": "by_creation_time", "clauses": []}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 99]),
    ],
)
def test_index_ranges(box: Running, rows: list[Any], index: Any, expected: list[float]) -> None:
    """An index range selects and orders rows, both ways."""
    assert numbers(documents(box, {"clauses": [], "order": "asc", "index": index})) == expected
    assert numbers(documents(box, {"clauses": [], "index": index})) == expected[::-1]


def test_range_on_time_within_a_session(box: Running, rows: list[Any]) -> None:
    """Behind an equal session a range may follow on the creation time, and on nothing after it."""
    session = {"type": "indexEq", "enabled": True, "value": "a"}
    since = {"type": "indexRange", "enabled": True, "lowerOp": "gte", "lowerValue": rows[4]["_creationTime"]}
    until = {**since, "upperOp": "lte", "upperValue": rows[6]["_creationTime"]}
    index = {"name": "bySessionId", "clauses": [session, until]}
    assert numbers(documents(box, {"clauses": [], "order": "asc", "index": index})) == [4, 6]
    three = documents(box, {"clauses": [], "index": {"name": "bySessionId", "clauses": [session, session, session]}})
    assert three["page"] == [{"error": "Index bySessionId has 2 fields, but the query has 3 clauses.", "filter": -1.0}]


@pytest.mark.parametrize(
    "index",
    [
        {"name": "nope", "clauses": []},
        {
            "name": "bySessionId",
            "clauses": [{"type": "indexEq", "enabled": False}, {"type": "indexEq", "enabled": True}],
        },
        {
            "name": "bySessionId",
            "clauses": [{"type": "indexRange", "enabled": True}, {"type": "indexEq", "enabled": True}],
        },
    ],
)
def test_bad_index_filters_come_back_as_data(box: Running, rows: list[Any], index: Any) -> None:
    """A filter that cannot be applied is answered with a page whose only element is the fault."""
    page = documents(box, {"clauses": [], "index": index})
    assert page["isDone"] is True
    assert [set(element) for element in page["page"]] == [{"error", "filter"}]


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        ({"op": "eq", "field": "n", "value": 4}, [4]),
        ({"op": "neq", "field": "n", "value": 4}, [0, 1, 2, 3, 5, 6, 7, 8, 9, 99]),
        ({"op": "gt", "field": "n", "value": 7}, [8, 9, 99]),
        ({"op": "gte", "field": "n", "value": 8}, [8, 9, 99]),
        ({"op": "lt", "field": "n", "value": 1}, [0]),
        ({"op": "lte", "field": "n", "value": 1}, [0, 1]),
        ({"op": "eq", "field": "sessionId", "value": UNDEFINED}, [99]),
        ({"op": "anyOf", "field": "n", "value": [1, 3]}, [1, 3]),
        ({"op": "noneOf", "field": "sessionId", "value": ["a", "b"]}, [99]),
        ({"op": "type", "field": "sessionId", "value": "unset"}, [99]),
        ({"op": "notype", "field": "sessionId", "value": "string"}, [99]),
        ({"op": "type", "field": "_id", "value": "id"}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 99]),
        ({"op": "eq", "field": "n", "value": 4, "enabled": False}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 99]),
        ({"op": "eq", "value": 4}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 99]),
    ],
)
def test_clauses(box: Running, rows: list[Any], clause: Any, expected: list[float]) -> None:
    """Clauses filter what was read."""
    assert numbers(documents(box, {"clauses": [clause], "order": "asc"})) == expected


def test_filtered_pages_can_be_short(box: Running, rows: list[Any]) -> None:
    """numItems counts what is left after filtering; the walk goes on until it is done."""
    expression = {"clauses": [{"op": "eq", "field": "even", "value": True}], "order": "asc"}
    first = documents(box, expression, items=3)
    assert (numbers(first), first["isDone"]) == ([0, 2, 4], False)
    assert numbers(documents(box, expression, cursor=first["continueCursor"])) == [6, 8]


def test_one_document_by_id(box: Running, rows: list[Any]) -> None:
    """The only clause "_id equals" fetches that document, or an empty page."""
    for value, expected in ((rows[3]["_id"], [rows[3]]), ("nope", []), (5, [])):
        assert documents(box, {"clauses": [{"op": "eq", "field": "_id", "value": value}]})["page"] == expected


def test_bad_clause_values(box: Running, rows: list[Any]) -> None:
    """A clause whose value is no Convex value is a fault with the number of the clause."""
    clauses = [{"op": "eq", "field": "n", "value": 1}, {"op": "eq", "field": "n", "value": {"$integer": 5}}]
    assert documents(box, {"clauses": clauses})["page"][0]["filter"] == 1.0


def test_no_filters(box: Running, rows: list[Any]) -> None:
    """Without filters the newest rows come first."""
    assert documents(box, None)["page"] == rows[::-1]


def test_tables(box: Running, rows: list[Any]) -> None:
    """Tables, their numbers and sizes can be asked."""
    assert box.query("_system/cli/tables", {"paginationOpts": {"numItems": 9, "cursor": None}})["page"] == [
        {"name": "messages"}
    ]
    assert box.query("_system/frontend/getTableMapping", {}) == {"10001": "messages"}
    assert box.query("_system/cli/tableSize", {"tableName": "messages"}) == len(rows)
    assert box.query("_system/cli/tableSize", {"tableName": "nope"}) == 0.0
    assert box.query("_system/frontend/deploymentState:deploymentState", {}) == {"state": "running"}


def test_list_by_id(box: Running, rows: list[Any]) -> None:
    """Documents are listed by id, with null for what is not there or in another table."""
    wanted = [rows[1]["_id"], "nope", rows[2]["_id"]]
    ids = [
        {"id": name, "tableName": table} for name, table in zip(wanted, ("messages", "messages", "other"), strict=True)
    ]
    assert box.query("_system/frontend/listById", {"ids": ids}) == [rows[1], None, None]


def test_indexes(box: Running, rows: list[Any]) -> None:
    """The indexes of a table are listed with the field that Convex appends."""
    expected = {
        "name": "bySessionId",
        "staged": False,
        "fields": ["sessionId", "_creationTime"],
        "backfill": {"state": "done"},
    }
    assert box.query("_system/frontend/indexes", {"tableName": "messages", "tableNamespace": None}) == [expected]
    assert box.query("_system/frontend/indexes", {"tableName": "nope", "tableNamespace": None}) is None


def test_api_spec(box: Running) -> None:
    """All deployed functions are listed, and every one of them is internal."""
    spec = box.query("_system/cli/modules:apiSpec", {})
    kinds = {entry["identifier"]: entry["functionType"] for entry in spec}
    assert kinds["convexMsgs.js:page"] == "Query"
    assert kinds["convexMsgs.js:append"] == "Mutation"
    assert {entry["visibility"]["kind"] for entry in spec} == {"internal"}
    assert all(entry["args"]["type"] == "object" for entry in spec)


def test_an_unknown_component_is_an_error(box: Running) -> None:
    """A system query of a component that does not exist fails instead of reading the root's tables."""
    assert box.query("_system/cli/tableSize", {"tableName": "nope", "componentId": None}) == 0
    answer = box.call("query", "_system/cli/tableSize", {"tableName": "messages", "componentId": "kh72"})
    assert "Component kh72 not found" in answer["errorMessage"]
