"""User (d): a long history from files into production, interrupted, with bad messages, conflicts and repairs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from importing import Target, history, lines, write
from running import Done, convex_msgs, running_sandbox
from terminal import on_a_terminal

SESSIONS = 60
LENGTH = 40


@pytest.fixture
def prod(tmp_path: Path) -> Iterator[Target]:
    """A production deployment that holds some of it already: 3 sessions whole, 2 begun, 1 another history."""
    with running_sandbox(tmp_path, "--type", "prod", "--name", "tall-forest-123") as running:
        target = Target(running)
        for number in range(3):
            target.append(f"cust-{number}", *texts(number))
        for number in (3, 4):
            target.append(f"cust-{number}", *texts(number)[:10])
        target.append("cust-9", *texts(9)[:13], "one message more, from the live app")
        yield target


def texts(number: int) -> list[str]:
    """Return what was said in a session."""
    return [f"{number}/{n}" for n in range(LENGTH)]


def home(folder: Path) -> dict[str, str]:
    """Return an environment with a state of its own."""
    return {"XDG_STATE_HOME": str(folder / "state")}


def migrate(prod: Target, folder: Path, *flags: str) -> Done:
    """Run the command of the session."""
    to = f"@{prod.sandbox.env_file}"
    return convex_msgs("import", "old.jsonl", "--to", to, *flags, cwd=folder, env=home(folder))


def answered(prod: Target, folder: Path, answer: bytes, *, interrupt: bool = False) -> tuple[int, str]:
    """Run it on a terminal, answer its question, and perhaps press Ctrl-C while it sends."""
    command = ["import", "old.jsonl", "--to", f"@{prod.sandbox.env_file}", "--level", "loadable"]
    return on_a_terminal(*command, cwd=folder, env=home(folder), answer=answer, interrupt=interrupt)


def test_the_session_as_it_is_wished(prod: Target, tmp_path: Path) -> None:
    """Dry run, question, Ctrl-C, the same command again, repairs: the words, the numbers and the codes."""
    folder = tmp_path / "work"
    folder.mkdir()
    rows = [one for number in range(SESSIONS) for one in history(f"cust-{number}", texts(number))]
    bad = [20 * LENGTH + 15, 21 * LENGTH + 30]
    for place in bad:
        rows[place]["message"] = {"type": "tool", "data": {"content": "found"}}
    write(folder / "old.jsonl", rows)

    plan = migrate(prod, folder, "--level", "loadable", "--dry-run")
    assert plan.code == 0, plan.err
    written = (tmp_path / "plan.txt").write_text(re.sub(r"[\d.]+ KB", "N KB", plan.err))
    assert written
    assert (tmp_path / "plan.txt").read_text() == (
        "prod tall-forest-123 · table messages\n"
        "from   old.jsonl\n"
        "to     prod tall-forest-123, table messages, 154 rows, schema takes level langchain\n"
        "plan   60 sessions, 2,398 messages, N KB\n"
        "       new 54 · up to date 3 · extend 2 · conflict 1 (first: 'cust-9' differs at message 14; all: --json)\n"
        "order  inside every session kept. Between sessions: not kept\n"
        "times  rows get today's _creationTime. With an empty table: --keep-times\n"
        "bad    2 messages in 2 sessions refused (tool-call-id 2); those sessions stop before the bad message"
        " -> quarantine.jsonl\n"
        "nothing was written.\n"
    )

    refused = migrate(prod, folder, "--level", "loadable")
    assert (refused.code, "is a production deployment, which needs --yes" in refused.err) == (2, True)
    code, said = answered(prod, folder, b"n\n")
    assert (code, "not confirmed; nothing was written." in said) == (2, True)
    assert "prod tall-forest-123: append 2,185 messages to 56 sessions? [y/N]" in said
    code, said = answered(prod, folder, b"y\n", interrupt=True)
    assert code == 130, said
    assert "stopped safely: nothing doubled, nothing half a batch. Run the same command to resume. [exit 130]" in said

    done = migrate(prod, folder, "--level", "loadable", "--yes", "--compare")
    assert done.code == 3, done.err
    last = done.err.splitlines()[-4:]
    assert re.search(r"sessions already there, .*new; [\d,]+ messages written in", last[0]), last
    assert last[1] == "2 bad messages, and 33 messages that wait for them -> quarantine.jsonl"
    assert last[3] == "compared: 57 sessions equal · 2 held at a bad message · 1 conflict left as it is [exit 3]"

    found = lines(folder / "quarantine.jsonl")
    for line in found:
        if "held" not in line:
            line["record"]["message"]["data"]["tool_call_id"] = "call_1"
    write(folder / "quarantine.jsonl", found)
    done = migrate(prod, folder, "--level", "loadable", "--yes", "--fixes", "quarantine.jsonl")
    assert done.code == 3, done.err
    assert "2 extended; 35 messages written" in done.err
    assert done.err.endswith("1 conflict left as it is (first: 'cust-9' differs at message 14; all: --json) [exit 3]\n")
    expected = {f"cust-{number}": texts(number) for number in range(SESSIONS) if number != 9}
    expected["cust-20"][15] = expected["cust-21"][30] = "found"
    assert {session: prod.texts(session) for session in expected} == expected
    assert prod.texts("cust-9") == [*texts(9)[:13], "one message more, from the live app"]
    report = json.loads(migrate(prod, folder, "--yes", "--fixes", "quarantine.jsonl", "--json").out)
    assert (report["sent_rows"], report["plan"]["up_to_date"], report["exit_code"]) == (0, 59, 3)
