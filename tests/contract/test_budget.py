"""The budget rule: how many rows a call handles, to the byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sync_tool.encoding.sizes import size_of

from .backends import Can
from .table import MAX_BYTES, Row, Table

TEXT = "0123456789"


def size_by_hand(row: Row) -> int:
    """Return the bytes of a row of `TEXT` as Convex counts them: strings have 2 more, names 1 more."""
    data = 2 + len("content") + 1 + len(TEXT) + 2
    message = 2 + len("type") + 1 + len("human") + 2 + len("data") + 1 + data
    own = len("sessionId") + 1 + len(row["sessionId"].encode()) + 2 + len("message") + 1 + message
    return 2 + len("_id") + 1 + len(row["_id"]) + 2 + len("_creationTime") + 1 + 9 + own


def read(table: Table, session: str, **args: Any) -> tuple[int, bool]:
    """Read one page of a session and return how many rows it has and whether it was the last."""
    answer = table.query("page", sessionId=session, **args)
    return len(answer["rows"]), answer["isDone"]


def read_recent(table: Table, session: str, **args: Any) -> tuple[int, bool]:
    """Read the same rows in time order."""
    rows = table.stored(session)
    window = {
        "after": {"creationTime": rows[0]["_creationTime"], "id": ""},
        "until": {"creationTime": rows[-1]["_creationTime"], "id": "~"},
    }
    answer = table.query("recent", **window, **args)
    return len(answer["rows"]), answer["isDone"]


def read_count(table: Table, session: str, **args: Any) -> tuple[int, bool]:
    """Count one page of a session."""
    answer = table.query("count", sessionId=session, **args)
    return int(answer["n"]), answer["isDone"]


Reader = Callable[..., tuple[int, bool]]
READERS = [pytest.param(read, id="page"), pytest.param(read_count, id="count")]


@pytest.mark.parametrize("reader", READERS)
def test_bytes_are_counted_exactly(table: Table, reader: Reader) -> None:
    """A page holds the rows whose bytes, counted by hand, fit into `maxBytes`, and not one byte more."""
    session = table.session("\u00e9\U0001f600")
    table.append(session, [TEXT] * 3)
    size = size_by_hand(table.stored(session)[0])
    assert reader(table, session, limit=9, maxBytes=2 * size) == (2, False)
    assert reader(table, session, limit=9, maxBytes=2 * size - 1) == (1, False)
    assert reader(table, session, limit=9, maxBytes=3 * size - 1) == (2, False)
    assert reader(table, session, limit=9, maxBytes=3 * size) == (3, True)


@pytest.mark.parametrize("reader", READERS)
def test_a_row_above_the_budget_comes_alone(table: Table, reader: Reader) -> None:
    """A row larger than `maxBytes` is returned all the same when it is the first, and only then."""
    session = table.session()
    table.append(session, ["large " * 50, "large " * 50, "small"])
    assert reader(table, session, limit=9, maxBytes=1) == (1, False)
    table.erase(session, limit=2)
    assert reader(table, session, limit=9, maxBytes=1) == (1, True)


@pytest.mark.parametrize("reader", READERS)
def test_a_full_page_does_not_know_that_it_is_the_last(table: Table, reader: Reader) -> None:
    """`isDone` is false when the limit ended the page, even where nothing follows; then comes an empty page."""
    session = table.session()
    table.append(session, ["1", "2", "3"])
    assert reader(table, session, limit=3) == (3, False)
    assert reader(table, session, limit=4) == (3, True)
    last = table.query("page", sessionId=session, limit=3)["cursor"]
    assert read(table, session, limit=3, after=last) == (0, True)


@pytest.mark.needs(Can.ALONE)
def test_time_order_has_the_same_budget(table: Table) -> None:
    """The three rules above hold for `recent` too."""
    test_bytes_are_counted_exactly(table, read_recent)
    test_a_row_above_the_budget_comes_alone(table, read_recent)
    test_a_full_page_does_not_know_that_it_is_the_last(table, read_recent)


def test_default_budgets(table: Table) -> None:
    """By default a page holds 4 MiB and a count 8 MiB."""
    session = table.session()
    for text in ("abcdefghij"[:5], "fghij"):
        table.append(session, [letter * 1_000_000 for letter in text])
    assert read(table, session, limit=4096) == (4, False)
    assert read_count(table, session) == (8, False)
    recent = table.query("recent", limit=4096, order="desc")["rows"]
    assert 3 << 20 < sum(map(size_of, recent)) <= 4 << 20


@pytest.fixture
def huge(table: Table) -> tuple[str, list[str]]:
    """A session of 18 rows of 950,000 bytes: more than the 16 MiB that one call may read."""
    session = table.session()
    letters = ("abcdef", "ghijkl", "mnopqr")
    return session, [name for text in letters for name in table.append(session, [c * 950_000 for c in text])]


def test_huge_sessions_are_read(table: Table, huge: tuple[str, list[str]]) -> None:
    """A session larger than what a call may read is read, counted and listed with the largest budgets."""
    session, ids = huge
    pages = table.pages("page", sessionId=session, limit=4096, maxBytes=MAX_BYTES)
    assert [row["_id"] for page in pages for row in page["rows"]] == ids
    assert [len(page["rows"]) for page in pages] == [8, 8, 2]
    assert sum(page["n"] for page in table.pages("count", sessionId=session)) == len(ids)
    answer = table.query("sessions", after=table.prefix, limit=1, times=True)
    assert [found["sessionId"] for found in answer["sessions"]] == [session]


def test_huge_rows_have_bounds(table: Table, huge: tuple[str, list[str]]) -> None:
    """Probing a table of huge rows a thousand times does not break Convex's limits."""
    bounds = table.query("bounds", n=1000)["bounds"]
    assert 1 <= len(bounds) <= 1000


def test_huge_sessions_are_erased(table: Table, huge: tuple[str, list[str]]) -> None:
    """`erase` takes as many rows a call as Convex lets a mutation delete: a delete reads its row again."""
    session, ids = huge
    erased = []
    while not (answer := table.erase(session, limit=4096, maxBytes=MAX_BYTES))["isDone"]:
        erased.append(answer["erased"])
        assert table.query("page", sessionId=session, limit=1, maxBytes=1)["rows"][0]["_id"] == ids[int(sum(erased))]
    assert [*erased, answer["erased"]] == [7, 7, 4]


def test_an_erase_takes_at_most_4000_rows(table: Table) -> None:
    """However large the limit, a call stays below the 4,096 index ranges that Convex lets it read."""
    session = table.session()
    for size in (2025, 2025):
        table.append(session, ["x"] * size)
    assert table.erase(session, limit=4096) == {"erased": 4000.0, "isDone": False}
    assert table.erase(session, limit=4096) == {"erased": 50.0, "isDone": True}
