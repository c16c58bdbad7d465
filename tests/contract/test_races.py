"""Several callers at once: no row is lost, none is doubled, and a reader sees each row once."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

from .table import Row, Table

T = TypeVar("T")


def at_once(*calls: Callable[[], T]) -> list[T]:
    """Run all `calls` at the same moment and return their results."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        start.wait(timeout=60)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(timeout=60) for future in [pool.submit(run, call) for call in calls]]


@contextmanager
def meanwhile(work: Callable[[int], Any]) -> Iterator[None]:
    """Repeat `work` with a running number in another thread, at least once, until the block ends."""
    end = threading.Event()

    def run() -> None:
        number = 0
        while number == 0 or not end.is_set():
            work(number)
            number += 1

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        try:
            yield
        finally:
            end.set()
            running.result(timeout=60)


@pytest.mark.parametrize("start", ["empty", "not empty"])
def test_one_of_two_racing_appends_wins(table: Table, start: str) -> None:
    """Of appends that race with the same expectation exactly one writes, and the others learn of its last row."""
    for _ in range(6):
        session = table.session()
        before = table.append(session, ["old"]) if start == "not empty" else []
        last = before[-1] if before else None
        texts = [[f"{caller}a", f"{caller}b"] for caller in range(4)]
        batches = [table.batch(session, text, expectLastId=last) for text in texts]
        results = at_once(*(lambda batch=batch: table.append_batches(batch)[0] for batch in batches))
        (winner,) = [result["ids"] for result in results if "ids" in result]
        assert [result for result in results if "ids" not in result] == [{"moved": winner[-1]}] * 3
        assert table.ids(session) == before + winner


def test_appends_without_expectation_do_not_mix(table: Table) -> None:
    """Racing appends that expect nothing are all written, each as one piece in its order."""
    session = table.session()
    texts = [[f"{caller} {number}" for number in range(20)] for caller in range(4)]
    written = at_once(*(lambda text=text: table.append(session, text) for text in texts))
    rows = table.stored(session)
    assert sorted(row["_id"] for row in rows) == sorted(name for ids in written for name in ids)
    for ids in written:
        assert [row["_id"] for row in rows if row["_id"] in ids] == ids
    times = [row["_creationTime"] for row in rows]
    assert times == sorted(times)


def send_and_hang_up(table: Table, batch: dict[str, Any]) -> None:
    """Send an append and close the connection without waiting for the answer."""
    parts = urlsplit(table.backend.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=60)
    body = json.dumps({"path": "convexMsgs:append", "args": {"batches": [batch]}})
    headers = {"Content-Type": "application/json", "Authorization": f"Convex {table.backend.key}"}
    connection.request("POST", "/api/mutation", body, headers)
    connection.close()


def test_an_append_whose_answer_was_lost(table: Table) -> None:
    """Sent again after its connection broke, an append is written once, whether or not it ran the first time."""
    for _ in range(10):
        session = table.session()
        (last,) = table.append(session, ["old"])
        batch = table.batch(session, ["a", "b", "c"], expectLastId=last)
        send_and_hang_up(table, batch)
        (result,) = table.append_batches(batch)
        rows = table.stored(session)
        assert [row["message"]["data"]["content"] for row in rows] == ["old", "a", "b", "c"]
        assert rows[-1]["_id"] == (result["ids"][-1] if "ids" in result else result["moved"])


def test_reading_all_while_others_write(table: Table) -> None:
    """A walk with small pages, while rows come and go all around, gives each lasting row once and in order."""
    lasting = [table.session(f"{letter} lasting") for letter in "bdf"]
    for session in lasting:
        table.append(session, map(str, range(25)))
    expected = [row for session in lasting for row in table.stored(session)]

    def disturb(number: int) -> None:
        session = table.session("ace"[number % 3])
        table.append_batches(table.batch(session, ["x", "y"]), table.batch(lasting[number % 3], ["later"]))
        table.erase(session, limit=1 + number % 3)

    with meanwhile(disturb):
        walks = [table.rows(limit=limit, **table.own(order)) for limit in (1, 7) for order in ("asc", "desc")]
    for number, rows in enumerate(walks):
        assert_once_and_in_order(rows if number % 2 == 0 else rows[::-1], table)
        found = [row for row in rows if row in expected]
        assert found == (expected if number % 2 == 0 else expected[::-1])


def assert_once_and_in_order(rows: list[Row], table: Table) -> None:
    """Check that rows rise strictly in session order."""
    keys = [table.key(row) for row in rows]
    assert keys == sorted(set(keys))


def test_reading_a_session_while_its_old_rows_are_erased(table: Table) -> None:
    """While a session loses rows at its start and gains some at its end, a walk misses none of those that stay."""
    session = table.session()
    table.append(session, map(str, range(90)))
    rows = table.stored(session)

    def shift(number: int) -> None:
        if number < 40:
            table.append(session, ["new"])
            table.erase(session, throughId=rows[number]["_id"])

    with meanwhile(shift):
        found = table.rows(sessionId=session, limit=2)
    assert_once_and_in_order(found, table)
    assert [row for row in found if row in rows[40:]] == rows[40:]


def test_counting_and_paging_a_session_in_time_order_while_it_grows(table: Table) -> None:
    """A walk in time order returns every row that existed before it, despite writes at the same time."""
    session = table.session()
    table.append(session, map(str, range(60)))
    rows = table.stored(session)
    after = {"creationTime": rows[0]["_creationTime"], "id": ""}
    until = {"creationTime": rows[-1]["_creationTime"], "id": "~"}
    with meanwhile(lambda number: table.append(session, [str(number)])):
        found = table.rows("recent", limit=3, after=after, until=until)
        counts = [table.query("count", sessionId=session, until=table.position(rows[-1]))["n"] for _ in range(20)]
    assert [row for row in found if row["sessionId"] == session] == rows
    assert counts == [len(rows) - 1] * 20


def test_racing_erasers_take_each_row_once(table: Table) -> None:
    """Of several erasers of one session each row is counted by exactly one, and none passes the bound."""
    session = table.session()
    ids = table.append(session, map(str, range(40)))

    def erase_all() -> float:
        erased, done = 0.0, False
        while not done:
            answer = table.erase(session, throughId=ids[29], limit=3)
            erased, done = erased + answer["erased"], answer["isDone"]
            assert answer["erased"] or done, "erasing does not move on"
        return erased

    assert sum(at_once(*[erase_all] * 4)) == 30
    assert table.ids(session) == ids[30:]
