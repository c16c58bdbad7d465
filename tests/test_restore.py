"""``restore``: the same bytes again, plans, refusals, questions, interrupts, and calls that are cut off."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sync_tool as cm
from faults.killing import Tool
from faults.plan import HTTP_FAULTS, Plan
from faults.proxying import running_proxy
from running import ROOT, Done, Sandbox, clean_environment, convex_msgs, running_sandbox
from sandbox.box import Running
from sandbox.importing import QUERY, lines, post, row, row_id, status, upload, zipped
from sync_tool.commands.export.export import SILENT
from sync_tool.commands.journals import ConfirmedImport, RestoreJournal
from sync_tool.commands.restore.package import packed
from sync_tool.commands.restore.snapshot_import import refused_import
from sync_tool.deployment.client import Client
from sync_tool.deployment.snapshot import ImportStatus, SnapshotWriter
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Names, Selection

ROWS = 2_407
"""Rows of the sample data."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sample data, which a sandbox has given its table's number, exported in each format."""
    folder = tmp_path_factory.mktemp("saved")
    with running_sandbox(folder, "--sample-data") as origin, cm.connect(origin.url, key=origin.key) as history:
        for suffix in ("jsonl", "jsonl.zst", "parquet", "zip"):
            cm.export(history, folder / f"rows.{suffix}")
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Sandbox]:
    """An empty sandbox of its own."""
    with running_sandbox(tmp_path) as running:
        yield running


def restore(source: Path, target: Sandbox, *flags: str) -> Done:
    """Run the command with a home of its own."""
    home = {"HOME": str(target.env_file.parent), "XDG_STATE_HOME": ""}
    return convex_msgs("restore", str(source), "--to", f"@{target.env_file}", *flags, cwd=ROOT, env=home)


def exported(target: Sandbox, folder: Path) -> bytes:
    """Return everything that the target holds, as JSONL."""
    with cm.connect(target.url, key=target.key) as history:
        cm.export(history, folder / "after.jsonl", overwrite=True)
    return (folder / "after.jsonl").read_bytes()


def box_of(target: Sandbox) -> Running:
    """Return the sandbox with helpers for direct requests."""
    return Running(target.process, target.url, "", target.key)


def states(target: Sandbox) -> list[str]:
    """Return the states of the newest imports, newest first."""
    return [document["state"]["state"] for document in box_of(target).query(f"{QUERY}:list", {})]


def put(target: Sandbox, *rows: object) -> None:
    """Put rows into the table as an import."""
    box = box_of(target)
    import_id = upload(box, zipped(messages=lines(*rows)), mode="replace")
    status(box, import_id)
    post(box, "/api/perform_import", {"importId": import_id})
    assert status(box, import_id)["state"]["state"] == "completed"


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.zst", "parquet", "zip"])
def test_what_was_exported_comes_back_byte_for_byte(suffix: str, saved: Path, target: Sandbox, tmp_path: Path) -> None:
    """Export, restore into an empty deployment, export again: the same bytes, ids and times included."""
    done = restore(saved / f"rows.{suffix}", target, "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert (report["rows"], report["rows_after"], report["deleted"], report["joined"]) == (ROWS, ROWS, 0, False)
    assert exported(target, tmp_path) == (saved / "rows.jsonl").read_bytes()


def test_a_table_with_rows_is_replaced_only_on_demand(saved: Path, target: Sandbox, tmp_path: Path) -> None:
    """Without --replace, and without --yes, nothing changes and the code is 2; with both the plan has the counts."""
    put(target, row(1))
    source = saved / "rows.jsonl"
    refused = restore(source, target)
    assert refused.code == 2
    assert "messages on self-hosted" in refused.err
    assert "holds 1 row; nothing was written." in refused.err
    assert "--replace --yes" in refused.err
    unsaid = restore(source, target, "--replace")
    assert (unsaid.code, "which needs --yes" in unsaid.err) == (2, True)
    assert len(states(target)) == 1
    done = restore(source, target, "--replace", "--yes")
    assert done.code == 0, done.err
    assert "plan    table replaced in one step: delete 1, write 2,407 with their own _id and _creationTime" in done.err
    assert "holds as many now" in done.err
    assert exported(target, tmp_path) == source.read_bytes()


def test_a_dry_run_plans_and_changes_nothing(saved: Path, target: Sandbox) -> None:
    """The plan comes from the deployment's own count, needs no --replace, and the import is cancelled."""
    put(target, row(1))
    done = restore(saved / "rows.jsonl", target, "--dry-run")
    assert done.code == 0, done.err
    assert "messages holds 1 row" in done.err
    assert "delete 1, write 2,407" in done.err
    assert "dry run: nothing was written." in done.err
    assert states(target) == ["failed", "completed"]
    assert [found["_id"] for found in box_of(target).page()["rows"]] == [row_id(1)]


def test_production_needs_a_yes_also_where_the_table_is_empty(saved: Path, tmp_path: Path) -> None:
    """A deployment that deployment_info calls prod is written only with --yes."""
    with running_sandbox(tmp_path, "--type", "prod", "--name", "tall-forest-123") as target:
        done = restore(saved / "rows.jsonl", target)
        assert done.code == 2
        assert "it is a production deployment, which needs --yes" in done.err
        assert states(target) == []
        assert restore(saved / "rows.jsonl", target, "--yes").code == 0


def test_some_sessions_go_only_into_an_empty_table(saved: Path, target: Sandbox) -> None:
    """A selection would lose the sessions that it leaves out, so it never replaces."""
    source = saved / "rows.jsonl"
    assert restore(source, target, "-s", "cust-42").code == 0
    done = restore(source, target, "-s", "cust-17", "--replace", "--yes")
    assert done.code == 2
    assert "holds 412 rows, and only some messages were selected" in done.err


def test_a_folder_of_some_messages_is_known_as_such(saved: Path, target: Sandbox, tmp_path: Path) -> None:
    """A folder says in its manifest whether rows were selected; one of everything replaces, another does not."""
    with cm.open(saved / "rows.jsonl") as rows:
        cm.export(rows, tmp_path / "all", format="jsonl", partition_by="none")
        cm.export(rows, tmp_path / "some", format="jsonl", partition_by="none", sessions=["cust-42"])
    put(target, row(1))
    done = restore(tmp_path / "some", target, "--replace", "--yes")
    assert (done.code, "only some messages were selected" in done.err) == (2, True)
    assert restore(tmp_path / "all", target, "--replace", "--yes").code == 0
    assert exported(target, tmp_path) == (saved / "rows.jsonl").read_bytes()


def test_a_taken_table_number_is_explained_before_the_upload(saved: Path, tmp_path: Path) -> None:
    """Another table owns the number in the ids: which one, and three ways out; nothing is uploaded."""
    file = str(tmp_path / "data.sqlite")
    with running_sandbox(tmp_path, "--data", file, "--table", "notes"):
        pass
    with running_sandbox(tmp_path, "--data", file) as target:
        done = restore(saved / "rows.jsonl", target)
        assert done.code == 2
        assert "table number 10001" in done.err
        assert "belongs to the table 'notes', not to 'messages'" in done.err
        assert [line.split()[0] for line in done.err.splitlines() if line.startswith("  ")] == ["1", "2", "3"]
        assert states(target) == []


def test_a_free_table_number_is_taken_over(target: Sandbox, tmp_path: Path) -> None:
    """Ids of a number that nobody has there become the table's number."""
    source = tmp_path / "rows.jsonl"
    source.write_bytes(lines(row(1, 10_044), row(2, 10_044)))
    assert restore(source, target).code == 0
    assert [found["_id"] for found in box_of(target).page()["rows"]] == [row_id(1, 10_044), row_id(2, 10_044)]


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([{"sessionId": "a\x1b", "_creationTime": 1.5}], "message 1 of session 'a\\x1b' has no _id"),
        ([{**row(1), "_creationTime": 0}], "message 1 of session 's' has no _creationTime that a deployment gives"),
        ([{**row(1), "_creationTime": {"$integer": "AQAAAAAAAAA="}}], "has no _creationTime that a deployment gives"),
        ([{**row(1), "_id": "abc"}], "'abc' is not a document id"),
        ([row(1), row(2, 10_044)], "its _id is of table number 10044, those before it are of 10001"),
    ],
)
def test_rows_that_cannot_go_back(rows: list[object], text: str, target: Sandbox, tmp_path: Path) -> None:
    """Rows without the ids and times of a deployment end with exit 2, which row, and no upload."""
    source = tmp_path / "rows.jsonl"
    source.write_bytes(lines(*rows))
    done = restore(source, target)
    assert done.code == 2
    assert text in done.err
    assert states(target) == []


def test_the_deployments_refusals_are_told_in_its_words(saved: Path, tmp_path: Path) -> None:
    """Rows that the schema there does not take: exit 6, the validator's words, what to do, nothing changed."""
    with running_sandbox(tmp_path, "--schema", "documented") as target:
        done = restore(saved / "rows.jsonl", target)
        assert done.code == 6
        assert "did not take the rows: Failed to insert or update a document" in done.err
        assert "deploy a schema that takes these rows" in done.err
        assert exported(target, tmp_path) == b""


def test_a_row_that_is_there_twice_is_refused(target: Sandbox, tmp_path: Path) -> None:
    """Two rows of one id end with exit 2."""
    source = tmp_path / "rows.jsonl"
    source.write_bytes(lines(row(1), row(1)))
    done = restore(source, target)
    assert (done.code, "duplicate _id" in done.err, "a row twice" in done.err) == (2, True, True)


def test_another_import_is_not_raced(target: Sandbox, tmp_path: Path) -> None:
    """While the deployment writes another import: exit 11, which import, and nothing uploaded."""
    (tmp_path / "rows.jsonl").write_bytes(lines(row(1)))
    box = box_of(target)
    import_id = upload(box, zipped(messages=lines(*map(row, range(20_000)))))
    status(box, import_id)
    with cm.open(tmp_path / "rows.jsonl") as rows, cm.connect(target.url, key=target.key) as history:
        post(box, "/api/perform_import", {"importId": import_id})
        with pytest.raises(cm.Locked, match=import_id) as caught:
            cm.restore(rows, history)
    assert caught.value.exit_code == 11
    assert len(states(target)) == 1


def test_a_table_that_is_not_there_is_pointed_out(saved: Path, target: Sandbox) -> None:
    """A new table is made, but not without a word: the name may be a slip."""
    done = restore(saved / "rows.jsonl", target, "--table", "mesages", "--dry-run")
    assert done.code == 2
    assert "no table 'mesages' is there yet (there: messages)" in done.err


def test_what_restore_is_not_for(saved: Path, target: Sandbox) -> None:
    """A deployment is no source and a file no target."""
    with cm.open(saved / "rows.jsonl") as file, cm.connect(target.url, key=target.key) as history:
        with pytest.raises(cm.UsageError, match="not of another deployment"):
            cm.restore(history, history)
        with pytest.raises(cm.UsageError, match="into a deployment"):
            cm.restore(file, file)


def test_a_home_that_cannot_be_written_is_said(saved: Path, target: Sandbox) -> None:
    """Without a place to keep the import's id the restore is done all the same, with a word about it."""
    home = {"HOME": "/dev/null", "XDG_STATE_HOME": ""}
    to = f"@{target.env_file}"
    done = convex_msgs("restore", str(saved / "rows.jsonl"), "--to", to, cwd=ROOT, env=home)
    assert done.code == 0, done.err
    assert "cannot be joined later" in done.err


def test_an_earlier_import_counts_only_while_nothing_has_changed(
    saved: Path, target: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted call that succeeded counts as done; not with other rows since, or with --replace."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with cm.open(saved / "rows.jsonl") as rows, cm.connect(target.url, key=target.key) as history:
        with packed(rows, Selection(), Names(), SILENT) as package:
            digest = package.digest
        first = cm.restore(rows, history)
        journal = RestoreJournal(f"{target.url} {history.title} messages")
        begun = ConfirmedImport(first.import_id, digest, 0)
        assert journal.read() is None
        journal.write(begun)
        assert cm.restore(rows, history).joined
        assert journal.read() is None
        journal.write(begun)
        again = cm.restore(rows, history, replace=True, yes=True)
        assert (again.joined, again.deleted) == (False, ROWS)
        journal.write(begun)
        box_of(target).append("new", {"tag": 1})
        with pytest.raises(cm.UsageError, match="2,408"):
            cm.restore(rows, history)


def on_terminal(source: Path, target: Sandbox, answer: bytes) -> tuple[int, str]:
    """Run the command with --replace on a terminal, answer its question, and return code and words."""
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "sync_tool", "restore", str(source), "--to", f"@{target.env_file}", "--replace"]
    env = clean_environment({"XDG_STATE_HOME": str(target.env_file.parent), "TERM": "dumb"})
    with subprocess.Popen(command, cwd=ROOT, env=env, stdin=its, stdout=its, stderr=its) as process:
        os.close(its)
        said = b""
        try:
            while chunk := os.read(ours, 4096):
                said += chunk
                if b"[y/N]" in said and answer:
                    os.write(ours, answer)
                    answer = b""
        except OSError:  # how Linux says that a terminal's other end is closed
            pass
    os.close(ours)
    return process.returncode, said.decode()


def test_on_a_terminal_it_asks(saved: Path, target: Sandbox, tmp_path: Path) -> None:
    """No is exit 2 and changes nothing; yes replaces."""
    put(target, row(1))
    code, said = on_terminal(saved / "rows.jsonl", target, b"n\n")
    assert (code, "not confirmed; nothing was written" in said) == (2, True), said
    assert states(target)[0] == "failed"
    code, said = on_terminal(saved / "rows.jsonl", target, b"y\n")
    assert code == 0, said
    assert "Delete 1 rows and write 2,407 rows" in said
    assert exported(target, tmp_path) == (saved / "rows.jsonl").read_bytes()


def restoring(source: Path, target: Sandbox, folder: Path, *flags: str) -> Tool:
    """Return the command as a process that a proxy can stand in front of."""
    (folder / "cwd").mkdir(exist_ok=True)
    env = {"CONVEX_SELF_HOSTED_ADMIN_KEY": target.key, "XDG_STATE_HOME": str(folder / "state")}
    return Tool(lambda url: ("restore", str(source), "--to", url, *flags), target.url, folder / "cwd", env)


@pytest.fixture(scope="module")
def numbers(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """The numbers of the requests of an undisturbed restore, by endpoint."""
    folder = tmp_path_factory.mktemp("measured")
    with running_sandbox(folder) as target, running_proxy(target.url) as proxy:
        tool = restoring(saved / "rows.jsonl", target, folder)
        assert tool.run(proxy.url) == 0, tool.words
        found: dict[str, int] = {}
        for event in proxy.events():
            found.setdefault(event.path.partition("?")[0].rpartition("/")[2], event.number)
    return found


@pytest.mark.parametrize("endpoint", ["start_upload", "upload_part", "finish_upload"])
@pytest.mark.parametrize("state", ["stall", "stall-after"])
def test_killed_and_run_again_it_reaches_the_same_end(
    endpoint: str, state: str, saved: Path, target: Sandbox, tmp_path: Path, numbers: dict[str, int]
) -> None:
    """kill -9 before or after the deployment has done a request, then the same command: exactly the rows, once."""
    tool = restoring(saved / "rows.jsonl", target, tmp_path)
    with running_proxy(target.url, Plan(((numbers[endpoint], state),))) as proxy:
        with tool.start(proxy.url) as process:
            assert proxy.wait_for_fault(process)
            process.kill()
        assert tool.run(proxy.url) == 0, tool.words
    assert exported(target, tmp_path) == (saved / "rows.jsonl").read_bytes()
    assert [path.name for path in (tmp_path / "state" / "convex-msgs").glob("*.json")] == []


_AT_CONFIRMATION = """
import os, sys
from sync_tool.cli.main import main
from sync_tool.deployment.client import Client

moment, number, *arguments = sys.argv[1:]
post_empty = Client.post_empty

def die(self, path, body):
    if path == "/api/perform_import" and moment == "before":
        os.kill(os.getpid(), int(number))
    post_empty(self, path, body)
    if path == "/api/perform_import" and moment == "after":
        os.kill(os.getpid(), int(number))

Client.post_empty = die
main(arguments)
"""
"""The command, which gets a signal just before or after the deployment begins."""


def struck(source: Path, target: Sandbox, moment: str, number: signal.Signals) -> Done:
    """Run the command until the confirmation of its plan, where it gets a signal."""
    command = [sys.executable, "-c", _AT_CONFIRMATION, moment, str(int(number)), "restore", str(source)]
    env = {"PYTHONPATH": str(ROOT), "HOME": str(target.env_file.parent), "XDG_STATE_HOME": ""}
    done = subprocess.run(
        [*command, "--to", f"@{target.env_file}"],
        cwd=ROOT, env=clean_environment(env), stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=100,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr.decode())


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_the_confirmation_and_run_again(moment: str, saved: Path, target: Sandbox, tmp_path: Path) -> None:
    """kill -9 around the confirmation: what had begun is joined, what had not begins anew; each row is there once."""
    source = saved / "rows.jsonl"
    assert struck(source, target, moment, signal.SIGKILL).code == -signal.SIGKILL
    done = restore(source, target)
    assert done.code == 0, done.err
    assert ("by the import that an earlier call began" in done.err) == (moment == "after")
    assert exported(target, tmp_path) == source.read_bytes()
    assert list((target.env_file.parent / ".local").rglob("*.json")) == []


class Late:
    """A file during whose reading the import of an earlier call comes to its end."""

    def __init__(self, file: cm.History, door: SnapshotWriter, import_id: str) -> None:
        self._file = file
        self._door = door
        self._import_id = import_id

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def pages(self, selection: Selection) -> Iterator[Page]:
        self._door.performed(self._import_id)
        return self._file.pages(selection)


def test_an_earlier_import_may_end_while_its_rows_are_read_again(
    saved: Path, target: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table was empty when the second call began, and holds the rows when it has looked: that is the joined end."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with cm.open(saved / "rows.jsonl") as rows, cm.connect(target.url, key=target.key) as history:
        door = SnapshotWriter(Client(target.url, target.key), print)
        with packed(rows, Selection(), Names(), SILENT) as package:
            import_id = door.upload(package.file, package.bytes, "requireEmpty")
            door.settled(import_id)
            journal = RestoreJournal(f"{target.url} {history.title} messages")
            journal.write(ConfirmedImport(import_id, package.digest, 0))
        report = cm.restore(Late(rows, door, import_id), history)  # type: ignore[arg-type]
    assert (report.joined, report.rows, report.rows_after) == (True, ROWS, ROWS)


@pytest.mark.parametrize("names", [HTTP_FAULTS[start::6] for start in range(6)], ids=" ".join)
def test_faults_on_the_way_are_got_over(
    names: tuple[str, ...], saved: Path, target: Sandbox, tmp_path: Path, numbers: dict[str, int]
) -> None:
    """Faults at the upload, its end, the confirmation and in between: exit 0 or 5, and run again the right rows."""
    first = numbers["start_upload"]
    usable = [name for name in names if not name.startswith("stall")]  # those cost two minutes each
    plan = Plan(tuple((first + 2 * number, name) for number, name in enumerate(usable)))
    tool = restoring(saved / "rows.jsonl", target, tmp_path, "--replace", "--yes")
    with running_proxy(target.url, plan) as proxy:
        code = tool.run(proxy.url, FAULTS_NO_WAITS="1")
        assert code in (0, 5), tool.words
        assert code == 0 or tool.run(proxy.url, FAULTS_NO_WAITS="1") == 0, tool.words
    assert exported(target, tmp_path) == (saved / "rows.jsonl").read_bytes()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_before_the_confirmation_it_cancels(
    number: signal.Signals, code: int, saved: Path, target: Sandbox, tmp_path: Path, numbers: dict[str, int]
) -> None:
    """Ctrl-C and SIGTERM while it waits for the plan: the import is cancelled and the table as it was."""
    tool = restoring(saved / "rows.jsonl", target, tmp_path)
    with running_proxy(target.url, Plan(((numbers["finish_upload"] + 1, "stall"),))) as proxy:
        with tool.start(proxy.url) as process:
            assert proxy.wait_for_fault(process)
            process.send_signal(number)
        assert process.returncode == code, tool.words
    assert states(target) == ["failed"]
    assert exported(target, tmp_path) == b""


def test_stopped_after_the_confirmation_it_says_what_came_of_it(target: Sandbox, tmp_path: Path) -> None:
    """Ctrl-C while the deployment writes: cancelled and nothing written, or too late and all is there."""
    source = tmp_path / "rows.jsonl"
    source.write_bytes(lines(*map(row, range(20_000))))
    done = struck(source, target, "after", signal.SIGINT)
    assert done.code == 130, done.err
    there = box_of(target).query("_system/cli/tableSize", {"tableName": "messages"})
    assert there == (0 if "cancelled; the table is as it was" in done.err else 20_000)
    assert there == 0 or "too late" in done.err


def test_a_restart_of_the_deployment_is_got_over(saved: Path, tmp_path: Path) -> None:
    """The deployment is killed and started again between plan and confirmation: the restore goes on."""
    file = str(tmp_path / "data.sqlite")
    with running_sandbox(tmp_path, "--data", file) as first:
        put(first, row(1))
        port = first.url.rpartition(":")[2]

        def restart(plan: cm.RestorePlan) -> bool:
            assert (plan.deletes, plan.writes) == (1, ROWS)
            first.kill()
            running = running_sandbox(tmp_path, "--data", file, "--port", port)
            again.append((running, running.__enter__()))
            return True

        again: list[tuple[object, Sandbox]] = []
        with cm.open(saved / "rows.jsonl") as rows, cm.connect(first.url, key=first.key) as history:
            report = cm.restore(rows, history, replace=True, decide=restart)
    assert (report.rows, report.deleted, report.rows_after) == (ROWS, 1, ROWS)
    assert exported(again[0][1], tmp_path) == (saved / "rows.jsonl").read_bytes()
    again[0][0].__exit__(None, None, None)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("said", "kind", "hint"),
    [
        ("Hit an error while importing:\nTable messages already exists. Please choose", cm.UsageError, "--replace"),
        ("New table `messages` has IDs that conflict with existing table `users`", cm.UsageError, "without _id"),
        ("_id x cannot be imported because it came from a different deployment", cm.UsageError, "--replace-all"),
        ("Import canceled", cm.Refused, "cancelled"),
        ("Import took too long. Try again or contact Convex.", cm.Refused, "seven days"),
        ("something new\x1b", cm.Refused, "nothing was changed"),
    ],
)  # fmt: skip
def test_known_texts_come_with_advice(said: str, kind: type[cm.ConvexMsgsError], hint: str) -> None:
    """The deployment tells only text; what is known of it gets the right exit code and a way out."""
    error = refused_import(ImportStatus("i", "failed", said, 0, 0.0, ()), "prod x")
    assert type(error) is kind
    assert hint in error.hint
    assert "\x1b" not in error.message
    assert "while importing" not in error.message
