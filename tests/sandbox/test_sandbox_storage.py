"""Guarantees of the store: durability, ids, times, snapshots, index ranges only, the change log."""

from __future__ import annotations

import base64
import itertools
import json
import queue
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sync_tool.encoding.ids import decode_id
from sync_tool.sandbox.database import engine as engine_module
from sync_tool.sandbox.database.engine import Engine, Snapshots
from sync_tool.sandbox.database.schema import chat_schema
from sync_tool.sandbox.database.store import Store
from sync_tool.sandbox.database.transaction import SCAN, SCAN_HOME, Transaction
from sync_tool.sandbox.faults import ServerError
from sync_tool.sandbox.instance import Instance
from sync_tool.sandbox.options import Naming, SandboxOptions

from .box import Running, Start


def tags(box: Running, **args: Any) -> list[Any]:
    return [row["tag"] for row in box.page(**args)["rows"]]


def test_restart(starting: Start, tmp_path: Path) -> None:
    """Data, key, cursors and the order of timestamps outlive a restart on the same file."""
    file = str(tmp_path / "data.sqlite")
    args = {"table": "messages", "order": "asc", "paginationOpts": {"numItems": 1, "cursor": None}}
    first = starting("--data", file)
    first.append("s", {"tag": 1}, {"tag": 2})
    cursor = first.query("_system/cli/tableData", args)["continueCursor"]
    ts = json.loads(first.request("POST", "/api/query_ts").data)["ts"]
    assert first.stop() == 0
    second = starting("--data", file)
    assert tags(second) == [1, 2]
    args["paginationOpts"] = {"numItems": 9, "cursor": cursor}
    assert [row["tag"] for row in second.query("_system/cli/tableData", args)["page"]] == [2]
    second.append("s", {"tag": 3})
    later = json.loads(second.request("POST", "/api/query_ts").data)["ts"]
    assert int.from_bytes(base64.b64decode(later), "little") > int.from_bytes(base64.b64decode(ts), "little")


def test_key_is_kept(starting: Start, tmp_path: Path) -> None:
    """A key that was made at random is the same after a restart, another for another deployment, and printed once."""
    file, env = str(tmp_path / "data.sqlite"), {"CONVEX_MSGS_SANDBOX_KEY": ""}
    lines = []
    for flags in ([], [], ["--name", "other"]):
        running = starting("--data", file, *flags, env=env)
        lines.append(running.ready.partition("key: ")[2])
        running.stop()
    assert lines[0] == lines[1] != lines[2]
    assert lines[0].startswith("sandbox|")


def _write_until_it_breaks(box: Running, session: str, answers: queue.Queue[int]) -> None:
    for number in itertools.count():
        box.append(session, {"tag": number})
        answers.put(number)


def test_answered_writes_survive_kill(starting: Start, tmp_path: Path) -> None:
    """Whatever was answered before ``kill -9`` is there afterwards, in order and once."""
    file = str(tmp_path / "data.sqlite")
    for round_number in range(3):
        box = starting("--data", file)
        answers: queue.Queue[int] = queue.Queue()
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(_write_until_it_breaks, box, f"s{round_number}", answers)
            answered = [answers.get(timeout=60) for _ in range(20 * (round_number + 1))]
            box.kill()
            assert writing.exception() is not None
        answered += list(answers.queue)
        box = starting("--data", file)
        got = tags(box, sessionId=f"s{round_number}")
        assert got[: len(answered)] == answered
        assert len(got) <= len(answered) + 1
        box.stop()


def test_failed_mutation_writes_nothing(box: Running) -> None:
    """When one batch of a call fails nothing of the call is written."""
    good = {"sessionId": "good", "documents": [{"sessionId": "good"}]}
    bad = {"sessionId": "bad", "documents": [{"sessionId": "bad", "_x": 1}]}
    assert box.call("mutation", "convexMsgs:append", {"batches": [good, bad]})["status"] == "error"
    assert tags(box, sessionId="good") == []


def test_ids(box: Running) -> None:
    """Ids are those of Convex: decodable, of the table's number, of today, random in order and never the same twice."""
    ids = box.append("ids", *({} for _ in range(2000)))["ids"]
    assert len(set(ids)) == 2000
    assert ids != sorted(ids)
    today = int(time.time()) // 86_400
    assert {decode_id(name).table_number for name in ids} == {10_001}
    assert {int.from_bytes(decode_id(name).internal[-2:]) - today for name in ids} <= {-1, 0}
    assert {len(name) for name in ids} == {32}


def test_creation_times(box: Running) -> None:
    """Within a mutation times rise by one step of a float64, and they lie between asking and answer."""
    before = time.time() * 1000
    box.append("times", *({} for _ in range(50)))
    after = time.time() * 1000
    times = [row["_creationTime"] for row in box.page(sessionId="times")["rows"]]
    assert {second - first for first, second in pairwise(times)} == {2.0**-12}
    assert before - 0.001 <= times[0]
    assert times[-1] <= after + 1


def test_tables_are_numbered(box: Running) -> None:
    """Each new table takes the next number."""
    for name in ("first", "second", "first"):
        box.call("mutation", "langchain/db:insert", {"table": name, "document": {}})
    mapping = box.query("_system/frontend/getTableMapping", {})
    assert [name for name in mapping.values() if name != "messages"] == ["first", "second"]
    assert sorted(int(number) for number in mapping) == list(range(10_001, 10_001 + len(mapping)))


def test_accessors_of_langchain(box: Running) -> None:
    """LangChain's five accessors insert, find, replace and delete."""
    keyed = {"table": "messages", "index": "bySessionId", "keyField": "sessionId", "key": "lc"}
    box.call("mutation", "langchain/db:insert", {"table": "messages", "document": {"sessionId": "lc", "tag": 1}})
    (row,) = box.query("langchain/db:lookup", keyed)
    box.call("mutation", "langchain/db:upsert", {**keyed, "document": {"sessionId": "lc", "tag": 2}})
    assert box.query("langchain/db:get", {"id": row["_id"]}) == {**row, "tag": 2}
    box.call("mutation", "langchain/db:deleteMany", keyed)
    assert box.query("langchain/db:lookup", keyed) == []
    box.call("mutation", "langchain/db:upsert", {**keyed, "document": {"sessionId": "lc"}})
    box.call("mutation", "langchain/db:insert", {"table": "messages", "document": {"sessionId": "lc"}})
    answer = box.call("mutation", "langchain/db:upsert", {**keyed, "document": {}})
    assert "unique() query returned more than one result" in answer["errorMessage"]


def test_every_read_is_an_index_range(instance: Instance) -> None:
    """SQLite answers every scan from one range of a B-tree, without sorting."""

    def plans(db: Transaction) -> list[str]:
        rows = [
            *db.connection.execute(f"EXPLAIN QUERY PLAN {SCAN_HOME}", (1, b"", b"")),
            *db.connection.execute(f"EXPLAIN QUERY PLAN {SCAN_HOME} DESC", (1, b"", b"")),
            *db.connection.execute(f"EXPLAIN QUERY PLAN {SCAN}", (1, 1, b"", b"")),
            *db.connection.execute(f"EXPLAIN QUERY PLAN {SCAN} DESC", (1, 1, b"", b"")),
        ]
        return [row[3] for row in rows]

    home = "SEARCH documents USING PRIMARY KEY (slot=? AND key>? AND key<?)"
    other = "SEARCH entries USING PRIMARY KEY (index_number=? AND key>? AND key<?)"
    one = "SEARCH documents USING PRIMARY KEY (slot=? AND key=?)"
    assert instance.engine.read(plans)[0] == [home, home, other, one, other, one]


def test_only_what_is_taken_is_read(instance: Instance) -> None:
    """A page counts the documents it took, and notes the range up to the last of them."""
    instance.engine.write(lambda db: [db.insert("messages", {"sessionId": "s"}) for _ in range(10)])

    def run(db: Transaction) -> tuple[int, int]:
        rows = db.scan(db.range("messages", "bySessionId"))
        taken = [next(rows) for _ in range(3)]
        rows.close()
        assert db.ranges[0].holds(db.ranges[0].number, taken[-1].key)
        assert db.ranges[0].stop == taken[-1].key + b"\x00"
        return len(taken), db.documents_read

    assert instance.engine.read(run)[0] == (3, 3)


def test_other_declared_index(tmp_path: Path) -> None:
    """A file opened with another session field is indexed by that field, and its change log is kept."""
    path = tmp_path / "data.sqlite"
    store = Store(path, durable=False)
    engine = Engine(store, chat_schema(Naming(), "any"))
    for number in range(3):
        engine.write(lambda db, n=number: db.insert("messages", {"sessionId": "s", "user": f"u{2 - n}"}))
    before = store.writer.execute("SELECT commit_number, size FROM documents ORDER BY 1").fetchall()
    store.close()
    store = Store(path, durable=False)
    engine = Engine(store, chat_schema(Naming("messages", "byUser", "user"), "any"))
    found, _ = engine.read(lambda db: [row.document["user"] for row in db.scan(db.range("messages", "byUser"))])
    assert found == ["u0", "u1", "u2"]
    assert store.writer.execute("SELECT commit_number, size FROM documents ORDER BY 1").fetchall() == before
    store.close()


def test_change_log(instance: Instance) -> None:
    """Every version of a document, and its deletion, is listed with its commit."""
    engine = instance.engine
    name = engine.write(lambda db: db.insert("messages", {"n": 1.0}))[0]
    engine.write(lambda db: db.replace(name, {"n": 2.0}))
    engine.write(lambda db: db.delete(name))

    def log(db: Transaction) -> list[Any]:
        return db.connection.execute("SELECT commit_number, body FROM revisions ORDER BY 1").fetchall()

    bodies = [None if body is None else json.loads(body)["n"] for _, body in engine.read(log)[0]]
    assert bodies == [1.0, 2.0, None]
    assert engine.read(lambda db: db.row_count("messages"))[0] == 0


def test_timestamps_rise(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commit timestamps rise strictly even when the clock stands still or goes back."""
    engine = instance.engine
    first = engine.latest_ts
    monkeypatch.setattr(time, "time_ns", lambda: first - 10**12)
    stamps = [first, *(engine.write(lambda db: db.insert("messages", {}))[1] for _ in range(3))]
    assert stamps == sorted(set(stamps))


def test_two_queries_at_one_timestamp(box: Running) -> None:
    """A timestamp shows the same state whatever is written afterwards; the newest shows the newest."""
    box.append("snap", {"tag": 1})
    ts = json.loads(box.request("POST", "/api/query_ts").data)["ts"]
    box.append("snap", {"tag": 2})
    args = {"limit": 10, "sessionId": "snap"}
    assert len(box.query("convexMsgs:page", args)["rows"]) == 2
    for _ in range(2):
        assert len(box.call("query_at_ts", "convexMsgs:page", args, ts=ts)["value"]["rows"]) == 1


@pytest.mark.parametrize(("ts", "status"), [(1, 503), (2**62, 500), (None, 500)])
def test_timestamps_that_cannot_be_read(box: Running, ts: int | None, status: int) -> None:
    """Too old is 503, the future and garbage are 500, all with the generic code."""
    text = "xx" if ts is None else base64.b64encode(ts.to_bytes(8, "little")).decode()
    body = {"path": "convexMsgs:info", "args": {}, "ts": text}
    answer = box.request("POST", "/api/query_at_ts", body)
    assert (answer.status, json.loads(answer.data)["code"]) == (status, "InternalServerError")


def test_snapshots_end(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old state can be read for ten seconds after the next commit; the newest one for as long as it is that."""
    clock = [100.0]
    monkeypatch.setattr(engine_module.time, "monotonic", lambda: clock[0])
    states = Snapshots(instance.engine)
    ts = states.newest()
    clock[0] += 1000
    assert states.read_at(ts, lambda _: "read") == "read"
    instance.engine.write(lambda db: db.insert("messages", {}))
    clock[0] += 9.9
    assert states.read_at(ts, lambda _: "read") == "read"
    clock[0] += 0.2
    with pytest.raises(ServerError, match="503"):
        states.read_at(ts, lambda _: "read")
    states.close()


def test_query_batch(box: Running) -> None:
    """A batch answers each query with its own outcome, from one state; a bad path fails the whole."""
    box.append("batch", {"tag": 1})
    queries = [
        {"path": "convexMsgs:count", "args": {"sessionId": "batch"}},
        {"path": "convexMsgs:page", "args": {"limit": 0}, "format": "json"},
    ]
    first, second = json.loads(box.request("POST", "/api/query_batch", {"queries": queries}).data)["results"]
    assert first["value"]["n"] == 1.0
    assert second["errorData"]["code"] == "bad_limit"
    for bad in ({"path": "a b", "args": {}}, {**queries[0], "format": "xml"}):
        assert box.request("POST", "/api/query_batch", {"queries": [bad]}).status == 400


def test_latency(starting: Start) -> None:
    """--latency is added to every call."""
    box = starting("--latency", "50")
    began = time.monotonic()
    box.query("convexMsgs:info", {})
    assert time.monotonic() - began >= 0.05


def test_a_foreign_file_is_left_alone(tmp_path: Path) -> None:
    """An SQLite file of something else, and a file of another kind, are refused and not changed."""
    for name, content in (("other.sqlite", None), ("text.txt", b"hello" * 300)):
        path = tmp_path / name
        if content is None:
            with sqlite3.connect(path) as connection:
                connection.execute("CREATE TABLE t (x)")
            connection.close()
        else:
            path.write_bytes(content)
        before = path.read_bytes()
        with pytest.raises(Exception, match=r"not a file of the sandbox|not one of the sandbox"):
            Store(path, durable=True)
        assert path.read_bytes() == before


_TO_FORMAT_2 = """
ALTER TABLE tables DROP COLUMN number;
ALTER TABLE tables RENAME COLUMN slot TO number;
ALTER TABLE documents RENAME COLUMN slot TO table_number;
ALTER TABLE revisions RENAME COLUMN slot TO table_number;
UPDATE meta SET value = '2' WHERE name = 'format';
"""


def test_a_file_of_the_format_before(tmp_path: Path) -> None:
    """A file whose tables have one number only is converted to the current format, with its rows."""
    file = tmp_path / "data.sqlite"
    inside = Instance(SandboxOptions(data=file))
    document_id, _ = inside.engine.write(lambda db: db.insert("messages", {"sessionId": "s"}))
    inside.close()
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(_TO_FORMAT_2)
    again = Instance(SandboxOptions(data=file))
    try:
        assert again.engine.read(lambda db: db.find(document_id))[0] is not None
        assert again.engine.write(lambda db: db.insert("other", {}))[0] != document_id
        assert again.engine.read(lambda db: sorted(table.number for table in db.tables.values()))[0] == [10_001, 10_002]
    finally:
        again.close()
