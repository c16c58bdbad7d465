"""docs/migrate.md says that stores can be read wherever files can: each command that reads takes one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from importing import Target
from running import convex_msgs
from stores.conversation import quietly

STORE = "sqlite:///chats.db"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a database that LangChain wrote."""
    with quietly():
        from langchain_community.chat_message_histories import SQLChatMessageHistory

        for session in ("a", "b"):
            history = SQLChatMessageHistory(session, connection=f"sqlite:///{tmp_path}/chats.db")
            history.add_user_message(f"hi, {session}")
            history.add_ai_message("hello")
            history.engine.dispose()
    return tmp_path


@pytest.mark.parametrize("address", [STORE, "env:CHATS"])
@pytest.mark.parametrize("command", ["export", "convert"])
def test_a_store_becomes_a_file(folder: Path, command: str, address: str) -> None:
    """Its messages are rows in session order, the oldest of a session first."""
    done = convex_msgs(command, address, "-o", "out.jsonl", cwd=folder, env={"CHATS": STORE})
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_bytes().splitlines()]
    said = [(row["sessionId"], row["message"]["data"]["content"]) for row in rows]
    assert said == [("a", "hi, a"), ("a", "hello"), ("b", "hi, b"), ("b", "hello")]


def test_a_store_is_checked_compared_and_imported(folder: Path, target: Target) -> None:
    """`validate` finds it good, `import` takes it, and `diff` sees no difference then."""
    assert convex_msgs("validate", STORE, cwd=folder).code == 0
    to = f"@{target.sandbox.env_file}"
    assert convex_msgs("import", STORE, "--to", to, cwd=folder).code == 0
    done = convex_msgs("diff", STORE, to, cwd=folder)
    assert (done.code, done.out) == (0, b"2 sessions equal \xc2\xb7 0 different\n")
