"""``python -m faults.launch MODULE ARGUMENTS…``: a command in which time or death is under control.

``FAULTS_NO_WAITS=1`` takes the waits out between attempts. A *step* is a moment at which the process asks
the system to change a file (opens it for writing, locks, empties, renames or deletes it):
``FAULTS_DIE_AT=N`` kills the process just before its step N, ``FAULTS_COUNT_INTO=FILE`` writes how many
there were.
"""

from __future__ import annotations

import atexit
import os
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

_STEPS = frozenset({"os.rename", "os.remove", "os.truncate", "fcntl.flock", "sqlite3.connect"})


class _Steps:
    """Counts steps; an audit hook."""

    def __init__(self, last: int) -> None:
        self.count = 0
        self._last = last

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _STEPS or (event == "open" and _is_step(*arguments)):
            self.count += 1
            if self.count == self._last:
                os.kill(os.getpid(), signal.SIGKILL)


def _is_step(path: Any, mode: str | None, flags: int) -> bool:
    """Leave out what is opened for reading, as every import does, and what Python caches."""
    if str(path).endswith(("/dev/null", ".pyc")) or "__pycache__" in str(path):
        return False
    return mode is None or bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def main() -> None:
    """Run a module as ``python -m`` would."""
    if os.environ.get("FAULTS_NO_WAITS"):
        import stamina

        stamina.set_testing(True, attempts=1_000, cap=True)
    steps = _Steps(int(os.environ.get("FAULTS_DIE_AT", "0")))
    into = os.environ.get("FAULTS_COUNT_INTO")
    if into:
        atexit.register(lambda: Path(into).write_text(str(steps.count)))
    sys.addaudithook(steps)
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
