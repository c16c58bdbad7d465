"""User (b): all history in DuckDB and pandas, a fine-tuning set, and a notebook."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from langchain_core.messages import AIMessage, HumanMessage

import sync_tool as cm
from running import ROOT, Done, Sandbox, clean_environment, convex_msgs, running_sandbox
from sync_tool.langchain import ConvexChatMessageHistory

ON_TOP = "prod tall-forest-123 · table messages"


@pytest.fixture(scope="module")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A production deployment on the Free plan, with the sample data."""
    flags = ("--sample-data", "--type", "prod", "--name", "tall-forest-123", "--no-streaming")
    with running_sandbox(tmp_path_factory.mktemp("prod"), *flags) as running:
        yield running


@pytest.fixture(scope="module")
def work(prod: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the user works, and home: the key lies in ``~/keys/prod.env``."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "keys").mkdir()
    (folder / "keys" / "prod.env").write_text(prod.env_file.read_text())
    (folder / "prompt.txt").write_text("You are the shop's assistant.\n")
    return folder


@pytest.fixture(scope="module")
def whole(work: Path) -> Done:
    """The first command that every other one needs."""
    return run(work, "export -o messages.parquet --max-read 250MB")


def run(work: Path, line: str) -> Done:
    """Run a line of the session."""
    return convex_msgs(*line.split(), cwd=work, env={"CONVEX_MSGS_ENV_FILE": str(work / "keys" / "prod.env")})


def query(work: Path, sql: str) -> list[Any]:
    """Ask DuckDB, which knows the file by its name."""
    return duckdb.sql(sql.replace("messages.parquet", str(work / "messages.parquet"))).fetchall()


def test_what_is_too_much_is_not_read(work: Path) -> None:
    """The error says how much it is, what lets it through and what is smaller; there is no file."""
    done = run(work, "export -o too-much.parquet --max-read 500KB")
    assert (done.code, done.out) == (2, b"")
    first, second, third = done.err.splitlines()
    assert re.fullmatch(rf"{ON_TOP} · about 2,4\d0 rows, 1\.\d MB", first), first
    assert re.fullmatch(r"error: reading 1\.\d MB is more than --max-read\.", second), second
    assert re.fullmatch(
        r"  go on  --max-read 2MB {12}smaller: --after \d{4}-\d\d-01     nothing was read but one page\. \[exit 2\]",
        third,
    ), third
    assert not list(work.glob("too-much*"))


def test_everything_as_parquet(whole: Done) -> None:
    """How many messages, of how many sessions, where, how large, how long, and that it is not one moment."""
    assert (whole.code, whole.out) == (0, b"")
    first, second, third = whole.err.splitlines()
    assert first.startswith(ON_TOP)
    assert re.fullmatch(r"2,407 messages, 48 sessions -> messages\.parquet \(\d+ KB\) in \d+\.\d s", second), second
    assert re.fullmatch(
        r"pages were read from [\d:]{8} to [\d:]{8} UTC: not one moment "
        r"\(one moment: `npx convex export`, then `convex-msgs convert snapshot\.zip`\)",
        third,
    ), third


@pytest.mark.usefixtures("whole")
def test_duckdb_reads_it(work: Path) -> None:
    """Both lines of SQL: tokens by type, and one session in order."""
    by_type = query(work, "select type, count(*), sum(output_tokens) from 'messages.parquet' group by 1")
    found = {kind: (count, tokens) for kind, count, tokens in by_type}
    assert (found["human"], found["ai"]) == ((953, None), (1155, 19920))
    rows = query(work, "select sessionId, n, content from 'messages.parquet' where sessionId='cust-42' order by n")
    assert rows[0] == ("cust-42", 1, "Hi! I'm Jim.")
    assert [n for _, n, _ in rows] == list(range(1, 413))


@pytest.mark.usefixtures("whole")
def test_the_training_set(work: Path) -> None:
    """The command as it stands: how many sessions, what was left out and why, what was not carried."""
    done = run(
        work,
        "convert messages.parquet -o train.jsonl -f openai --active-after 2026-06-01 --system prompt.txt"
        " --end-with assistant",
    )
    assert (done.code, done.out) == (0, b"")
    said = done.err.splitlines()[-3:]
    assert said[0] == "19 of 48 sessions -> train.jsonl"
    assert said[1] == "left out      2 do not end with assistant · 27 not active since 2026-06-01"
    assert re.fullmatch(
        r"not carried   response_metadata 948 · usage_metadata 937 · ids 2,005 · .*"
        r"\(sessions listed with --json\)",
        said[2],
    ), said[2]
    lines = (work / "train.jsonl").read_text().splitlines()
    assert len(lines) == 19
    for line in lines:
        check_for_openai(json.loads(line)["messages"])


def check_for_openai(turns: list[dict[str, Any]]) -> None:
    """Check what OpenAI's fine-tuning asks of a conversation: roles, calls and their results, answers."""
    waiting: set[str] = set()
    assert turns[0] == {"role": "system", "content": "You are the shop's assistant."}
    assert turns[-1]["role"] == "assistant"
    for turn in turns:
        if turn["role"] == "tool":
            waiting.remove(turn["tool_call_id"])
            continue
        assert waiting == set(), "a call without its result"
        assert turn["role"] in ("system", "user", "assistant")
        assert turn["content"] or turn.get("tool_calls")
        for call in turn.get("tool_calls", []):
            assert isinstance(json.loads(call["function"]["arguments"]), dict)
            waiting.add(call["id"])


def test_a_month_and_a_file_for_each(work: Path) -> None:
    """A month by itself is the file of that month in the folder: no overlap, no gap."""
    assert run(work, "export --after 2026-08-01 --before 2026-09-01 -o 2026-08.parquet").code == 0
    done = run(work, "export --partition-by month -o history/")
    assert done.code == 0
    assert re.search(r"^2,407 messages -> history/ \(\d+ files, \d+ KB\) in ", done.err, re.MULTILINE), done.err
    ids = "select list(_id order by _id) from '{}'"
    alone, parted = work / "2026-08.parquet", work / "history" / "month=2026-08" / "part-0.parquet"
    assert duckdb.sql(ids.format(alone)).fetchall() == duckdb.sql(ids.format(parted)).fetchall()
    assert duckdb.sql(f"select count(*) from '{work}/history/*/*.parquet'").fetchall() == [(2407,)]


NOTEBOOK = """\
import sync_tool as cm
db = cm.connect(env_file="~/keys/prod.env"); print(db)
recent = db.sessions(recent=5); print(recent)
print(recent.to_pandas().shape)
df = db.messages(after="2026-08-01").to_pandas(); print(list(df.columns)); print(len(df))
for row in db.messages(session="cust-42"): print(row.n, row.type, row.text); break
msgs = db.messages(session="cust-42").to_langchain(); print(len(msgs), type(msgs[1]).__name__)
report = cm.export(db, "messages.parquet", after="2026-08-01", max_read="250MB")
print(report.rows, report.set_aside, report.files[0].path)
arch = cm.open("backup/chat", as_of="TODAY"); print(len(list(arch.sessions())))
try: cm.import_(arch, db, sessions=["cust-42"], yes=True)
except cm.Conflict as e: print(e, e.hint)
"""


def test_the_notebook(work: Path, prod: Sandbox, tmp_path: Path) -> None:
    """The lines as they stand, in a process with that home; then once more, with another history there."""
    (tmp_path / "backup").mkdir()
    assert run(work, f"sync {tmp_path}/backup/chat --create").code == 0
    with_functions = ConvexChatMessageHistory("cust-42", url=prod.url, key=prod.key)
    (tmp_path / "notebook.py").write_text(NOTEBOOK.replace("TODAY", f"{datetime.now(UTC):%Y-%m-%d}"))
    said = notebook(work, tmp_path)
    before, kept = said[:-1], with_functions.messages
    assert before[:4] == [
        "<Deployment prod tall-forest-123>",
        "SESSION              LAST MESSAGE      LAST HUMAN WORDS",
        "cust-42              2026-08-22 09:14  where is my refund?",
        "cust-17              2026-08-22 08:52  thanks!",
    ]
    assert "'created_at', 'n', 'sessionId', 'type', 'content'" in "\n".join(before)
    assert said[-5:] == ["565", "1 human Hi! I'm Jim.", "412 AIMessage", "565 0 messages.parquet", "48"]
    with_functions.clear()
    with_functions.add_messages([HumanMessage("Hi! I'm Jim."), AIMessage("Another answer.")])
    first, *hint = notebook(work, tmp_path)[-2:]
    assert first == (
        "left as they are: 1 session (first: 'cust-42' differs at message 2). look   convex-msgs diff, report.conflicts"
    )
    assert hint == ["go on  on_conflict='skip' or 'replace'"]
    with_functions.clear()
    with cm.connect(env_file=work / "keys" / "prod.env") as db:
        cm.import_(cm.open(tmp_path / "backup" / "chat"), db, sessions=["cust-42"], yes=True)
    assert with_functions.messages == kept
    with_functions.close()


def notebook(work: Path, folder: Path) -> list[str]:
    """Run the notebook's lines and return what they printed."""
    (folder / "messages.parquet").unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(folder / "notebook.py")],
        cwd=folder,
        env=clean_environment({"PYTHONPATH": str(ROOT), "HOME": str(work), "XDG_STATE_HOME": os.fspath(folder)}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()
