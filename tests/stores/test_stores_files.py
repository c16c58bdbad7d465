"""JSON files, written by LangChain's own classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from running import ROOT
from stores.conversation import CONVERSATION, opened, quietly, row_of, sessions_of, stored
from stores.javascript import write
from sync_tool.commands.opening import kind_of
from sync_tool.errors import UsageError
from sync_tool.messages.check import Checker
from sync_tool.rows.model import Names
from sync_tool.stores import jsonfiles


def fill(folder: Path, *sessions: str) -> None:
    """Write the conversation with Python's class, one file a session."""
    with quietly():
        from langchain_community.chat_message_histories import FileChatMessageHistory

        for number, session in enumerate(sessions):
            history = FileChatMessageHistory(str(folder / f"{session}.json"), encoding="utf-8", ensure_ascii=number > 0)
            history.add_messages(CONVERSATION)


def test_a_file_of_python(tmp_path: Path) -> None:
    """One file is one session, called as the file without its suffix."""
    fill(tmp_path, "cust-1")
    store = opened(str(tmp_path / "cust-1.json"))
    assert sessions_of(store) == {"cust-1": stored(CONVERSATION)}
    assert store.facts().summary == "1 session (Python dialect, oldest first)"
    assert [record.where for record in store.records()][1] == f"{tmp_path}/cust-1.json[1]"


def test_a_folder_of_python(tmp_path: Path) -> None:
    """Each file is a session, in order of names; other files are skipped and counted."""
    fill(tmp_path, "b", "a", "zażółć 1")
    (tmp_path / "notes.txt").write_text("not a history")
    (tmp_path / "rows.jsonl").write_text('{"sessionId":"a","message":{"type":"human","data":{"content":"x"}}}\n')
    store = opened(str(tmp_path))
    assert list(sessions_of(store)) == ["a", "b", "zażółć 1"]
    assert sessions_of(store)["b"] == stored(CONVERSATION)
    assert store.facts().notes == ("2 files skipped: not written by LangChain",)


@pytest.mark.parametrize("user", ["", "jim"])
def test_the_file_of_javascript(tmp_path: Path, user: str) -> None:
    """One file holds all sessions, under their users."""
    written = write("file", user=user, path=str(tmp_path / ".history" / "history.json"))["written"]
    for place in (tmp_path / ".history" / "history.json", tmp_path / ".history"):
        store = opened(str(place))
        assert sessions_of(store) == written
        assert store.facts().summary == "3 sessions (JavaScript dialect, oldest first)"


def test_two_files_of_one_name(tmp_path: Path) -> None:
    """Files that differ in their suffix only stay two sessions, called by their whole names."""
    fill(tmp_path, "a", "b")
    (tmp_path / "a.txt").write_text("[]")
    (tmp_path / "a.bak").write_text((tmp_path / "a.json").read_text())
    assert list(sessions_of(opened(str(tmp_path)))) == ["a.bak", "a.json", "b"]


def test_rows_are_what_the_checks_ask_for(tmp_path: Path) -> None:
    """Messages of a store pass the level langchain unchanged, in both languages' layouts."""
    fill(tmp_path, "a")
    write("file", user="", path=str(tmp_path / "history.json"))
    records = list(opened(str(tmp_path)).records())
    assert {row_of(record)["sessionId"] for record in records} == {"a", "cust-1", "Cust-1", "team a/chat 1 é"}
    checker = Checker("langchain", Names(), "js")
    assert [fault for record in records for fault in checker.check(record.raw).faults] == []


def test_a_session_id_of_two_users(tmp_path: Path) -> None:
    """Two users' sessions of one id stay two: the user's id stands before them."""
    message = {"type": "human", "data": {"content": "hi"}}
    users = {"jim": {"s": {"messages": [message]}}, "eve": {"s": {"messages": []}, "t": {"messages": [message]}}}
    users["ann"] = {"s": {"messages": [message, message]}, "u": {"context": {}}}
    (tmp_path / "history.json").write_text(json.dumps(users))
    assert sessions_of(opened(str(tmp_path))) == {"jim/s": [message], "t": [message], "ann/s": [message] * 2}


def test_broken_files_do_not_stop_the_others(tmp_path: Path) -> None:
    """A file that was cut has one fault and says its session; bad entries have one each."""
    fill(tmp_path, "a", "c")
    text = (tmp_path / "a.json").read_text()
    (tmp_path / "b.json").write_text(text[: len(text) // 2])
    (tmp_path / "d.json").write_text('\ufeff[1, {"type": "human"}]')
    records = list(opened(str(tmp_path)).records())
    broken = [record for record in records if record.fault]
    assert [(record.line, record.fault and record.fault.rule, record.where) for record in broken] == [
        (1, "not-json", f"{tmp_path}/b.json")
    ]
    assert row_of(broken[0]) == {"sessionId": "b"}
    assert len(records) == 2 * len(CONVERSATION) + 3


def test_what_is_no_store_is_left_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows, exports, Parquet, archives, URLs of deployments, a path that is not there: no store."""
    (tmp_path / "one-row.jsonl").write_text('{"_id":"x","sessionId":"a","message":{"type":"human","data":{}}}\n')
    (tmp_path / "empty.json").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "manifest.json").write_text('{"tool": {"name": "x"}, "parts": {}}')
    paths = [str(ROOT / "sample_data/messages.jsonl"), *(str(path) for path in tmp_path.iterdir())]
    addresses = ["https://x.convex.cloud", "live", "@.env", "-", str(tmp_path / "nothing"), *paths]
    monkeypatch.setenv("PLACE", "https://x.convex.cloud")
    assert [address for address in [*addresses, "env:PLACE"] if kind_of(address) == "store"] == []


def test_a_file_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file beyond the bound is refused instead of filling the memory."""
    fill(tmp_path, "a")
    monkeypatch.setattr(jsonfiles, "MAX_FILE_BYTES", 1000)
    with pytest.raises(UsageError, match=r"1\.0 KB"):
        list(opened(str(tmp_path / "a.json")).records())


def test_hostile_names_are_harmless(tmp_path: Path) -> None:
    """A session's name with an escape sequence is unchanged in the row and escaped in places."""
    fill(tmp_path, "a\x1b[31mb")
    (record, *_) = opened(str(tmp_path)).records()
    assert row_of(record)["sessionId"] == "a\x1b[31mb"
    assert "\x1b" not in record.where + opened(str(tmp_path / "a\x1b[31mb.json")).title
