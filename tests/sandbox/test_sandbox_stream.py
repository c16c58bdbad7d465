"""Data sync as the backend's source describes it: states, pages, truncates, tombstones, expiry and refusals."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from sync_tool.sandbox.database.datasync import log_after
from sync_tool.sandbox.database.writing import WriteTransaction
from sync_tool.sandbox.instance import Instance

from .box import Running, Start
from .importing import lines, perform, post, row, upload, zipped

PATH = "/api/v1/data/sync"
ONE_TABLE = {"_other": "excluded", "": {"_other": "excluded", "messages": {"_other": "included"}}}
KEYED = {"table": "messages", "index": "bySessionId", "keyField": "sessionId"}


def sync(box: Running, cursor: str | None = None, selection: Any = ONE_TABLE) -> Any:
    """Return one page."""
    body = {"selection": selection} if cursor is None else {"selection": selection, "cursor": cursor}
    return post(box, PATH, body)


def next_of(page: Any) -> str:
    """Return the cursor after a page."""
    return str(page["pagination"]["nextCursor"])


def said(box: Running, body: Any, path: str = PATH, **extra: Any) -> tuple[int, str]:
    """Return status and code of a refusal."""
    answer = box.request("POST", path, body, **extra)
    return answer.status, json.loads(answer.data)["code"] if answer.data[:1] == b"{" else ""


def clear(box: Running, session: str) -> None:
    """Delete a session as LangChain does."""
    box.call("mutation", "langchain/db:deleteMany", {**KEYED, "key": session})


def replace(box: Running, session: str, **fields: Any) -> None:
    """Replace the only row of a session."""
    document = {"sessionId": session, **fields}
    box.call("mutation", "langchain/db:upsert", {**KEYED, "key": session, "document": document})


def texts(page: Any) -> list[Any]:
    """Return the tags of a page's rows, and None for a deletion."""
    return [None if value["deleted"] else value["value"]["tag"] for value in page["values"]]


def test_the_first_page_of_a_small_table(starting: Start) -> None:
    """One page has it all, in the backend's form: int64 bare, truncate first, consistent at once."""
    box = starting()
    (name,) = box.append("s", {"tag": {"$integer": "BQAAAAAAAAA="}, "n": 5})["ids"]
    page = sync(box)
    assert page["truncates"] == [{"component": "", "table": "messages"}]
    (value,) = page["values"]
    moment = page["status"]["snapshotTs"]
    assert page["status"] == {"type": "upToDate", "snapshotTs": moment}
    assert {**value, "value": None} == {
        "component": "",
        "table": "messages",
        "ts": moment,
        "deleted": False,
        "value": None,
    }
    assert (value["value"]["_id"], value["value"]["sessionId"]) == (name, "s")
    raw = box.request("POST", PATH, {"selection": ONE_TABLE}).data
    assert b'"n":5.0,' in raw
    assert b'"tag":5}' in raw
    assert page["pagination"]["hasMore"] is True
    assert len(page["syncId"]) == 36
    again = sync(box, next_of(page))
    assert (again["values"], again["truncates"], again["syncId"]) == ([], [], page["syncId"])
    assert again["status"]["type"] == "upToDate"


def test_an_empty_table_and_one_that_does_not_exist(starting: Start) -> None:
    """The first is truncated and up to date; of the second nothing is said until it is there."""
    box = starting()
    page = sync(box)
    assert (page["values"], len(page["truncates"]), page["status"]["type"]) == ([], 1, "upToDate")
    other = {"_other": "excluded", "": {"_other": "excluded", "later": {"_other": "included"}}}
    page = sync(box, selection=other)
    assert (page["values"], page["truncates"], page["status"]["type"]) == ([], [], "upToDate")
    box.call("mutation", "langchain/db:insert", {"table": "later", "document": {"tag": "x"}})
    page = sync(box, next_of(page), other)
    assert page["truncates"] == [{"component": "", "table": "later"}]
    while page["status"]["type"] != "upToDate":
        page = sync(box, next_of(page), other)
    assert page["status"]["type"] == "upToDate"


def test_pages_by_id_then_every_commit(starting: Start) -> None:
    """While it snapshots, pages come by id at one moment; what happened meanwhile follows, then it is up to date."""
    box = starting("--stream-page", "4")
    for number in range(10):
        box.append(f"s{number}", {"tag": number})
    first = sync(box)
    assert first["status"] == {"type": "snapshotting"}
    ids = [value["value"]["_id"] for value in first["values"]]
    assert ids == sorted(ids)
    given = {value["value"]["sessionId"] for value in first["values"]}
    rest = {f"s{number}" for number in range(10)} - given
    replaced, gone = sorted(given)[:2]
    replace(box, replaced, tag="new")
    clear(box, gone)
    unseen = min(rest)
    replace(box, unseen, tag="too new")
    clear(box, sorted(rest)[1])
    box.append("late", {"tag": "late"})
    second = sync(box, next_of(first))
    third = sync(box, next_of(second))
    assert [page["status"]["type"] for page in (second, third)] == ["snapshotting", "stale"]
    old = {value["value"]["sessionId"]: value["value"]["tag"] for page in (second, third) for value in page["values"]}
    assert set(old) == rest
    assert old[unseen] != "too new"
    pages = [sync(box, next_of(third))]
    pages.append(sync(box, next_of(pages[0])))
    assert [page["status"]["type"] for page in pages] == ["stale", "upToDate"]
    assert [tag for page in pages for tag in texts(page)] == ["new", None, "too new", None, "late"]
    stamps = [value["ts"] for page in pages for value in page["values"]]
    assert stamps == sorted(stamps)


def test_a_commit_is_never_cut(starting: Start) -> None:
    """Pages of changes end between commits, and say that there is more."""
    box = starting("--stream-page", "2")
    cursor = next_of(sync(box))
    box.append("s", *({"tag": number} for number in range(5)))
    box.append("t", {"tag": "after"})
    page = sync(box, cursor)
    assert sorted(texts(page)) == [0, 1, 2, 3, 4]
    assert page["status"]["type"] == "stale"
    assert {value["ts"] for value in page["values"]} == {page["status"]["snapshotTs"]}
    last = sync(box, next_of(page))
    assert (texts(last), last["status"]["type"]) == (["after"], "upToDate")


def test_every_revision_and_a_tombstone(starting: Start) -> None:
    """Each version comes with its own moment; a deletion holds the id alone; each cursor gives the same again."""
    box = starting()
    cursor = next_of(sync(box))
    (name,) = box.append("s", {"tag": "one"})["ids"]
    replace(box, "s", tag="two")
    clear(box, "s")
    page = sync(box, cursor)
    assert texts(page) == ["one", "two", None]
    assert page["values"][2]["value"] == {"_id": name}
    assert sync(box, cursor)["values"] == page["values"]


def test_written_twice_in_one_commit(instance: Instance) -> None:
    """A document that one commit writes several times, or writes and deletes, is one change."""
    engine = instance.engine

    def write(db: WriteTransaction) -> None:
        kept = db.insert("messages", {"tag": 1.0})
        db.replace(kept, {"tag": 2.0})
        db.replace(kept, {"tag": 3.0})
        db.delete(db.insert("messages", {}))

    before = engine.latest_ts
    engine.write(write)
    revisions = engine.view(lambda connection: list(log_after(connection, before, None)))[0]
    assert sorted((revision.body and json.loads(revision.body)["tag"]) or 0 for revision in revisions) == [0, 3.0]


def test_time_goes_on_where_nothing_happens(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour after the last commit the newest moment is a new one, so that positions grow old."""
    engine = instance.engine
    before = engine.latest_ts
    engine.beat()
    assert engine.latest_ts == before
    monkeypatch.setattr(time, "time_ns", lambda: before + 3601 * 10**9)
    engine.beat()
    assert engine.latest_ts >= before + 3601 * 10**9


def test_an_import_that_replaces_truncates(starting: Start) -> None:
    """After a snapshot import with replace the table begins anew, and nothing of the old one follows."""
    box = starting()
    box.append("s", {"tag": "old"})
    cursor = next_of(sync(box))
    assert perform(box, upload(box, zipped(messages=lines(row(1), row(2))), mode="replace"))["state"] == "completed"
    seen: list[Any] = []
    page = sync(box, cursor)
    assert page["truncates"] == [{"component": "", "table": "messages"}]
    seen += texts(page)
    while page["status"]["type"] != "upToDate":
        page = sync(box, next_of(page))
        assert page["truncates"] == []
        seen += texts(page)
    assert seen == [1, 2]


def test_selection(starting: Start) -> None:
    """Tables and columns can be left out; a table that is selected later is truncated then."""
    box = starting()
    box.append("s", {"tag": "one", "secret": "x"})
    box.call("mutation", "langchain/db:insert", {"table": "other", "document": {"tag": "two"}})
    without = {"_other": "excluded", "": {"_other": "excl", "messages": {"_other": "incl", "secret": "excluded"}}}
    page = sync(box, selection=without)
    assert [sorted(value["value"]) for value in page["values"]] == [["_creationTime", "_id", "sessionId", "tag"]]
    everything = {"_other": "included"}
    more = sync(box, next_of(page), everything)
    assert more["truncates"] == [{"component": "", "table": "other"}]
    assert [value["table"] for value in more["values"]] == ["other"]
    assert {value["table"] for value in post(box, PATH, {})["values"]} <= {"messages", "other"}
    left = sync(box, next_of(more), {"_other": "included", "": {"_other": "included", "other": "excluded"}})
    assert (left["truncates"], left["values"]) == ([], [])
    senseless, malformed = (400, "InvalidDataSyncSelection"), (400, "BadJsonBody")
    for tables, refusal in (
        ({"_other": "excluded", "messages": {"_other": "excluded"}}, senseless),
        ({"_other": "excluded", "a b": {"_other": "included"}}, senseless),
        ({"messages": {"_other": "included"}}, malformed),
        ({"_other": "excluded", "messages": {"_other": "included", "a": {}}}, malformed),
        (["messages"], malformed),
    ):
        assert said(box, {"selection": {"_other": "excluded", "": tables}}) == refusal
    assert said(box, {"selection": {"": {"_other": "excluded"}}}) == malformed


def test_a_cursor_grows_old(starting: Start) -> None:
    """Without retention the newest position stays good, and is refused after the next commit."""
    box = starting("--retention", "0")
    box.append("s", {"tag": 1})
    cursor = next_of(sync(box))
    assert sync(box, cursor)["status"]["type"] == "upToDate"
    box.append("s", {"tag": 2})
    assert said(box, {"cursor": cursor, "selection": ONE_TABLE}) == (400, "DataSyncCursorExpired")
    assert sorted(texts(sync(box))) == [1, 2]


def test_foreign_cursors(starting: Start, tmp_path: Path) -> None:
    """Refused: nonsense, a page's cursor, one of another deployment, and one from a future that was undone."""
    other = starting()
    file = tmp_path / "data.sqlite"
    box = starting("--data", str(file))
    box.append("s", {"tag": 1})
    assert box.stop() == 0
    backup = shutil.copy(file, tmp_path / "backup.sqlite")
    box = starting("--data", str(file))
    box.append("s", {"tag": 2})
    cursor = next_of(sync(box))
    page = box.page(limit=1)["cursor"]
    for wrong in ("", "none", cursor[:-2] + "00", json.dumps(page), next_of(sync(other))):
        assert said(box, {"cursor": wrong}) == (400, "InvalidDataSyncCursor")
    assert said(starting("--data", str(backup)), {"cursor": cursor}) == (400, "InvalidDataSyncCursor")


def test_a_cursor_outlives_a_restart(starting: Start, tmp_path: Path) -> None:
    """A cursor returns the same changes after the deployment was stopped and started."""
    flags = ("--data", str(tmp_path / "data.sqlite"))
    box = starting(*flags)
    box.append("s", {"tag": 1})
    cursor = next_of(sync(box))
    box.append("s", {"tag": 2})
    box.kill()
    assert texts(sync(starting(*flags), cursor)) == [2]


def test_a_file_of_before(starting: Start, tmp_path: Path) -> None:
    """A data file that an earlier sandbox made is taken over with what is in it."""
    file = tmp_path / "data.sqlite"
    box = starting("--data", str(file))
    box.append("s", {"tag": 1})
    assert box.stop() == 0
    with sqlite3.connect(file) as old:
        old.execute("ALTER TABLE tables DROP COLUMN number")
        old.execute("ALTER TABLE tables RENAME COLUMN slot TO number")
        for table in ("documents", "revisions"):
            old.execute(f"ALTER TABLE {table} RENAME COLUMN slot TO table_number")
        old.execute("ALTER TABLE tables DROP COLUMN born")
        old.execute("DROP INDEX revisions_by_id")
        old.execute("UPDATE meta SET value = '1' WHERE name = 'format'")
    old.close()
    assert texts(sync(starting("--data", str(file)))) == [1]


def test_a_cursor_made_of_a_moment(starting: Start) -> None:
    """From a moment, everything later follows; a moment to come, or one too long ago, is refused."""
    box = starting("--retention", "3600")
    box.append("s", {"tag": 1})
    now = sync(box)["status"]["snapshotTs"]
    box.append("s", {"tag": 2})
    path = "/api/data_sync_cursor_from_deltas"
    cursor = post(box, path, {"cursor": now, "selection": ONE_TABLE})["cursor"]
    page = sync(box, cursor)
    assert (texts(page), page["truncates"]) == ([2], [])
    for ts, code in (
        (now + 10**15, "InvalidDataSyncCursor"),
        (-1, "InvalidDataSyncCursor"),
        (now - 4 * 10**15, "DataSyncCursorExpired"),
    ):
        assert said(box, {"cursor": ts, "selection": ONE_TABLE}, path) == (400, code)


@pytest.mark.parametrize("path", [PATH, "/api/data_sync_cursor_from_deltas"])
def test_who_may_not(starting: Start, path: str) -> None:
    """The wrong key, none, a plan without it, a key without the right, and a backend too old: each has its answer."""
    body = {"cursor": 1, "selection": ONE_TABLE} if "deltas" in path else {"selection": ONE_TABLE}
    box = starting()
    assert said(box, body, path, key="sandbox|wrong") == (401, "BadAdminKey")
    assert said(box, body, path, key=None) == (403, "BadDeployKey")
    assert said(box, b"{", path) == (400, "BadJsonBody")
    box = starting("--no-streaming", "--deny", "deployment:data:view")
    assert said(box, body, path) == (403, "StreamingExportNotEnabled")
    box = starting("--deny", "deployment:data:view")
    assert said(box, body, path) == (403, "OperationNotPermitted")
    box = starting("--no-data-sync")
    assert box.request("POST", path, body).status == 404
    assert box.request("GET", "/api/test_streaming_export_connection").status == 200


def test_the_id_of_a_sync_names_the_connector(starting: Start) -> None:
    """The prefix of the id distinguishes Airbyte and Fivetran."""
    box = starting()
    for name, prefix in (("airbyte-export", "airbyte-"), ("fivetran-export", "fivetran-"), ("convex-msgs", "")):
        answer = box.request("POST", PATH, {}, headers={"Convex-Client": f"{name}-1.0.0"})
        found = json.loads(answer.data)["syncId"]
        assert found.startswith(prefix)
        assert len(found) == len(prefix) + 36


def test_what_a_denied_key_may_still_do(starting: Start) -> None:
    """Each right is refused where it is needed, and nowhere else."""
    box = starting("--deny", "deployment:functions:runInternalMutations", "--deny", "deployment:backups:import")
    assert json.loads(box.request("GET", "/api/check_admin_key").data)["allowedOps"] == [
        "ViewData", "ViewBackups", "RunInternalQueries", "RunInternalActions",
    ]  # fmt: skip
    assert box.page()["rows"] == []
    body = {"path": "convexMsgs:append", "args": {"batches": []}}
    assert said(box, body, "/api/mutation") == (403, "OperationNotPermitted")
    assert said(box, None, "/api/import/start_upload") == (403, "OperationNotPermitted")
    assert sync(box)["status"]["type"] == "upToDate"
    box = starting("--deny", "deployment:data:view")
    failed = box.call("query", "_system/cli/tableSize", {"tableName": "messages"})
    assert (failed["status"], "deployment:data:view" in failed["errorMessage"]) == ("error", True)
