"""A signal ends the tool with its own code wherever it hits."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import ROOT, clean_environment

# What a module that is being imported may be doing when a signal comes: code run from a string (dataclasses), or the
# making of a class, which wraps whatever is raised in RuntimeError.
_PLACES = {
    "plainly": "signal.raise_signal(NUMBER)",
    "in code run from a string": "exec('signal.raise_signal(NUMBER)')",
    "in the making of a class": "type('Made', (), dict(field=Field()))",
}
_PROGRAM = """
import signal
from sync_tool.cli import sessions
from sync_tool.cli.main import main

class Field:
    def __set_name__(self, owner, name):
        signal.raise_signal(NUMBER)

def command(**options):
    {place}

sessions.sessions_command.callback = command
main(["sessions"])
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("place", _PLACES)
def test_a_signal_ends_with_its_code(tmp_path: Path, place: str, number: int, code: int) -> None:
    """Ctrl-C and SIGTERM end with one line and their own code, also in the middle of an import."""
    (tmp_path / "program.py").write_text(_PROGRAM.format(place=_PLACES[place]).replace("NUMBER", str(int(number))))
    env = clean_environment({"PYTHONPATH": f"{ROOT}:{tmp_path}"})
    done = subprocess.run([sys.executable, "-m", "program"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stderr.strip() == f"stopped safely; run the same command to start again. [exit {code}]"
