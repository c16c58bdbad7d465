"""The tool and its sandbox as real processes, for tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sync_tool.deployment.deployment import Deployment
    from sync_tool.rows.ports import Source

ROOT = Path(__file__).parent.parent
_CONVEX = ("CONVEX_", "NEXT_PUBLIC_CONVEX", "VITE_CONVEX")


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox."""

    url: str
    key: str
    env_file: Path
    process: subprocess.Popen[str]

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: bytes
    err: str


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment without anything of Convex in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_CONVEX)}
    return {**kept, "TZ": "UTC", "COLUMNS": "100", **(extra or {})}


@contextmanager
def running_sandbox(folder: Path, *flags: str, env: Mapping[str, str] | None = None) -> Iterator[Sandbox]:
    """Run a sandbox of its own on a free port until the block ends; it also ends when this process dies."""
    env_file = folder / "sandbox.env"
    command = [sys.executable, "-m", "sync_tool", "sandbox", "--with-parent", "--port", "0"]
    with subprocess.Popen(
        [*command, "--env-file", str(env_file), *flags],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(env),
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        ready = process.stdout.readline().split()
        assert ready[:3] == ["sandbox", "ready", "at"], ready
        yield Sandbox(ready[3], _key_in(env_file), env_file, process)
        process.terminate()


def convex_msgs(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None, stdin: bytes = b"") -> Done:
    """Run the command line as a user does and wait for its end."""
    command = [sys.executable, "-m", "sync_tool", *arguments]
    environment = clean_environment({"PYTHONPATH": str(ROOT), **(env or {})})
    done = subprocess.run(command, cwd=cwd, env=environment, input=stdin, capture_output=True, check=False, timeout=120)
    return Done(done.returncode, done.stdout, done.stderr.decode())


def _key_in(env_file: Path) -> str:
    for line in env_file.read_text().splitlines():
        name, _, value = line.partition("=")
        if name in ("CONVEX_SELF_HOSTED_ADMIN_KEY", "CONVEX_DEPLOY_KEY"):
            return value.strip("'\"")
    raise AssertionError(f"no key in {env_file}")


def deployment_of(source: Source) -> Deployment:
    """Return the deployment that was opened."""
    from sync_tool.deployment.deployment import Deployment

    found = source.capability(Deployment)
    assert found is not None
    return found
