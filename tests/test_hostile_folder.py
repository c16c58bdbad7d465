"""Folders of exports that somebody else has made: nothing outside them is deleted, opened or written."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sync_tool as cm
from running import ROOT
from sync_tool.commands.export.export import export
from sync_tool.commands.export.folder import SUFFIXES
from sync_tool.errors import ConvexMsgsError, Damaged, OutputError
from sync_tool.files.folder import JOURNAL, MANIFEST, is_part_name, listed_files, safe_name
from sync_tool.rows.model import Selection
from values import VALUES

SAMPLE = ROOT / "sample_data" / "messages.jsonl"
ABOUT = {
    "convex-msgs": "export",
    "format": 1,
    "source": "messages.jsonl",
    "names": {
        "table": "messages", "index": "bySessionId", "session_field": "sessionId", "message_field": "message",
    },
    "asked": {},
    "file_format": "jsonl",
    "partition_by": "session",
}  # fmt: skip
PART = {"rows": 1, "sessions": 1, "bytes": 8, "sha256": "", "label": "1"}
STEPS = st.sampled_from(["..", ".", "", "link", "sub", "a.jsonl", "victim", "pipe.jsonl", "\n", "part-00001.jsonl\n"])


def export_to(folder: Path, **options: bool) -> None:
    """Export the sample data as the hostile journals say."""
    export(cm.open(SAMPLE), folder, format="jsonl", partition_by="session", **options)  # type: ignore[arg-type]


def write_journal(folder: Path, *paths: str) -> None:
    """Write a journal of the export that `export_to` makes."""
    settled = {"selection": asdict(Selection())}
    records = [{"about": ABOUT, "settled": settled}, *({"path": path, **PART} for path in paths)]
    (folder / JOURNAL).write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file outside the folder."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "victim.jsonl").write_text("precious")
    return tmp_path / "home" / "victim.jsonl"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that came from somebody else."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_a_journal_deletes_only_its_own_parts(folder: Path, victim: Path) -> None:
    """An absolute path, a way up, and a way through a link each end the run, and the file stays."""
    (folder / "month=2026-01").symlink_to(victim.parent)
    paths = (str(victim), "../home/victim.jsonl", "month=2026-01/victim.jsonl")
    for path in paths:
        write_journal(folder, path)
        with pytest.raises((Damaged, OutputError)):
            export_to(folder)
        assert victim.read_text() == "precious"
    (folder / "month=2026-01").unlink()
    (folder / "a.jsonl").write_text("cut")
    write_journal(folder, "a.jsonl")
    export_to(folder)
    assert not (folder / "a.jsonl").exists()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.lists(STEPS, min_size=1, max_size=3).map("/".join), absolute=st.booleans())
def test_no_path_in_a_journal_reaches_outside(folder: Path, victim: Path, path: str, absolute: bool) -> None:
    """Whatever is listed, everything outside the folder is as it was, and nothing hangs."""
    for old in folder.iterdir():
        old.unlink()
    (folder / "link").symlink_to(victim.parent)
    (folder / "link.jsonl").symlink_to(victim)
    os.mkfifo(folder / "pipe.jsonl")
    write_journal(folder, f"{victim.parent}/{path}" if absolute else path)
    with pytest.raises(ConvexMsgsError):
        export(cm.open(SAMPLE), folder, format="jsonl", partition_by="session", sessions=["none"])
    assert victim.read_text() == "precious"
    assert [other.name for other in victim.parent.iterdir()] == [victim.name]


def test_a_linked_journal_is_refused(folder: Path, victim: Path) -> None:
    """The target of the link is neither emptied nor made private, and a pipe there makes nobody wait."""
    victim.chmod(0o644)
    (folder / JOURNAL).symlink_to(victim)
    with pytest.raises(OutputError, match="symbolic link"):
        export_to(folder)
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("precious", 0o644)
    (folder / JOURNAL).unlink()
    os.mkfifo(folder / JOURNAL)
    with pytest.raises(OutputError, match="no regular file"):
        export_to(folder)


def test_replacing_an_export_enters_no_link(folder: Path, victim: Path) -> None:
    """A manifest that lists a file behind a link is of no export, and the linked folder is a foreign file."""
    export_to(folder)
    (folder / "month=2026-01").symlink_to(victim.parent)
    with pytest.raises(OutputError, match="holds other files"):
        export_to(folder, overwrite=True)
    found = json.loads((folder / MANIFEST).read_text())
    found["parts"].append({"path": "month=2026-01/victim.jsonl", **PART})
    (folder / MANIFEST).write_text(json.dumps(found))
    with pytest.raises(OutputError):
        export_to(folder, overwrite=True)
    with pytest.raises(Damaged):
        cm.open(folder)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("name", [".out.part", ".out.old"])
def test_the_folders_of_a_replacement_are_no_links(folder: Path, victim: Path, name: str) -> None:
    """The folders beside an export that its replacement uses may have been put there by others."""
    export_to(folder)
    (folder.parent / name).symlink_to(victim.parent)
    with pytest.raises(OutputError):
        export_to(folder, overwrite=True)
    assert [path.name for path in victim.parent.iterdir()] == [victim.name]
    assert listed_files(folder)


def test_a_month_behind_a_link_is_not_written(folder: Path, victim: Path) -> None:
    """A link in place of a month's folder leads the export nowhere."""
    write_journal(folder)
    (folder / "month=2026-01").symlink_to(victim.parent)
    with pytest.raises(OutputError, match="symbolic link"):
        export(cm.open(SAMPLE), folder, format="jsonl", partition_by="month")
    assert [path.name for path in victim.parent.iterdir()] == [victim.name]


@given(VALUES, st.sampled_from(sorted(SUFFIXES.values())))
def test_every_name_that_an_export_gives_is_known(session: object, suffix: str) -> None:
    """Sessions of any kind have files that the checks take for the tool's own."""
    assert is_part_name(f"{safe_name(session)}{suffix}")  # type: ignore[arg-type]
    assert not is_part_name(f"{safe_name(session)}{suffix}\n")  # type: ignore[arg-type]
