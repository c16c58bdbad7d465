"""User (d): from LangChain's lists in Redis into production, interrupted, with bad messages, conflicts and repairs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, message_to_dict

import sync_tool as cm
from importing import Target, lines, write
from running import Done, convex_msgs, running_sandbox
from stores.conversation import quietly
from terminal import on_a_terminal

SESSIONS = 60
LENGTH = 40
BAD = {20: 15, 21: 30}
"""The place of the bad message in two of the sessions, from 0."""


@pytest.fixture
def prod(tmp_path: Path) -> Iterator[Target]:
    """A production deployment."""
    with running_sandbox(tmp_path, "--type", "prod", "--name", "tall-forest-123") as running:
        yield Target(running)


class Lists:
    """The app's Redis, and commands run where its address is in a variable."""

    def __init__(self, url: str, prod: Target, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.to = f"@{prod.sandbox.env_file}"
        self._env = {"XDG_STATE_HOME": str(folder / "state"), "REDIS_URL": url}
        self._migrate = ("migrate", "--from", "env:REDIS_URL", "--to", self.to, "--level", "loadable")

    def run(self, *arguments: str) -> Done:
        """Run a command."""
        return convex_msgs(*arguments, cwd=self.folder, env=self._env)

    def migrate(self, *flags: str) -> Done:
        """Run the command of the session."""
        return self.run(*self._migrate, *flags)

    def answered(self, answer: bytes, *, interrupt: bool = False) -> tuple[int, str]:
        """Run it on a terminal, and answer its question."""
        return on_a_terminal(*self._migrate, cwd=self.folder, env=self._env, answer=answer, interrupt=interrupt)

    def say(self, number: int, messages: list[BaseMessage]) -> None:
        """Let LangChain's class write into a session."""
        with quietly():
            from langchain_community.chat_message_histories import RedisChatMessageHistory

            history = RedisChatMessageHistory(f"cust-{number}", url=self.url)
            history.add_messages(messages)
            history.redis_client.close()


def said(number: int) -> list[BaseMessage]:
    """Return what was said in a session."""
    return [(AIMessage if n % 2 else HumanMessage)(f"{number}/{n}") for n in range(LENGTH)]


def texts(number: int) -> list[str]:
    """Return the same without who said it."""
    return [str(message.content) for message in said(number)]


@pytest.fixture
def lists(redis_url: str, prod: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lists:
    """60 sessions, two with a bad message; production has 3 of them whole, 2 begun, and another history of one."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "work").mkdir()
    made = Lists(redis_url, prod, tmp_path / "work")
    for number in range(SESSIONS):
        made.say(number, said(number))
    there = {number: said(number) for number in (0, 1, 2)} | {number: said(number)[:10] for number in (3, 4)}
    there[9] = [*said(9)[:13], HumanMessage("one message more, from the live app")]
    rows = [
        {"sessionId": f"cust-{number}", "message": message_to_dict(one)}
        for number, messages in there.items()
        for one in messages
    ]
    with prod.connected() as deployment:
        cm.import_(write(tmp_path / "there.jsonl", rows), deployment, yes=True)
    with redis.Redis.from_url(redis_url) as client:
        for number, place in BAD.items():
            client.lset(f"message_store:cust-{number}", -place - 1, '{"type": "tool", "data": {"content": "found"}}')
    return made


def test_the_session_as_it_is_wished(lists: Lists, prod: Target) -> None:
    """Dry run, question, Ctrl-C, the same command again, repairs, `diff`: the words, the numbers and the codes."""
    plan = lists.migrate("--dry-run")
    socket = lists.url.removeprefix("unix://").partition("?")[0]
    assert plan.code == 0, plan.err
    assert re.sub(r"[\d.]+ KB", "N KB", plan.err) == (
        "prod tall-forest-123 · table messages\n"
        f"from   redis {socket} 3, keys message_store:*, 60 lists (Python dialect, newest first, reversed)\n"
        "lost   before this already: when messages were written · sessions that had a time to live and expired\n"
        "to     prod tall-forest-123, table messages, 154 rows, schema takes level langchain\n"
        "plan   60 sessions, 2,398 messages, N KB\n"
        "       new 54 · up to date 3 · extend 2 · conflict 1 (first: 'cust-9' differs at message 14; all: --json)\n"
        "order  inside every session kept. Between sessions: not kept\n"
        "times  rows get today's _creationTime (Redis has none)\n"
        "bad    2 messages in 2 sessions refused (tool-call-id 2); those sessions stop before the bad message"
        " -> quarantine.jsonl\n"
        "nothing was written.\n"
    )
    code, words = lists.answered(b"n\n")
    assert (code, "not confirmed; nothing was written." in words) == (2, True)
    assert "prod tall-forest-123: append 2,185 messages to 56 sessions? [y/N]" in words
    code, words = lists.answered(b"y\n", interrupt=True)
    assert code == 130, words
    assert "stopped safely: nothing doubled, nothing half a batch. Run the same command to resume. [exit 130]" in words

    done = lists.migrate("--yes")
    assert done.code == 3, done.err
    assert "2 bad messages, and 33 messages that wait for them -> quarantine.jsonl" in done.err
    assert done.err.endswith(
        "compared: 57 sessions equal · 2 held at a bad message · 1 conflict left as it is [exit 3]\n"
    )
    for number in (20, 21, 5):  # the app goes on while somebody repairs
        lists.say(number, [HumanMessage("later")])
    found = lines(lists.folder / "quarantine.jsonl")
    for line in found:
        if "held" not in line:
            line["record"]["message"]["data"]["tool_call_id"] = "call_1"
    write(lists.folder / "quarantine.jsonl", found)
    done = lists.migrate("--yes", "--fixes", "quarantine.jsonl")
    assert done.code == 3, done.err
    assert "3 extended; 38 messages written" in done.err
    expected = {number: texts(number) for number in range(SESSIONS) if number != 9}
    for number, place in BAD.items():
        expected[number][place] = "found"
    for number in (20, 21, 5):
        expected[number].append("later")
    assert {number: prod.texts(f"cust-{number}") for number in expected} == expected
    report = json.loads(lists.migrate("--yes", "--fixes", "quarantine.jsonl", "--json").out)
    assert (report["sent_rows"], report["plan"]["up_to_date"], report["exit_code"]) == (0, 59, 3)

    changed = lists.run("diff", "env:REDIS_URL", lists.to, "--only", "changed", "--match", "cust-[1-9]")
    assert (changed.code, changed.out.decode().splitlines()[0]) == (
        4,
        "cust-9  differs at message 14 of 40 (here: 26 messages more)",
    )


def test_the_lists_as_a_file(lists: Lists, prod: Target) -> None:
    """`export`, `validate` and `diff` read the lists by the same address; sessions are selected by id and pattern."""
    exported = lists.run("export", "env:REDIS_URL", "-o", "old.jsonl")
    assert exported.code == 0, exported.err
    assert len(lines(lists.folder / "old.jsonl")) == SESSIONS * LENGTH
    same = lists.run("diff", "env:REDIS_URL", "old.jsonl")
    assert (same.code, same.out.decode()) == (0, "60 sessions equal · 0 different\n")
    checked = lists.run("validate", "env:REDIS_URL", "--level", "loadable")
    assert checked.code == 3
    assert "message_store:cust-20[-16] (cust-20)" in checked.out.decode()
    unknown = lists.migrate("-s", "cust5", "--dry-run")
    assert (unknown.code, "no session 'cust5'. Nearest ids: " in unknown.err) == (2, True)
    some = lists.migrate("--match", "cust-5?", "--yes")
    assert (some.code, "10 new; 400 messages written" in some.err) == (0, True), some.err
    assert lists.run("diff", "env:REDIS_URL", lists.to, "--match", "cust-5?").code == 0
    assert prod.texts("cust-59") == texts(59)
