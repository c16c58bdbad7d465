"""A sandbox in a process of its own, for as long as a block lasts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sync_tool.sandbox.options import Naming


class SandboxFailedError(Exception):
    """It did not start."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running sandbox, empty."""

    url: str
    env_file: Path  # Address and key, as the variables that Convex's tools read


@contextmanager
def running_child(naming: Naming) -> Iterator[Child]:
    """Run an empty sandbox on a free port; it ends with the block, and also when this process dies.

    Raises:
        SandboxFailedError: it did not start; says what it said.
    """
    with TemporaryDirectory(prefix="convex-msgs-") as folder:
        env_file = Path(folder, "sandbox.env")
        names = ["--table", naming.table, "--index", naming.index, "--session-field", naming.session_field]
        fixed = ["sandbox", "--with-parent", "--port", "0", "--env-file", str(env_file)]
        with subprocess.Popen(  # noqa: S603  # our own program; -P: no module comes from the user's folder
            [sys.executable, "-P", "-m", "sync_tool", *fixed, *names],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield Child(_address(process), env_file)
            finally:
                process.terminate()


def _address(process: subprocess.Popen[str]) -> str:
    line = process.stdout.readline() if process.stdout else ""
    words = line.split()
    if words[:3] != ["sandbox", "ready", "at"]:
        said = process.stderr.read().strip() if process.stderr else ""
        raise SandboxFailedError(said or "it said nothing")
    return words[3]
