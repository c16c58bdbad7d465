"""`init`: one new file, never over somebody else's, and the schema only said."""

from __future__ import annotations

import json
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
