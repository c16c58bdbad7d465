"""The older pair of streaming export: a walk through one moment, the changes after it, and the refusals."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from .box import Running, Start
from .importing import lines, perform, post, row, upload, zipped
from .test_sandbox_stream import ONE_TABLE, clear, said


def get(box: Running, path: str, **query: Any) -> Any:
    """GET and return the JSON of the answer, whose status must be 200."""
    answer = box.request("GET", f"{path}?{urlencode(query)}")
    assert answer.status == 200, answer.data
    return json.loads(answer.data)


def refusal(box: Running, path: str, **query: Any) -> tuple[int, str]:
    """GET and return status and code."""
    answer = box.request("GET", f"{path}?{urlencode(query)}")
    return answer.status, json.loads(answer.data)["code"]


def test_a_walk_and_then_the_changes(starting: Start) -> None:
    """All rows of one moment come in pages by id, whatever is written meanwhile; that follows as changes."""
    box = starting()
    assert perform(box, upload(box, zipped(messages=lines(*map(row, range(1500))))))["state"] == "completed"
    first = get(box, "/api/list_snapshot", tableName="messages")
    assert (len(first["values"]), first["hasMore"]) == (1024, True)
    (name,) = box.append("new", {"tag": "new"})["ids"]
    clear(box, "new")
    walk = {"snapshot": first["snapshot"], "cursor": first["cursor"], "tableName": "messages"}
    second = get(box, "/api/list_snapshot", **walk)
    values = [*first["values"], *second["values"]]
    assert [value["tag"] for value in values] == [float(number) for number in range(1500)]
    assert (second["cursor"], second["hasMore"], second["snapshot"]) == (None, False, first["snapshot"])
    assert {key: values[0][key] for key in ("_component", "_table")} == {"_component": "", "_table": "messages"}
    deltas = get(box, "/api/document_deltas", cursor=first["snapshot"], tableName="messages")
    (there, gone) = deltas["values"]
    assert (there["_id"], there["_deleted"], there["tag"]) == (name, False, "new")
    assert gone == {"_component": "", "_table": "messages", "_ts": gone["_ts"], "_deleted": True, "_id": name}
    assert there["_ts"] < gone["_ts"] == deltas["cursor"]
    assert deltas["hasMore"] is False


def test_pages_of_changes_are_whole_commits(starting: Start) -> None:
    """A page ends with the commit that fills it; rows of other tables count, and are not shown."""
    box = starting()
    since = get(box, "/api/list_snapshot")["snapshot"]
    box.append("s", *({"tag": 1} for _ in range(100)))
    box.append("s", *({"tag": 2} for _ in range(100)))
    box.call("mutation", "langchain/db:insert", {"table": "other", "document": {"tag": "x"}})
    page = get(box, "/api/document_deltas", cursor=since, table_name="messages")
    assert (len(page["values"]), page["hasMore"]) == (200, True)
    page = get(box, "/api/document_deltas", cursor=page["cursor"], table_name="messages")
    assert (page["values"], page["hasMore"]) == ([], False)


def test_several_tables(starting: Start) -> None:
    """The walk goes through one table after the other; a selection leaves some out."""
    box = starting()
    box.append("s", {"tag": "one"})
    box.call("mutation", "langchain/db:insert", {"table": "other", "document": {"tag": "two"}})
    page = get(box, "/api/list_snapshot")
    tables = []
    while True:
        tables += [value["_table"] for value in page["values"]]
        if not page["hasMore"]:
            break
        page = get(box, "/api/list_snapshot", snapshot=page["snapshot"], cursor=page["cursor"])
    assert sorted(tables) == ["messages", "other"]
    page = post(box, "/api/list_snapshot", {"selection": ONE_TABLE})
    assert [value["tag"] for value in page["values"]] == ["one"]
    assert get(box, "/api/list_snapshot", tableName="nothing")["values"] == []
    assert sorted(get(box, "/api/json_schemas", deltaSchema="true")) == ["messages", "other"]


@pytest.mark.parametrize(
    ("form", "number"), [("json", "5"), ("export_json", 5), ("convex_encoded_json", {"$integer": "BQAAAAAAAAA="})]
)
def test_formats(starting: Start, form: str, number: Any) -> None:
    """An int64 is spelled as the format that was asked for has it."""
    box = starting()
    box.append("s", {"n": {"$integer": "BQAAAAAAAAA="}, "tag": "a"})
    (value,) = get(box, "/api/list_snapshot", tableName="messages", format=form)["values"]
    assert (value["n"], value["tag"]) == (number, "a")


def test_refusals(starting: Start) -> None:
    """Moments that are too old or to come, cursors that are none, formats, plan and rights: each by its code."""
    box = starting("--retention", "3600")
    now = get(box, "/api/list_snapshot")["snapshot"]
    for path, query, code in (
        ("/api/list_snapshot", {"snapshot": now + 10**15}, "SnapshotTooNew"),
        ("/api/list_snapshot", {"snapshot": now - 6 * 86_400 * 10**9}, "SnapshotTooOld"),
        ("/api/list_snapshot", {"cursor": "nothing"}, "InvalidListSnapshotCursor"),
        ("/api/list_snapshot", {"format": "xml"}, "BadFormat"),
        ("/api/list_snapshot", {"snapshot": "soon"}, "InvalidQuery"),
        ("/api/document_deltas", {}, "DocumentDeltasCursorRequired"),
        ("/api/document_deltas", {"cursor": "soon"}, "InvalidQuery"),
        ("/api/document_deltas", {"cursor": now - 7200 * 10**9}, "InvalidWindowToReadDocuments"),
    ):
        assert refusal(box, path, **query) == (400, code)
    assert said(box, {}, "/api/list_snapshot", key="sandbox|wrong") == (401, "BadAdminKey")
    assert refusal(starting("--no-streaming"), "/api/json_schemas") == (403, "StreamingExportNotEnabled")
    denied = starting("--deny", "deployment:data:view", "--no-data-sync")
    assert refusal(denied, "/api/document_deltas", cursor=1) == (403, "OperationNotPermitted")
