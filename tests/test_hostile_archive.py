"""Archives that somebody else has made or may write: a run deletes nothing that runs do not make."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sync_tool as cm
from running import Sandbox, running_sandbox
from sync_tool.archive.layout import Layout, is_run, remove_parts
from sync_tool.archive.sealed_files import OpenRun, State, read_run, read_sealed, read_state, write_sealed
from sync_tool.errors import Damaged, OutputError, UsageError
from syncing import Writer, sync

RUN = "2026-08-22T03-00-00Z"
HOSTILE = st.one_of(
    st.sampled_from([f"{RUN}\n", "2026-99-22T03-00-00Z", f"/{RUN}", f"{RUN}/../..", "٢026-08-22T03-00-00Z", ""]),
    st.lists(st.sampled_from(["..", ".", "", "link", RUN, "docs"]), min_size=1, max_size=4).map("/".join),
    st.text(max_size=30),
).filter(lambda name: name != RUN)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A deployment with one message."""
    with running_sandbox(tmp_path_factory.mktemp("hostile")) as running:
        Writer.of(running).append("s", "hello")
        yield running


@pytest.fixture
def archive(tmp_path: Path, deployment: Sandbox) -> Path:
    """An archive of one run."""
    sync(deployment, tmp_path / "chat")
    return tmp_path / "chat"


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A folder of files that are nobody's business, one with a name that a part could have."""
    folder = tmp_path / "docs"
    folder.mkdir()
    for name in ("thesis.odt", "000001.jsonl.zst", ".secret.part", "index.sqlite", "index.sqlite.bak"):
        (folder / name).write_text("precious")
    return folder


def check_whole(docs: Path) -> None:
    """Check that all files are there with their content."""
    found = {path.name: path.read_text() for path in docs.iterdir()}
    assert found == dict.fromkeys(
        ("thesis.odt", "000001.jsonl.zst", ".secret.part", "index.sqlite", "index.sqlite.bak"), "precious"
    )


def reseal(path: Path, kind: str, **changes: Any) -> str:
    """Change fields of a sealed file and seal it anew, as anybody can."""
    content, _ = read_sealed(path, kind)
    return write_sealed(path, kind, {**content, **changes}, overwrite=True)


@pytest.mark.parametrize("run", ["absolute", "../../docs", "..", ".", f"{RUN}/../../../docs"])
def test_an_open_run_deletes_nothing_elsewhere(archive: Path, docs: Path, deployment: Sandbox, run: str) -> None:
    """A crafted name of an open run: the state is damaged, is made again from the runs, and the folder is whole."""
    name = str(docs) if run == "absolute" else run
    state = Layout(archive).state
    opened = OpenRun("x", "2026-08-22T03:00:00+00:00", "sandbox")
    crafted = {**json.loads(json.dumps({name: getattr(opened, name) for name in ("started", "deployment", "parts")}))}
    fields = {"records": 0, "chain": sha256(b"").hexdigest(), "steps": 0, "progress": {}}
    reseal(state, "state", open_run={"run": name, **crafted, **fields})
    with pytest.raises(Damaged):
        read_state(Layout(archive))
    sync(deployment, archive)
    check_whole(docs)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=HOSTILE)
def test_only_names_of_runs_are_names_of_runs(tmp_path: Path, name: str) -> None:
    """States, runs and parts with any other name are damaged."""
    assert not is_run(name)
    layout = Layout(tmp_path)
    State(name).write(layout)
    with pytest.raises(Damaged):
        read_state(layout)
    assert not layout.is_part(name, RUN)
    assert not layout.is_part(f"parts/{name}/000001.jsonl.zst", RUN)
    assert not layout.is_part(f"parts/{RUN}/{name}", RUN)
    assert layout.is_part(f"parts/{RUN}/000001.jsonl.zst", RUN)


@pytest.mark.parametrize("path", ["/etc/hosts", "parts/../x", f"parts/{RUN}/000001.jsonl.zst", "parts/{run}/1.zst"])
def test_parts_lie_in_the_folder_of_their_run(archive: Path, path: str) -> None:
    """A run that lists any other file is damaged, however well it is sealed."""
    layout = Layout(archive)
    (name,) = layout.run_names()
    part = read_sealed(layout.run(name), "run")[0]["parts"][0]
    reseal(layout.run(name), "run", parts=[{**part, "path": path.replace("{run}", name)}])
    with pytest.raises(Damaged, match="not what this tool writes"):
        read_run(layout, name)


@pytest.mark.parametrize("content", [{}, {"run": 1}, {"totals": None}, {"parts": [1]}, {"position": {"x": 1}}])
def test_files_of_another_shape_are_damaged(archive: Path, content: dict[str, Any]) -> None:
    """Sealed files whose fields are missing or others give an error, not a fault."""
    layout = Layout(archive)
    (name,) = layout.run_names()
    write_sealed(layout.run(name), "run", {"run": name, **content}, overwrite=True)
    write_sealed(layout.state, "state", content, overwrite=True)
    write_sealed(layout.manifest, "archive", content, overwrite=True)
    for read in (lambda: read_run(layout, name), lambda: read_state(layout), lambda: cm.open(archive)):
        with pytest.raises(Damaged):
            read()


@pytest.mark.parametrize("place", ["runs", "parts", "cache", "proofs"])
def test_a_linked_folder_is_not_entered(archive: Path, docs: Path, deployment: Sandbox, place: str) -> None:
    """A link in the place of one of the archive's folders ends the run before anything is written."""
    folder = archive / place
    if folder.exists():
        folder.rename(archive.parent / place)
    folder.symlink_to(docs)
    with pytest.raises(OutputError, match="symbolic link"):
        sync(deployment, archive)
    check_whole(docs)


def test_strays_are_removed_only_where_runs_leave_them(archive: Path, docs: Path, deployment: Sandbox) -> None:
    """A link among the folders of parts stays, and so do files that no run makes; what a run left goes."""
    parts = archive / "parts"
    (parts / RUN).symlink_to(docs)
    (parts / "old").symlink_to(docs)
    left = parts / "2026-08-21T03-00-00Z"
    left.mkdir()
    for name in ("000001.jsonl.zst", ".000002.jsonl.zst.part", "notes.txt"):
        (left / name).touch()
    for name in (f".{RUN}.json.part", ".mine.part"):
        (archive / "runs" / name).touch()
    (archive / "cache" / "index.sqlite.bak").touch()
    (archive / "cache" / "index.sqlite").write_text("damaged")
    Writer.of(deployment).append("s", "more")
    sync(deployment, archive)
    check_whole(docs)
    assert [path.name for path in left.iterdir()] == ["notes.txt"]
    assert {path.name for path in (archive / "runs").glob(".*")} == {".mine.part"}
    assert (archive / "cache" / "index.sqlite.bak").exists()
    remove_parts(parts / "old")
    check_whole(docs)


def test_a_linked_index_is_replaced(archive: Path, docs: Path, deployment: Sandbox) -> None:
    """The index is made again beside a link or a second name, and never through it."""
    index = archive / "cache" / "index.sqlite"
    for make in (index.symlink_to, index.hardlink_to):
        index.unlink()
        make(docs / "index.sqlite")
        sync(deployment, archive)
        check_whole(docs)
        assert index.lstat().st_nlink == 1
        assert index.stat().st_mode & 0o777 == 0o600


def test_a_linked_state_is_replaced(archive: Path, docs: Path, deployment: Sandbox) -> None:
    """The target of a link in the place of `state.json` stays as it is."""
    state = Layout(archive).state
    state.unlink()
    state.symlink_to(docs / "thesis.odt")
    sync(deployment, archive)
    check_whole(docs)
    assert not state.is_symlink()


def test_pipes_in_an_archive_make_nobody_wait(archive: Path) -> None:
    """A pipe in the place of any file of an archive is damage, not a wait without end."""
    layout = Layout(archive)
    (name,) = layout.run_names()
    places = [layout.part(name, 1), layout.cache / "index.sqlite", layout.state, layout.run(name), layout.manifest]
    for path in places:
        path.unlink()
        os.mkfifo(path)
        assert path == places[1] or cm.verify(archive).damaged
    with pytest.raises(UsageError):
        cm.open(archive)


@pytest.mark.parametrize("place", [".", "parts", "runs"])
def test_a_shared_folder_is_refused(
    archive: Path, deployment: Sandbox, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run refuses a folder that others may write, unless it is allowed: they could exchange its files."""
    for mode in (0o770, 0o707):
        (archive / place).chmod(mode)
        with pytest.raises(OutputError, match="may be written by other users"):
            sync(deployment, archive)
        sync(deployment, archive, allow_shared=True)
    (archive / place).chmod(0o755)
    sync(deployment, archive)
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    with pytest.raises(OutputError, match="belongs to other users"):
        sync(deployment, archive)
