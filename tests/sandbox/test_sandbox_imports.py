"""Snapshot imports of the sandbox: states, refusals, ids, one step, restarts."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sync_tool.sandbox.database.engine import Change, Engine
from sync_tool.sandbox.database.transaction import Interval
from sync_tool.sandbox.imports import records
from sync_tool.sandbox.imports.reading import UploadedTable
from sync_tool.sandbox.imports.worker import REPLACE, Swap
from sync_tool.sandbox.instance import Instance
from sync_tool.sandbox.paths import parse_path
from sync_tool.sandbox.sync.live import LiveQuery

from .box import ROOT, Running, Start
from .importing import QUERY, failure, lines, perform, post, row, row_id, status, tags, upload, zipped


def test_states(starting: Start) -> None:
    """Uploaded, waiting with what would happen, performed, completed with the rows; confirming again does nothing."""
    box = starting()
    import_id = upload(box, zipped(messages=lines(row(1), row(2))))
    waiting = status(box, import_id)
    assert waiting["state"]["state"] == "waiting_for_confirmation"
    assert waiting["state"]["require_manual_confirmation"] is False
    assert (waiting["mode"], waiting["format"]) == ("RequireEmpty", {"format": "zip"})
    (checkpoint,) = waiting["checkpoints"]
    assert checkpoint["display_table_name"] == "messages"
    assert not checkpoint["is_missing_id_field"]
    encoded = {"$integer": "AgAAAAAAAAA="}
    assert checkpoint["total_num_rows_to_write"] == encoded
    assert tags(box) == []
    state = perform(box, import_id)
    assert (state["state"], state["num_rows_written"]) == ("completed", encoded)
    assert tags(box) == [1, 2]
    assert [found["_id"] for found in box.page()["rows"]] == [row_id(1), row_id(2)]
    assert perform(box, import_id) == state
    assert box.query("_system/cli/tableSize", {"tableName": "messages"}) == 2
    listed = box.query(f"{QUERY}:list", {})
    assert [document["_id"] for document in listed] == [import_id]


def test_parts_count_in_the_order_in_which_they_come(starting: Start) -> None:
    """As with storage on a local disk, a part that is sent twice is there twice, whatever its number."""
    box = starting()
    token = post(box, "/api/import/start_upload")["uploadToken"]
    for number, part in ((7, lines(row(1))), (7, lines(row(2))), (1, lines(row(3)))):
        assert post(box, f"/api/import/upload_part?uploadToken={token}&partNumber={number}", part) == ""
    body = {"import": {"format": "jsonLines", "tableName": "messages"}, "uploadToken": token, "partTokens": [""]}
    import_id = post(box, "/api/import/finish_upload", body)["importId"]
    assert perform(box, import_id)["state"] == "completed"
    assert tags(box) == [1, 2, 3]


def test_replacing_is_announced_and_complete(starting: Start) -> None:
    """A table with rows is refused unless it is replaced; then every old row goes and needs a confirmation."""
    box = starting()
    box.append("old", {"tag": "old"})
    text = failure(box, zipped(messages=lines(row(1))))
    assert text.startswith("Hit an error while importing:\nTable messages already exists.")
    import_id = upload(box, zipped(messages=lines(row(1))), mode="replace")
    assert status(box, import_id)["state"]["require_manual_confirmation"] is True
    assert tags(box) == ["old"]
    assert perform(box, import_id)["state"] == "completed"
    assert tags(box) == [1]
    assert [found["sessionId"] for found in box.query("convexMsgs:sessions", {"limit": 9})["sessions"]] == ["s"]
    box.append("s", {"tag": "new"})
    assert tags(box) == [1, "new"]


UNIFORM = {"format": "zip"}
PLAIN = {"format": "jsonLines", "tableName": "messages"}


@pytest.mark.parametrize(
    ("form", "data", "text"),
    [
        (PLAIN, lines(row(1), b"{"), "Row 2 wasn't valid JSON"),
        (PLAIN, lines(row(1), b""), "Row 2 wasn't valid JSON"),
        (PLAIN, lines(row(1), [1]), "Row 2 wasn't an object"),
        (PLAIN, lines(row(1, x={"$integer": "AAAAAAAAAAA="})), "Row 1 wasn't a valid Convex value: Field name"),
        (PLAIN, lines(row(1, x={"y\x01": 1})), "Row 1 wasn't a valid Convex value"),
        (PLAIN, b'{"a":"\xff"}\n', "Import wasn't valid UTF8"),
        (PLAIN, b"\xef\xbb\xbf" + lines(row(1)), "UTF-8 BOM is not supported"),
        (PLAIN, lines(row(1), row(1)), 'Objects in table "messages" have duplicate _id fields'),
        (PLAIN, lines({**row(1), "_id": "nonsense"}), "invalid _id 'nonsense'"),
        (PLAIN, lines({**row(1), "_id": 5}), "doesn't match '_id' field"),
        (PLAIN, lines(row(1), row(2, 10_044)), f"_id {row_id(2, 10_044)} cannot be imported into 'messages'"),
        (PLAIN, lines({**row(1), "_creationTime": "now"}), "doesn't match '_creationTime' field"),
        (PLAIN, lines({**row(1), "_creationTime": 0}), "isn't a valid document"),
        (PLAIN, lines(row(1, _mine=1)), "Field '_mine' starts with an underscore"),
        (PLAIN, lines(row(1, x="x" * (1 << 20))), "Value is too large"),
        (UNIFORM, b"PK nonsense", "invalid zip file"),
        (UNIFORM, zipped(messages=lines({**row(1), "_creationTime": 5})), "doesn't match '_creationTime' field"),
        (UNIFORM, zipped(messages=lines(row(1, x=1 << 63))), "Row 1 wasn't a valid Convex value"),
        (UNIFORM, zipped(schema=b'"inferred"\n', messages=lines(row(1))), 'only zips whose generated schema is "unif'),
        (UNIFORM, zipped(_storage=b""), "no file storage"),
    ],
)  # fmt: skip
def test_what_does_not_fit_changes_nothing(box: Running, form: dict[str, Any], data: bytes, text: str) -> None:
    """Every fault fails the import with the backend's words, and the table stays empty."""
    found = failure(box, data, **form)
    assert found.startswith("Hit an error while importing:\n")
    assert text in found
    assert tags(box) == []


def test_values_by_spelling(starting: Start) -> None:
    """In a uniform zip a bare integer is an int64; in JSON lines, and in a zip that says nothing, it is a float64."""
    box = starting()
    values = {"a": 1, "b": 1.0, "bytes": {"$bytes": "AQI="}}
    perform(box, upload(box, zipped(messages=lines(row(1, **values)))))
    (found,) = box.page()["rows"]
    assert (found["a"], found["b"]) == ({"$integer": "AQAAAAAAAAA="}, 1)
    assert found["bytes"] == {"$bytes": "AQI="}
    for parts, form in (((lines(row(1, a=1)),), PLAIN), ((zipped(None, messages=lines(row(1, a=1))),), UNIFORM)):
        assert perform(box, upload(box, *parts, **form, mode="replace"))["state"] == "completed"
        assert box.page()["rows"][0]["a"] == 1


def test_rows_without_ids_and_times_get_new_ones(starting: Start) -> None:
    """Ids of the table and strictly increasing times, in the order of the file; the plan says that ids are missing."""
    box = starting()
    import_id = upload(box, lines({"tag": 2, "sessionId": "s"}, {"tag": 1, "sessionId": "s"}), **PLAIN)
    assert status(box, import_id)["checkpoints"][0]["is_missing_id_field"] is True
    assert perform(box, import_id)["state"] == "completed"
    assert tags(box) == [2, 1]


def test_table_numbers(starting: Start, tmp_path: Path) -> None:
    """A table takes the number of its first row's id, unless another table has that; ids stay findable."""
    file = str(tmp_path / "data.sqlite")
    first = starting("--data", file, "--table", "other")
    assert first.stop() == 0
    box = starting("--data", file)
    mapping = box.query("_system/frontend/getTableMapping", {})
    assert mapping == {"10001": "other", "10002": "messages"}
    assert "New table `messages` has IDs that conflict with existing table `other`" in failure(
        box, zipped(messages=lines(row(1)))
    )
    assert perform(box, upload(box, zipped(messages=lines(row(1, 10_077)))))["state"] == "completed"
    assert box.query("_system/frontend/getTableMapping", {}) == {"10001": "other", "10077": "messages"}
    args = {"ids": [{"id": row_id(1, 10_077), "tableName": "messages"}]}
    assert box.query("_system/frontend/listById", args)[0]["tag"] == 1
    assert perform(box, upload(box, zipped(third=lines({"tag": 3.5}))))["state"] == "completed"
    assert box.query("_system/frontend/getTableMapping", {})["10078"] == "third"


def test_the_schema_is_enforced(starting: Start) -> None:
    """A row that the declared schema does not take fails the import with the validator's words."""
    box = starting("--schema", "documented")
    assert "does not match the schema" in failure(box, zipped(messages=lines(row(1))))
    assert tags(box) == []


def test_cancelling(starting: Start) -> None:
    """A waiting import can be cancelled, an ended one cannot; neither has an effect afterwards."""
    box = starting()
    import_id = upload(box, zipped(messages=lines(row(1))))
    status(box, import_id)
    assert post(box, "/api/cancel_import", {"importId": import_id}) is None
    state = perform(box, import_id)
    assert state == {"state": "failed", "error_message": "Import canceled"}
    assert tags(box) == []
    answer = box.request("POST", "/api/cancel_import", {"importId": import_id})
    assert (answer.status, json.loads(answer.data)["code"]) == (400, "CannotCancelImport")


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"format": "zip", "tableName": "messages"}, "InvalidName"),
        ({"format": "jsonLines"}, "InvalidName"),
        ({"format": "jsonLines", "tableName": "_mine"}, "ImportInvalidName"),
        ({"format": "csv", "tableName": "messages"}, "NotInSandbox"),
        ({"format": "zip", "mode": "append"}, "NotInSandbox"),
        ({"format": "zip", "mode": "replaceAll"}, "NotInSandbox"),
        ({"format": "zip", "componentPath": "a"}, "NotInSandbox"),
        ({"format": "text"}, "BadJsonBody"),
    ],
)
def test_forms_that_are_refused(box: Running, form: dict[str, Any], code: str) -> None:
    """The backend's refusals of a form, and our own of what the sandbox has not."""
    token = post(box, "/api/import/start_upload")["uploadToken"]
    body = {"import": form, "uploadToken": token, "partTokens": []}
    answer = box.request("POST", "/api/import/finish_upload", body)
    assert (answer.status, json.loads(answer.data)["code"]) == (400, code)


def test_who_and_what_is_unknown(box: Running) -> None:
    """Without the admin key nothing is open; unknown tokens and imports are named."""
    for path in (
        "import/start_upload",
        "import/upload_part",
        "import/finish_upload",
        "perform_import",
        "cancel_import",
    ):
        assert box.request("POST", f"/api/{path}", {}, key=None).status == 403
    unknown = row_id(1, 31)
    for path, body, found in (
        ("perform_import", {"importId": "x"}, (400, "InvalidImport")),
        ("cancel_import", {"importId": unknown}, (404, "ImportNotFound")),
        ("perform_import", {"importId": unknown}, (404, "ImportNotFound")),
        ("import/upload_part?uploadToken=x&partNumber=1", b"", (400, "InvalidUploadToken")),
        ("import/upload_part?uploadToken=x&partNumber=one", b"", (400, "InvalidQuery")),
    ):
        answer = box.request("POST", f"/api/{path}", body)
        assert (answer.status, json.loads(answer.data)["code"]) == found
    assert box.query(QUERY, {"importId": unknown}) is None


def test_restart_while_it_waits(starting: Start, tmp_path: Path) -> None:
    """An import and its upload outlive a restart."""
    file = str(tmp_path / "data.sqlite")
    first = starting("--data", file)
    import_id = upload(first, zipped(messages=lines(row(1))))
    before = status(first, import_id)
    assert first.stop() == 0
    second = starting("--data", file)
    assert status(second, import_id) == before
    assert perform(second, import_id)["state"] == "completed"
    assert tags(second) == [1]


def test_kill_in_the_middle(starting: Start, tmp_path: Path) -> None:
    """Killed while it writes, a table is as it was; started again, it goes on to the end by itself."""
    file = str(tmp_path / "data.sqlite")
    first = starting("--data", file)
    first.append("old", {"tag": "old"})
    import_id = upload(first, zipped(messages=lines(*map(row, range(20_000)))), mode="replace")
    status(first, import_id)
    post(first, "/api/perform_import", {"importId": import_id})
    assert first.query(QUERY, {"importId": import_id})["state"]["state"] == "in_progress"
    first.kill()
    second = starting("--data", file)
    assert tags(second) in (["old"], list(range(1000)))
    assert status(second, import_id)["state"]["state"] == "completed"
    assert second.query("_system/cli/tableSize", {"tableName": "messages"}) == 20_000
    assert tags(second) == list(range(1000))


def test_cancelled_while_it_writes(starting: Start) -> None:
    """One that is at work stops, and the table is as it was."""
    box = starting()
    box.append("old", {"tag": "old"})
    import_id = upload(box, zipped(messages=lines(*map(row, range(20_000)))), mode="replace")
    status(box, import_id)
    post(box, "/api/perform_import", {"importId": import_id})
    post(box, "/api/cancel_import", {"importId": import_id})
    assert status(box, import_id)["state"] == {"state": "failed", "error_message": "Import canceled"}
    assert tags(box) == ["old"]


def swap(engine: Engine, *rows: dict[str, Any], mode: str = REPLACE, look: Callable[[], None] = lambda: None) -> str:
    """Replace the messages."""
    table = UploadedTable("messages", lambda: iter(json.loads(json.dumps(rows))))

    def begin(db: Any) -> str:
        return records.finish_upload(db, records.start_upload(db), {"format": "zip"}, mode)

    import_id = engine.write(begin)[0]
    Swap(import_id, mode, [table], look).run(engine)
    return import_id


def test_a_replaced_table_is_another_one(instance: Instance) -> None:
    """The table that an import puts there has no change log from before, and is known by another name inside."""
    engine = instance.engine
    swap(engine, row(1, tag="first"), row(2))
    first = engine.read(lambda db: db.tables["messages"].tablet)[0]
    swap(engine, row(1, tag="second"), row(3))
    found = engine.read(lambda db: db.connection.execute("SELECT id FROM revisions").fetchall())[0]
    assert found == []
    assert engine.read(lambda db: db.tables["messages"].tablet)[0] != first
    assert engine.read(lambda db: db.row_count("messages"))[0] == 2


def test_rows_written_during_an_import_are_lost(instance: Instance) -> None:
    """Others write while an import fills its hidden table; the swap replaces what they wrote without another check."""
    engine = instance.engine
    counts = []

    def look() -> None:
        engine.write(lambda db: db.insert("messages", {"sessionId": "app", "tag": "meanwhile"}))
        counts.append(engine.read(lambda db: db.row_count("messages"))[0])

    rows = [row(number) for number in range(1200)]
    import_id = swap(engine, *rows, mode="RequireEmpty", look=look)
    assert counts == list(range(1, len(counts) + 1))
    assert len(counts) > 2
    assert engine.read(lambda db: db.row_count("messages"))[0] == 1200
    assert engine.read(lambda db: records.must_find(db, import_id)["state"]["num_rows_written"])[0] == 1200


def test_a_stopped_import_leaves_no_hidden_table(instance: Instance) -> None:
    """An import that stops midway leaves neither a table nor documents behind."""

    def look() -> None:
        if instance.engine.read(lambda db: db.connection.execute("SELECT count(*) FROM documents").fetchone())[0][0]:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        swap(instance.engine, *(row(number) for number in range(1200)), look=look)
    for table in ("documents", "entries"):
        found = instance.engine.read(lambda db, t=table: db.connection.execute(f"SELECT * FROM {t}").fetchall())[0]
        assert found == []


def test_who_watches_a_table_hears_of_its_replacement(instance: Instance) -> None:
    """A live query that read any range of the table is run again."""
    changes: list[Change] = []
    instance.engine.watchers.add(changes.append)
    swap(instance.engine, row(1))
    live = LiveQuery(1, parse_path("convexMsgs:page"), [], [Interval(12, b"a", b"b")])
    assert [live.concerns(change) for change in changes][-1]
    assert not any(live.concerns(change) for change in changes[:-1])


def test_the_official_command_line_imports(starting: Start, tmp_path: Path) -> None:
    """`npx convex import` uploads, waits over its WebSocket, confirms and says how many."""
    box = starting()
    (tmp_path / "package.json").write_text('{"dependencies": {"convex": "*"}}')
    (tmp_path / "convex").mkdir()
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    (tmp_path / "snapshot.zip").write_bytes(zipped(messages=lines(row(1), row(2))))
    command = ["node", "node_modules/convex/bin/main.js", "import", "--url", box.url, "--admin-key", box.key]
    done = subprocess.run(
        [*command, "--replace", "-y", "snapshot.zip"],
        cwd=tmp_path, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, capture_output=True, text=True,
        check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Added 2 documents" in done.stderr
    assert tags(box) == [1, 2]
