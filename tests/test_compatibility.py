"""Files of earlier versions: archives, exports, quarantine files, journals and sandbox data still open and resume."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sync_tool as cm
from fixtures.make import FIXTURE_URL, WAYS, fact, fixture_sandbox
from running import ROOT, Done, Sandbox, convex_msgs

FIXTURES = ROOT / "tests" / "fixtures"
VERSIONS = sorted(path.name for path in FIXTURES.glob("v*"))
OVER_SEVEN_DAYS = ("--full-every", "36500d")


@pytest.fixture(params=VERSIONS)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a copy of the files that a version wrote."""
    return Path(shutil.copytree(FIXTURES / request.param, tmp_path / "kept"))


@pytest.fixture
def sandbox(kept: Path) -> Iterator[Sandbox]:
    """Run a sandbox over the copied data file."""
    with fixture_sandbox(kept, kept / "sandbox.sqlite", port="0") as running:
        yield running


def facts(kept: Path) -> Any:
    """Return number and digest of the rows that the fixtures hold."""
    return json.loads((kept / "facts.json").read_bytes())


def run(kept: Path, *arguments: str, code: int = 0) -> Done:
    """Run a command among the copies and check its exit code."""
    env = {"XDG_STATE_HOME": str(kept / "state"), "CONVEX_MSGS_ENV_FILE": str(kept / "sandbox.env")}
    done = convex_msgs(*arguments, cwd=kept, env=env)
    assert done.code == code, (arguments, done)
    return done


def report(kept: Path, *arguments: str, code: int = 0) -> Any:
    """Run a command and return its JSON report."""
    return json.loads(run(kept, *arguments, "--json", code=code).out)


def test_there_is_a_version() -> None:
    """The tests below have files to read."""
    assert VERSIONS


def test_sandbox_data_loads(kept: Path, sandbox: Sandbox) -> None:
    """A data file is served, row by row the same, and takes new rows."""
    assert fact(run(kept, "export").out) == facts(kept)["now"]
    (kept / "one.jsonl").write_text('{"sessionId":"one","message":{"type":"human","data":{"content":"new"}}}\n')
    assert report(kept, "import", "one.jsonl")["sent_rows"] == 1


@pytest.mark.parametrize("way", WAYS)
def test_archives_open(kept: Path, way: str) -> None:
    """Runs are listed, every byte verifies, it restores, and each state holds the rows that it held."""
    archive = f"archive-{way}"
    first, last = report(kept, "runs", archive)["runs"]
    assert (first["rows"], first["whole"], last["rows"], last["whole"]) == (34, True, 537, True)
    assert (last["new"], last["changed"], last["deleted"]) == (504, 1, 1)
    checked = report(kept, "verify", archive, "--restore")
    assert (checked["whole"], checked["damaged"], checked["rows"]) == (True, [], 537)
    for as_of, name in ((first["run"], "first"), (last["run"], "now")):
        output = kept / f"{name}.jsonl"
        run(kept, "convert", archive, "--as-of", as_of, "-o", str(output))
        assert fact(output.read_bytes()) == facts(kept)[name]
    with cm.open(kept / archive) as history:
        assert sum(1 for _ in history.messages()) == 537


@pytest.mark.parametrize("way", WAYS)
def test_archives_are_continued(kept: Path, sandbox: Sandbox, way: str) -> None:
    """The next sync finds nothing new without a full pass, the archive equals the table, and a new row is recorded."""
    archive = f"archive-{way}"
    sync = ("sync", archive, "--via", way, *OVER_SEVEN_DAYS)
    found = report(kept, *sync)
    assert (found["new"], found["changed"], found["deleted"], found["full"]) == (0, 0, 0, False)
    run(kept, "diff", archive, "live")
    run(kept, "import", "bad.jsonl", "--skip-bad", "-s", "bad", code=3)
    found = report(kept, *sync)
    assert (found["new"] > 0, found["full"]) == (True, False)
    run(kept, "diff", archive, "live")
    assert len(report(kept, "runs", archive)["runs"]) == 4


def test_an_interrupted_sync_is_resumed(kept: Path, sandbox: Sandbox) -> None:
    """The open run is finished under its name, and the archive then equals the table."""
    state = json.loads((kept / "archive-cut" / "state.json").read_bytes())
    found = report(kept, "sync", "archive-cut", "--via", "stream")
    assert (found["run"], found["resumed"], found["rows"]) == (state["open_run"]["run"], True, 537)
    assert report(kept, "verify", "archive-cut")["whole"]
    run(kept, "diff", "archive-cut", "live")


@pytest.mark.parametrize("name", ["folder", "messages.parquet", "messages.zip"])
def test_exports_are_read(kept: Path, name: str) -> None:
    """Every format converts back to the lines that were exported."""
    run(kept, "convert", name, "-o", "out.jsonl")
    assert fact((kept / "out.jsonl").read_bytes()) == facts(kept)["kept"]
    assert report(kept, "diff", "folder", name)["exit_code"] == 0


def test_an_interrupted_folder_is_resumed(kept: Path, sandbox: Sandbox) -> None:
    """Finished files are kept as they are, the others are added, and the manifest is that of a whole export."""
    folder = kept / "cut-folder"
    finished = {path: path.stat().st_mtime_ns for path in folder.glob("*.jsonl") if not path.name.startswith(".")}
    export = ("export", "-f", "jsonl", "--partition-by", "session", "--exclude", "more*", "-o", "cut-folder")
    run(kept, *export)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert len(finished) > 2
    parts = [json.loads((kept / name / "manifest.json").read_bytes())["parts"] for name in ("cut-folder", "folder")]
    assert parts[0] == parts[1]
    assert {path.name for path in folder.iterdir()} == {path.name for path in (kept / "folder").iterdir()}


def test_an_interrupted_file_is_replaced(kept: Path, sandbox: Sandbox) -> None:
    """The temporary file of a killed export is in nobody's way, and is gone after the next one."""
    assert (kept / ".cut.jsonl.part").exists()
    run(kept, "export", "--exclude", "more*", "-o", "cut.jsonl")
    assert fact((kept / "cut.jsonl").read_bytes()) == facts(kept)["kept"]
    assert not (kept / ".cut.jsonl.part").exists()


def test_a_quarantine_file_is_repaired(kept: Path, sandbox: Sandbox) -> None:
    """A repaired record takes its place, and the records that waited for it follow."""
    records = [json.loads(line) for line in (kept / "quarantine.jsonl").read_text().splitlines()]
    records[0]["record"]["message"]["data"]["content"] = "c"
    (kept / "fixes.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    found = report(kept, "import", "bad.jsonl", "--fixes", "fixes.jsonl")
    assert (found["sent_rows"], found["extended"], found["bad_rows"], found["held_rows"]) == (3, 1, 0, 0)
    lines = run(kept, "export", "-s", "bad").out.splitlines()
    assert [json.loads(line)["message"]["data"]["content"] for line in lines] == list("abcde")


def test_an_interrupted_import_is_resumed(kept: Path) -> None:
    """Sessions of the journal are not sent again; the rest goes in, in order."""
    (journal,) = (kept / "state" / "convex-msgs").iterdir()
    with fixture_sandbox(kept, kept / "sandbox.sqlite") as sandbox:  # on the port that the journal is named after
        assert sandbox.url == FIXTURE_URL
        found = report(kept, "import", "more.jsonl")
        assert (found["sent_rows"], found["new"], found["exit_code"]) == (100, 2, 0)
        assert list(journal.parent.iterdir()) == [journal]
        run(kept, "diff", "more.jsonl", "live", "--match", "more*", "--by", "history")
