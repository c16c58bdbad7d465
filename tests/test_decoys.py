"""No code from the current folder: a folder that was cloned or unpacked runs nothing when the tool works in it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage

from running import ROOT, Sandbox, clean_environment, running_sandbox
from sync_tool.langchain import ConvexChatMessageHistory

TOOL = str(Path(sys.executable).parent / "convex-msgs")
MODULES = (
    *(
        "asyncio",
        "click",
        "json",
        "msgspec",
        "sitecustomize",
        "socket",
        "sqlite3",
        "usercustomize",
        "uvicorn",
        "urllib3",
    ),
    *("convex/__init__", "convex/values", "sync_tool/__init__", "sync_tool/__main__", "sync_tool/workers"),
)


@pytest.fixture
def decoys(tmp_path: Path) -> Path:
    """A folder full of modules that leave a mark when they are imported."""
    folder = tmp_path / "cloned"
    for name in MODULES:
        module = folder / f"{name}.py"
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({name + chr(10)!r})\n")
    (folder / "decoy.pth").write_text(f"import sys; open({str(tmp_path / 'ran')!r}, 'a').write('pth')\n")
    return folder


def run(folder: Path, sandbox: Sandbox, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a folder, as a user does."""
    command, env = [TOOL, *arguments], clean_environment({"CONVEX_MSGS_ENV_FILE": str(sandbox.env_file)})
    env.pop("PYTHONPATH", None)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=100)


def ran(folder: Path) -> str:
    """Return which decoys were imported."""
    mark = folder.parent / "ran"
    return mark.read_text() if mark.exists() else ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("sessions",),
        ("doctor",),
        ("export", "-o", "a.parquet", "--processes", "2"),
        ("convert", str(ROOT / "sample_data/messages.jsonl"), "-o", "b.parquet", "--processes", "2"),
        ("validate", str(ROOT / "sample_data/messages.jsonl"), "--processes", "2"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_commands_import_nothing_from_the_folder(decoys: Path, sandbox: Sandbox, arguments: tuple[str, ...]) -> None:
    """Commands and their workers find only installed modules."""
    done = run(decoys, sandbox, *arguments)
    assert ran(decoys) == "", done.stderr
    assert "Traceback" not in done.stderr


def test_the_sandbox_of_a_proof_imports_nothing_from_the_folder(decoys: Path, sandbox: Sandbox) -> None:
    """The server that `verify --restore` starts runs no module that lies there."""
    assert run(decoys, sandbox, "sync", "archive", "--create").returncode == 0
    done = run(decoys, sandbox, "verify", "archive", "--restore")
    assert ran(decoys) == ""
    assert done.returncode == 0, done.stderr


def test_the_live_connection_imports_nothing_from_the_folder(decoys: Path, tmp_path: Path) -> None:
    """The client of `tail`, which is given the key, runs no module that lies there; messages still come."""
    with running_sandbox(tmp_path) as own:
        history = ConvexChatMessageHistory("a", url=own.url, key=own.key)
        history.add_messages([HumanMessage("before")])
        env = clean_environment()
        env.pop("PYTHONPATH", None)
        command = [TOOL, "tail", "-s", "a", "-n", "1", "--env-file", str(own.env_file)]
        with subprocess.Popen(command, cwd=decoys, env=env, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                assert "before" in process.stdout.readline()
                history.add_messages([HumanMessage("live")])
                assert "live" in process.stdout.readline()
            finally:
                process.kill()
        assert ran(decoys) == ""


def test_every_python_that_is_started_has_a_safe_path() -> None:
    """Wherever the package starts its own interpreter, -P is the first argument."""
    starts = [
        node.elts
        for path in (ROOT / "sync_tool").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.List) and node.elts and ast.unparse(node.elts[0]) == "sys.executable"
    ]
    assert len(starts) >= 3
    assert all(ast.unparse(elements[1]) == "'-P'" for elements in starts)
