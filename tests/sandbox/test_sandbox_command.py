"""The command: how it starts, what it prints, how it ends."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from .box import KEY, ROOT, Start


def run(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sync_tool", "sandbox", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, input=stdin, timeout=60)


def test_ready_line(starting: Start) -> None:
    """Exactly one line says where it is and what the key is."""
    box = starting()
    assert box.ready == f"sandbox ready at {box.url}  (key: {KEY})\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_well(starting: Start, number: signal.Signals) -> None:
    """It was asked to stop, so the exit code is 0 and nothing is said."""
    box = starting()
    box.process.send_signal(number)
    out, _ = box.process.communicate(timeout=20)
    assert (box.process.returncode, out) == (0, "")


def test_it_ends_with_its_parent(starting: Start) -> None:
    """With --with-parent the end of standard input ends it, also while a connection is open."""
    box = starting()
    with socket.create_connection(("127.0.0.1", int(box.url.rpartition(":")[2]))):
        assert box.stop() == 0


def test_port_in_use(starting: Start) -> None:
    """A port that is taken is one line that names it and exit code 2."""
    port = starting().url.rpartition(":")[2]
    done = run("--port", port)
    assert done.returncode == 2
    assert f"port {port} is in use" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ([], ["CONVEX_SELF_HOSTED_URL", "CONVEX_SELF_HOSTED_ADMIN_KEY"]),
        (["--type", "dev"], ["CONVEX_DEPLOY_KEY", "CONVEX_PROVISION_HOST", "CONVEX_URL"]),
    ],
)
def test_env_file(starting: Start, tmp_path: Path, flags: list[str], names: list[str]) -> None:
    """The env file is there when the ready line is, for the owner only, and the key is not printed."""
    file = tmp_path / "box.env"
    file.write_text("old")
    file.chmod(0o644)
    box = starting("--env-file", str(file), *flags)
    assert box.ready == f"sandbox ready at {box.url}  (key in {file})\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    values = dict(line.split("=", 1) for line in file.read_text().splitlines())
    assert list(values) == names
    assert {value.strip("'") for value in values.values()} == {box.url, KEY}
    assert [path.name for path in tmp_path.iterdir()] == ["box.env"]


def test_made_keys_have_the_form_of_their_type(starting: Start) -> None:
    """A key that is made up looks like those of the deployment's type."""
    for kind in ("dev", "prod", "preview"):
        box = starting("--type", kind, "--name", "n-1", env={"CONVEX_MSGS_SANDBOX_KEY": ""})
        box.key = box.ready.partition("key: ")[2].strip(")\n")
        assert box.key.startswith(f"{kind}:n-1|")
        assert json.loads(box.request("GET", "/api/v1/deployment_info").data)["deploymentType"] == kind


def test_sample_data(starting: Start, tmp_path: Path) -> None:
    """The sample is loaded as it is, once."""
    data = str(tmp_path / "data.sqlite")
    lines = (ROOT / "sample_data" / "messages.jsonl").read_bytes().splitlines()
    for _ in range(2):
        box = starting("--sample-data", "--data", data)
        assert box.query("_system/cli/tableSize", {"tableName": "messages"}) == len(lines)
        body = {"path": "convexMsgs:page", "args": {"limit": 100}, "format": "convex_encoded_json"}
        assert b'"rows":[' + b",".join(lines[:100]) in box.request("POST", "/api/query", body).data
        box.stop()


def test_ids_of_another_table(starting: Start, tmp_path: Path) -> None:
    """Rows to load whose ids are of another table number get this table's."""
    file = tmp_path / "rows.jsonl"
    file.write_text('{"_creationTime":5.5,"_id":"kg27rxfv99gzp01wmph0gvt92d6hnvy6","sessionId":"s"}\n')
    row = starting("--load", str(file)).page()["rows"][0]
    assert row == {"_creationTime": 5.5, "_id": "j577rxfv99gzp01wmph0gvt92d6hmbqa", "sessionId": "s"}


def test_rows_that_cannot_be_loaded(tmp_path: Path) -> None:
    """A line that is no row is one line with its number and exit code 2."""
    file = tmp_path / "rows.jsonl"
    file.write_text('{"_creationTime":5.5}\n{"_creationTime":\n')
    done = run("--port", "0", "--load", str(file))
    assert done.returncode == 2
    assert f"{file}, line 2" in done.stderr
    assert "Traceback" not in done.stderr


def test_loading_is_all_or_nothing(tmp_path: Path, starting: Start) -> None:
    """A file with a bad line leaves nothing behind, so that it can be loaded once it is repaired."""
    file, data = tmp_path / "rows.jsonl", str(tmp_path / "data.sqlite")
    file.write_text('{"_creationTime":5.5}\n{"_creationTime":-1.0}\n')
    assert run("--port", "0", "--load", str(file), "--data", data).returncode == 2
    file.write_text('{"_creationTime":5.5}\n{"_creationTime":6.5}\n')
    assert len(starting("--load", str(file), "--data", data).page()["rows"]) == 2


def test_a_file_has_one_sandbox(tmp_path: Path, starting: Start) -> None:
    """A second sandbox on the same file is one line on stderr and exit code 2; after a kill the file is free."""
    data = str(tmp_path / "data.sqlite")
    first = starting("--data", data)
    done = run("--port", "0", "--data", data)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is in use by another sandbox" in done.stderr
    first.kill()
    assert starting("--data", data).page()["rows"] == []


def test_verbose_logs_requests(tmp_path: Path) -> None:
    """With -v requests are logged to stderr, never to stdout."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sync_tool", "sandbox", "--port", "0", "--with-parent", "-v"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    port = int(process.stdout.readline().split()[3].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /version HTTP/1.0\r\n\r\n")
        assert b"200 OK" in connection.recv(100)
    out, err = process.communicate(timeout=20)
    assert out == ""
    assert '"GET /version HTTP/1.0" 200' in err
