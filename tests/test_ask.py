"""The conversation of LangChain's documentation, in both languages, and the tool beside it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.backends import Backend, Backends
from running import ROOT, clean_environment, convex_msgs, running_sandbox
from sync_tool.langchain import ConvexChatMessageHistory

SAID = [
    ("human", "Hi! I'm Jim."),
    ("ai", "Hello Jim! It's nice to meet you."),
    ("human", "What did I just say my name was?"),
    ("ai", "You just said your name was Jim."),
]


def said(path: Path) -> list[tuple[str, str]]:
    """Return type and content of each row of a file."""
    messages = [json.loads(line)["message"] for line in path.read_text().splitlines()]
    return [(message["type"], message["data"]["content"]) for message in messages]


def test_the_example_in_python(tmp_path: Path) -> None:
    """examples/ask.py: the model learns that the name is Jim; printed, exported, cleared."""
    with running_sandbox(tmp_path) as sandbox:
        env = {"PYTHONPATH": str(ROOT), "CONVEX_MSGS_ENV_FILE": str(sandbox.env_file), "OPENAI_API_KEY": ""}
        command = [sys.executable, str(ROOT / "examples" / "ask.py"), "jim"]
        done = subprocess.run(
            command, cwd=tmp_path, env=clean_environment(env), capture_output=True, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        SAID[1][1],
        SAID[3][1],
        "",
        *(f"{'Human' if kind == 'human' else 'AI'}: {text}" for kind, text in SAID),
        "",
        "4 messages -> jim.jsonl",
        "forgotten: []",
    ]
    assert said(tmp_path / "jim.jsonl") == SAID


@pytest.fixture(scope="module")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """The shipped TypeScript in convex-test, behind HTTP."""
    backends = Backends(tmp_path_factory.mktemp("convex-test"))
    yield backends.get("convex-test")
    backends.close()


def act(backend: Backend, name: str) -> Any:
    """Run an action of convex/ask.ts on the session ``jim``."""
    status, answer = backend.as_admin("/api/action", {"path": f"ask:{name}", "args": {"sessionId": "jim"}})
    assert (status, answer["status"]) == (200, "success"), answer
    return answer["value"]


def test_the_conversation_in_javascript(javascript: Backend, tmp_path: Path) -> None:
    """convex/ask.ts: run, printed, exported by the tool, read and continued from Python, cleared."""
    assert act(javascript, "ask")["answers"] == [SAID[1][1], SAID[3][1]]
    env = {"CONVEX_SELF_HOSTED_URL": javascript.url, "CONVEX_SELF_HOSTED_ADMIN_KEY": javascript.key}
    done = convex_msgs("export", "-s", "jim", "-o", "jim.jsonl", cwd=tmp_path, env=env)
    assert (done.code, said(tmp_path / "jim.jsonl")) == (0, SAID), done.err

    history = ConvexChatMessageHistory("jim", url=javascript.url, key=javascript.key)
    assert [(message.type, message.content) for message in history.messages] == SAID
    history.add_user_message("Hi! I'm Ann.")
    again = act(javascript, "ask")  # LangChain in JavaScript reads what Python added
    assert again["history"][4] == "human: Hi! I'm Ann."
    assert len(history.messages) == 9

    act(javascript, "forget")
    assert history.messages == []
    history.close()


def test_the_page_about_it_runs(tmp_path: Path) -> None:
    """The Python blocks of docs/langchain.md print what stands behind them."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "docs" / "langchain.md").read_text(), re.DOTALL | re.MULTILINE)
    with running_sandbox(tmp_path) as sandbox:
        (tmp_path / ".env.msgs").write_text(sandbox.env_file.read_text())
        script = "".join(text for language, text in found if language == "python")
        command = [sys.executable, "-W", "error", "-c", script]
        env = clean_environment({"PYTHONPATH": str(ROOT)})
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout) == ("", "".join(text for language, text in found if language == "text"))
