"""`init`: one new file, never over somebody else's, and the schema only said."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import sync_tool as cm
from running import ROOT, convex_msgs
from sync_tool.errors import OutputError, UsageError

SHIPPED = (ROOT / "convex/convexMsgs.ts").read_text()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A Convex project."""
    (tmp_path / "convex").mkdir()
    return tmp_path


def test_the_functions_are_written_once(project: Path) -> None:
    """The first run writes the file, the second finds it as it should be and touches nothing."""
    assert cm.init(project).written
    path = project / "convex/convexMsgs.ts"
    assert path.read_text() == SHIPPED
    before = path.stat().st_mtime_ns
    assert not cm.init(project).written
    assert path.stat().st_mtime_ns == before


def test_an_older_file_of_ours_is_renewed(project: Path) -> None:
    """A file that carries our mark is replaced by this version's."""
    path = project / "convex/convexMsgs.ts"
    path.write_text("// convex-msgs functions, contract 0. old\n")
    assert cm.init(project).written
    assert path.read_text() == SHIPPED


def test_read_only_leaves_out_what_writes(project: Path) -> None:
    """Append and erase are gone, the reading functions are there, and the mark stays."""
    cm.init(project, read_only=True)
    text = (project / "convex/convexMsgs.ts").read_text()
    assert text.startswith("// convex-msgs functions")
    assert "export const page" in text
    assert "export const append" not in text
    assert "export const erase" not in text
    assert "internalMutationGeneric" not in text


def test_somebody_elses_file_is_kept(project: Path) -> None:
    """A file of that name without our mark is an error and stays as it is."""
    path = project / "convex/convexMsgs.ts"
    path.write_text("export const mine = 1;\n")
    with pytest.raises(OutputError):
        cm.init(project)
    assert path.read_text() == "export const mine = 1;\n"


def test_convex_json_says_where(tmp_path: Path) -> None:
    """The functions folder is the one that convex.json names."""
    (tmp_path / "src/backend").mkdir(parents=True)
    (tmp_path / "convex.json").write_text(json.dumps({"functions": "src/backend/"}))
    assert cm.init(tmp_path).path == str(tmp_path / "src/backend/convexMsgs.ts")


@pytest.mark.parametrize("functions", ["../outside", "absolute", "link", "src/../../outside"])
def test_nothing_is_written_outside_the_project(tmp_path: Path, functions: str) -> None:
    """A convex.json that names a folder elsewhere, or a link to one, is refused."""
    project, outside = tmp_path / "project", tmp_path / "outside"
    for folder in (project, project / "src", outside):
        folder.mkdir()
    (project / "link").symlink_to(outside)
    named = str(outside) if functions == "absolute" else functions
    (project / "convex.json").write_text(json.dumps({"functions": named}))
    with pytest.raises(UsageError, match="does not lie in the project"):
        cm.init(project)
    assert not [*outside.iterdir()]


def test_a_link_in_the_place_of_the_file_is_kept(project: Path) -> None:
    """The target of a link is neither made nor replaced, even if it carries the tool's mark."""
    path = project / "convex/convexMsgs.ts"
    target = project.parent / f"{project.name}.target"
    path.symlink_to(target)
    with pytest.raises(OutputError, match="cannot be read"):
        cm.init(project)
    assert not target.exists()
    target.write_text("// convex-msgs functions, contract 0. old\n")
    with pytest.raises(OutputError, match="cannot be read"):
        cm.init(project)
    assert target.read_text() == "// convex-msgs functions, contract 0. old\n"


def test_the_file_can_be_read_by_all(project: Path) -> None:
    """It is source code: 0644 under any umask."""
    before = os.umask(0o077)
    try:
        cm.init(project)
    finally:
        os.umask(before)
    assert (project / "convex/convexMsgs.ts").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("config", ["{", "[]", '{"functions": "nowhere"}'])
def test_a_project_that_is_none_is_said(tmp_path: Path, config: str) -> None:
    """No folder, or a convex.json that cannot be read: exit 2 with its name."""
    with pytest.raises(UsageError, match="no Convex project"):
        cm.init(tmp_path / "nothing")
    (tmp_path / "convex.json").write_text(config)
    with pytest.raises(UsageError, match=r"convex\.json|nowhere"):
        cm.init(tmp_path)


def test_the_command_prints_the_schema_and_warns_of_deploy(project: Path) -> None:
    """Schema lines go to stdout with the names asked for; the advice names the harmless way first."""
    done = convex_msgs("init", "--table", "chats", "--index", "byUser", "--session-field", "userId", cwd=project)
    assert done.code == 0
    assert done.out.decode().splitlines() == [
        "chats: defineTable({",
        "  userId: v.string(),",
        "  message: v.object({ type: v.string(), data: v.any() }),",
        '}).index("byUser", ["userId"]),',
    ]
    assert done.err.index("npx convex dev") < done.err.index("npx convex deploy")
