"""The wheel that people install has everything the commands need."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from running import ROOT, clean_environment


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, unpacked into a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("convex_msgs-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed package, with this checkout out of reach."""
    env = clean_environment({"PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"})
    command = [sys.executable, "-c", "from sync_tool.cli.main import main; main()", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_the_wheel_carries_functions_and_sample_data(installed: Path) -> None:
    """The files of init and sandbox --sample-data are inside, byte for byte; tests and TypeScript tooling are not."""
    assets = installed / "sync_tool" / "_assets"
    assert (assets / "convexMsgs.ts").read_bytes() == (ROOT / "convex/convexMsgs.ts").read_bytes()
    assert (assets / "messages.jsonl").read_bytes() == (ROOT / "sample_data/messages.jsonl").read_bytes()
    assert sorted(path.name for path in installed.iterdir() if "dist-info" not in path.name) == ["sync_tool"]


def test_init_works_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """A user without this repository gets the functions file."""
    (tmp_path / "convex").mkdir()
    done = run(installed, tmp_path, "init")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "convex/convexMsgs.ts").read_bytes() == (ROOT / "convex/convexMsgs.ts").read_bytes()


def test_the_wheel_declares_what_it_needs(installed: Path) -> None:
    """Name, console script, type marker and Python version are in the metadata."""
    (about,) = installed.glob("convex_msgs-*.dist-info")
    metadata = (about / "METADATA").read_text()
    assert "Requires-Python: >=3.11" in metadata
    assert "convex-msgs = sync_tool.cli.main:main" in (about / "entry_points.txt").read_text()
    assert (installed / "sync_tool/py.typed").exists()
