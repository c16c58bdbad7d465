"""The limits of a deployment."""

from __future__ import annotations

import asyncio
import json
import math
import tracemalloc
from itertools import product
from typing import Any

import pytest

from sync_tool.sandbox import limits
from sync_tool.sandbox.database.documents import Row
from sync_tool.sandbox.database.transaction import Interval, Transaction
from sync_tool.sandbox.database.writing import WriteTransaction
from sync_tool.sandbox.faults import FunctionError, ServerError
from sync_tool.sandbox.functions.calls import Call
from sync_tool.sandbox.instance import Instance
from sync_tool.sandbox.limits import binary_size
from sync_tool.sandbox.options import SandboxOptions
from sync_tool.sandbox.paths import parse_path

from .box import Running, Start

MIB = 1 << 20
LOOKUP = {"table": "messages", "index": "bySessionId", "keyField": "sessionId"}


def insert(box: Running, document: Any) -> str:
    answer = box.call("mutation", "langchain/db:insert", {"table": "messages", "document": document})
    return answer.get("errorMessage", "")


def fill(instance: Instance, count: int, text: str = "", session: str = "s") -> None:
    def run(db: WriteTransaction) -> None:
        for _ in range(count):
            db.insert("messages", {"sessionId": session, "text": text})
            db.forget()

    instance.engine.write(run)


def query(instance: Instance, path: str, args: Any) -> str:
    outcome = instance.caller.query(Call(parse_path(path), [args], admin=True))
    return "" if outcome.failure is None else outcome.failure.message


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = {"a": value}
    return value


def test_document_size(box: Running) -> None:
    """A document of exactly 1 MiB is stored, one byte more is refused."""
    overhead = len("_id") + 1 + 34 + len("_creationTime") + 1 + 9 + 2 + len("text") + 1 + 2
    assert insert(box, {"text": "x" * (MIB - overhead)}) == ""
    assert "Value is too large (1 MiB > maximum size 1 MiB)" in insert(box, {"text": "x" * (MIB - overhead + 1)})


def test_document_nesting(box: Running) -> None:
    """A document may be 16 levels deep, itself included."""
    assert insert(box, nested(16)) == ""
    assert "too nested" in insert(box, nested(17))


@pytest.mark.parametrize(
    ("document", "gist"),
    [
        ({"_x": 1}, "only allowed for system fields"),
        ({"_id": "x"}, "doesn't match '_id' field"),
        ({"_creationTime": 1}, "doesn't match '_creationTime' field"),
        ("text", "must be objects"),
    ],
)
def test_reserved_fields(box: Running, document: Any, gist: str) -> None:
    """A new document cannot choose its system fields or invent others."""
    assert gist in insert(box, document)


@pytest.mark.parametrize("table", ["_system", "1a", "a-b", "", "a" * 65])
def test_table_names(box: Running, table: str) -> None:
    """Names that no table can have are refused."""
    answer = box.call("mutation", "langchain/db:insert", {"table": table, "document": {}})
    assert "Invalid table name" in answer["errorMessage"]


def test_unknown_index(box: Running) -> None:
    """A query on an index that does not exist, or by a field it has not, is a function error."""
    assert (
        "Index messages.nope not found."
        in box.call("query", "convexMsgs:page", {"limit": 1, "index": "nope"})["errorMessage"]
    )
    answer = box.call("query", "langchain/db:lookup", {**LOOKUP, "key": "x", "keyField": "nope"})
    assert "doesn't index this field" in answer["errorMessage"]


def test_documents_read(instance: Instance) -> None:
    """32,000 documents can be read in one function, one more cannot; a result of over 8,192 is too long anyway."""
    fill(instance, 32_000)
    assert "Array length is too long (32000 > maximum length 8192)" in query(
        instance, "langchain/db:lookup", {**LOOKUP, "key": "s"}
    )
    fill(instance, 1)
    assert "Too many documents read in a single function execution (limit: 32000)" in query(
        instance, "langchain/db:lookup", {**LOOKUP, "key": "s"}
    )


def test_longest_array(instance: Instance) -> None:
    """A result may hold 8,192 documents."""
    fill(instance, 8192)
    assert query(instance, "langchain/db:lookup", {**LOOKUP, "key": "s"}) == ""
    fill(instance, 1)
    assert "return value invalid: Array length" in query(instance, "langchain/db:lookup", {**LOOKUP, "key": "s"})


def test_bytes_read(instance: Instance) -> None:
    """16 MiB of documents can be read in one function, but that is more than a result may be."""
    fill(instance, 16, "x" * (MIB - 200))
    assert query(instance, "langchain/db:lookup", {**LOOKUP, "key": "s"}) == ""
    fill(instance, 1, "x" * 3000)
    assert "Too many bytes read" in query(instance, "langchain/db:lookup", {**LOOKUP, "key": "s"})


def _step_by_step(db: Transaction, span: Interval, limit: float, max_bytes: float, descending: bool) -> Any:
    """Read with `scan` what fits."""
    rows: list[Row] = []
    size = 0
    for row in db.scan(span, descending=descending):
        size += row.size
        if rows and size > max_bytes:
            return rows, False
        rows.append(row)
        if len(rows) == limit:
            return rows, False
    return rows, True


@pytest.mark.parametrize("descending", [False, True])
def test_many_documents_are_read_as_one_by_one(instance: Instance, descending: bool) -> None:
    """Whatever the limits and sizes, the same documents are returned, counted and noted as read."""
    for number in range(30):
        fill(instance, 9, "x" * (number * number * 60))
    for limit, most in product((1, 8, 9, 200, 270, 400), (1, 5000, 300_000, math.inf)):

        def at_once(db: Transaction, limit: float = limit, most: float = most) -> Any:
            span = db.range("messages", "by_creation_time")
            found = db.read(span, limit=limit, max_bytes=most, descending=descending)
            return *found, db.ranges, db.documents_read, db.bytes_read

        def one_by_one(db: Transaction, limit: float = limit, most: float = most) -> Any:
            span = db.range("messages", "by_creation_time")
            found = _step_by_step(db, span, limit, most, descending)
            return *found, db.ranges, db.documents_read, db.bytes_read

        assert instance.engine.read(at_once) == instance.engine.read(one_by_one)


def test_of_large_documents_few_are_taken_at_once(instance: Instance) -> None:
    """A page of a megabyte is read without holding many times that."""
    fill(instance, 60, "x" * (MIB // 2))
    tracemalloc.start()
    try:
        instance.engine.read(lambda db: len(db.read(db.range("messages", "by_id"), max_bytes=6 * MIB)[0]))
        assert tracemalloc.get_traced_memory()[1] < 12 * MIB
    finally:
        tracemalloc.stop()


def test_ranges_read(instance: Instance) -> None:
    """A function can read 4,096 index ranges."""

    def run(db: Transaction) -> None:
        span = db.range("messages", "by_id")
        for _ in range(4096):
            db.first(span)
        with pytest.raises(Exception, match="Too many reads"):
            db.first(span)

    instance.engine.read(run)


def test_writes(instance: Instance) -> None:
    """16,000 documents can be written in one function, and nothing is written when there are more."""

    def run(db: WriteTransaction, count: int) -> None:
        for _ in range(count):
            db.insert("messages", {"sessionId": "s"})

    instance.engine.write(lambda db: run(db, 16_000))
    with pytest.raises(Exception, match=r"Too many writes in a single function execution \(limit: 16000\)"):
        instance.engine.write(lambda db: run(db, 16_001))
    assert instance.engine.read(lambda db: db.row_count("messages"))[0] == 16_000


def test_bytes_written(instance: Instance) -> None:
    """More than 16 MiB cannot be written in one function."""

    def run(db: WriteTransaction) -> None:
        for _ in range(17):
            db.insert("messages", {"text": "x" * (MIB - 200)})

    with pytest.raises(Exception, match="Too many bytes written in a single function execution"):
        instance.engine.write(run)


def test_size_of_arguments(instance: Instance) -> None:
    """Arguments of more than 16 MiB are refused before the function runs."""
    args = {"limit": 1.0, "after": "x" * (16 * MIB)}
    assert "Arguments for convexMsgs.js:sessions are too large" in query(instance, "convexMsgs:sessions", args)


def test_slow_functions_time_out(starting: Start) -> None:
    """With --slow-rows a function that reads more fails as one that ran too long, and smaller pages do not."""
    box = starting("--slow-rows", "10")
    box.append("s", *({} for _ in range(20)))
    answer = box.call("query", "convexMsgs:page", {"limit": 11})
    assert "Function execution timed out (maximum duration: 1s)" in answer["errorMessage"]
    assert len(box.page(limit=10)["rows"]) == 10
    opts = {"numItems": 20, "cursor": None}
    assert (
        len(box.query("_system/cli/tableData", {"table": "messages", "order": "asc", "paginationOpts": opts})["page"])
        == 20
    )


def test_write_rate(starting: Start) -> None:
    """With --write-rate more bytes in a second are 429 TooManyWrites, and nothing of that call is written."""
    box = starting("--write-rate", "1000")
    batch = {"sessionId": "s", "documents": [{"sessionId": "s", "text": "x" * 1000}]}
    body = {"path": "convexMsgs:append", "args": {"batches": [batch]}}
    assert box.request("POST", "/api/mutation", body).status == 200
    answer = box.request("POST", "/api/mutation", body)
    assert (answer.status, json.loads(answer.data)["code"]) == (429, "TooManyWrites")
    assert box.query("_system/cli/tableSize", {"tableName": "messages"}) == 1.0


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1 << 24, "16 MiB"), (2000, "1.95 KiB")])
def test_sizes_in_messages(size: int, text: str) -> None:
    """Sizes are written as the backend writes them."""
    assert binary_size(size) == text


@pytest.mark.parametrize(
    ("level", "data", "fault"),
    [
        ("any", {"content": [], "x": 1}, ""),
        ("documented", {"content": "hi", "role": "r", "name": "n", "additional_kwargs": {}}, ""),
        ("documented", {"content": "hi", "id": "x"}, "Object contains extra field `id`"),
        ("documented", {"role": "r"}, "Object is missing the required field `content`"),
        ("documented", {"content": []}, "Value does not match validator.\nPath: .message.data.content\nValue: []"),
        ("langchain", {"content": [{}], "id": None, "tool_calls": [], "response_metadata": {}}, ""),
        ("langchain", {"content": None}, "Path: .message.data.content"),
        ("langchain", {"content": "", "invented": 1}, "Object contains extra field `invented`"),
    ],
)
def test_schema(starting: Start, level: str, data: Any, fault: str) -> None:
    """The declared schema is enforced on insert, in the backend's words, and a query returns it."""
    box = starting("--schema", level)
    text = insert(box, {"sessionId": "s", "message": {"type": "human", "data": data}})
    assert fault in text if fault else text == ""
    schema = json.loads(box.query("_system/frontend/getSchemas", {})["active"])
    assert schema["tables"][0]["indexes"] == [
        {"indexDescriptor": "bySessionId", "fields": ["sessionId", "_creationTime"]}
    ]


def test_inserted_ids_count_at_the_next_read_by_id(instance: Instance) -> None:
    """Each insert reads its id; these reads count as index ranges once the function reads the index on ids."""

    def insert(db: WriteTransaction, count: int) -> str:
        return db.insert_all("messages", [{"sessionId": "s"}] * count)[0]

    assert instance.engine.write(lambda db: db.find(insert(db, 4095)))[0] is not None
    with pytest.raises(FunctionError, match="Too many reads"):
        instance.engine.write(lambda db: db.find(insert(db, 4096)))
    instance.engine.write(lambda db: insert(db, 8192))


def test_a_long_append_stays_within_the_ranges(instance: Instance) -> None:
    """An append to a session with rows reads no document by its id, so 8,192 rows fit into one call."""
    for count in (1, 8192):
        documents = [{"sessionId": "s"}] * count
        call = Call(parse_path("convexMsgs:append"), [{"batches": [{"sessionId": "s", "documents": documents}]}], True)
        assert instance.caller.mutation(call).failure is None


def test_calls_above_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a limit of calls at a time, one more waits and is then a 429; other kinds have limits of their own."""
    monkeypatch.setitem(limits.PERMIT_SECONDS, "Query", 0.01)
    inside = Instance(SandboxOptions(max_calls=2))

    async def crowd() -> None:
        async with inside.permit("Query"), inside.permit("Query"), inside.permit("Mutation"):
            with pytest.raises(ServerError, match="429 TooManyConcurrentRequests"):
                async with inside.permit("Query"):
                    raise AssertionError
        async with inside.permit("Query"):
            pass

    try:
        asyncio.run(crowd())
    finally:
        inside.close()
