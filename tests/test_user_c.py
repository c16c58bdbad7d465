"""An operator keeps nightly backups of a self-hosted deployment and proves that they restore."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from running import ROOT, Done, Sandbox, convex_msgs, running_sandbox
from sandbox.box import Running
from sandbox.importing import perform, upload, zipped
from syncing import live_rows

RUN = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ"
SAMPLE = ROOT / "sample_data" / "messages.jsonl"


@dataclass(frozen=True)
class Server:
    """The operator's machine."""

    folder: Path
    deployment: Sandbox

    def run(self, line: str) -> Done:
        """Run a line of the session with the paths that this machine has."""
        line = line.replace("/etc/convex-msgs.env", "convex-msgs.env").replace("/backup/chat", "backup/chat")
        return convex_msgs(*line.split(), cwd=self.folder, env={"HOME": str(self.folder), "XDG_STATE_HOME": ""})

    def put(self, rows: list[dict[str, Any]]) -> None:
        """Set the table to some rows, as an app does over time, or as someone who resets it."""
        box = Running(self.deployment.process, self.deployment.url, "", self.deployment.key)
        lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        assert perform(box, upload(box, zipped(messages=lines), mode="replace"))["state"] == "completed"

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the table."""
        return [json.loads(raw) for raw in live_rows(self.deployment)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A self-hosted deployment without functions that keeps changes for two days, and an empty disk."""
    (tmp_path / "backup").mkdir()
    flags = ("--sample-data", "--no-functions", "--retention", str(2 * 86_400 + 60))
    with running_sandbox(tmp_path, *flags) as deployment:
        for name in ("convex-msgs.env", "prod.env"):
            (tmp_path / name).write_text(deployment.env_file.read_text())
        yield Server(tmp_path, deployment)


def lines(text: bytes | str) -> list[str]:
    """Return the lines of an output."""
    return (text if isinstance(text, str) else text.decode()).splitlines()


def test_the_session_of_the_operator(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """From doctor to a restored table, in the words and with the exit codes that an operator sees."""
    monkeypatch.setenv("CONVEX_MSGS_ENV_FILE", "")
    _look_and_begin(server)
    first = _run_of(server.run("sync /backup/chat --create --env-file /etc/convex-msgs.env"))
    _night(server)
    second = _runs(server)[-1][0]
    done = server.run(f"verify /backup/chat --restore --as-of {second}")
    assert done.code == 0, done.err
    whole, restored, note = lines(done.out)
    assert re.fullmatch(r"whole: \d+ files, 2,303 rows, every sha256 and session digest right", whole)
    compared = r"restored into a sandbox deployment, read back, compared: \d\d sessions equal, 0 different"
    assert re.fullmatch(compared, restored)
    assert note == "note: the sandbox is our stand-in; to prove it on a real backend: --restore-to @scratch.env"
    assert [run[-2:] for run in _runs(server)] == [("yes", "no"), ("yes", f"yes, {datetime.now(UTC):%Y-%m-%d}")]
    _reset(server, second)
    _restore(server, first)


def _look_and_begin(server: Server) -> None:
    done = server.run("doctor --env-file /etc/convex-msgs.env")
    assert done.code == 0
    said = lines(done.out)
    assert re.fullmatch(r"ok    http://127\.0\.0\.1:\d+  self-hosted, backend \S+", said[0])
    assert said[1:4] == [
        "ok    key: full rights (reading needs only deployment:data:view)",
        "ok    table messages, index bySessionId, 2,407 rows (statistics), schema level langchain",
        "ok    read: streaming (edits and deletions seen, one moment)",
    ]
    assert said[-1].startswith("warn  changes are kept 2 days here (DOCUMENT_RETENTION_DELAY)")
    done = server.run("sync /backup/chat --env-file /etc/convex-msgs.env")
    assert (done.code, lines(done.err)) == (
        10,
        ["error: no archive at backup/chat. Is the disk mounted? First run: --create. [exit 10]"],
    )


def _run_of(done: Done) -> str:
    """Check the closing line of the first run, and return the run."""
    assert (done.code, done.out) == (0, b"")
    closing = lines(done.err)[-1]
    found = re.fullmatch(
        rf"run ({RUN}): 2,407 rows, 48 sessions, \d+ KB, \d+\.\d s; consistent at \d\d:\d\d:\d\d", closing
    )
    assert found, closing
    return found[1]


def _night(server: Server) -> None:
    """The app goes on; then what cron runs, which says nothing."""
    rows = server.rows()
    kept = [row for row in rows if row["sessionId"] != "cust-4"]
    edited = next(row for row in kept if row["sessionId"] == "cust-42")
    edited["message"]["data"]["content"] = "Hi! I'm James."
    server.put(kept[:-46])
    for line in (
        "sync   /backup/chat --env-file /etc/convex-msgs.env --lock-wait 10m -q",
        "verify /backup/chat --restore -q",
        "verify /backup/chat --max-age 26h --quick -q",
    ):
        done = server.run(line)
        assert (done.code, done.out, done.err) == (0, b"", ""), line


def _runs(server: Server) -> list[tuple[str, ...]]:
    done = server.run("runs /backup/chat")
    assert done.code == 0
    title, *rows = lines(done.out)
    assert title.split() == ["RUN", "ROWS", "NEW", "CHANGED", "DELETED", "WHOLE?", "RESTORED?"]
    return [tuple(re.split(r"  +", row)) for row in rows]


def _reset(server: Server, last: str) -> None:
    """Someone resets the deployment: nothing is recorded."""
    server.put(server.rows()[:1])
    done = server.run("sync /backup/chat --env-file /etc/convex-msgs.env")
    assert done.code == 4
    first, second = lines(done.err)[-2:]
    assert first == "error: this run would record 2,302 of 2,303 rows as deleted. Nothing recorded."
    meant = "(it now says 1 row)   meant it: --allow-shrink   older state: restore --as-of"
    assert second == f"  same deployment?  {meant} {last} [exit 4]"


def _restore(server: Server, first: str) -> None:
    """The plan, then the table as it was in the first night."""
    done = server.run(f"restore /backup/chat --as-of {first} --to @prod.env --dry-run")
    assert done.code == 0, done.err
    said = lines(done.err)
    target = next(line for line in said if line.startswith("target"))
    assert re.fullmatch(r"target  self-hosted 127\.0\.0\.1:\d+, messages holds 1 row", target)
    plan = "plan    table replaced in one step: delete 1, write 2,407 with their own _id and _creationTime"
    assert plan in said
    done = server.run(f"restore /backup/chat --as-of {first} --to @prod.env --replace --yes")
    assert done.code == 0, done.err
    assert server.rows() == [json.loads(line) for line in SAMPLE.read_bytes().splitlines()]
    done = server.run("sync /backup/chat --env-file /etc/convex-msgs.env -q")
    assert (done.code, done.err) == (0, "")
    assert [run[1] for run in _runs(server)] == ["2,407", "2,303", "2,407"]
