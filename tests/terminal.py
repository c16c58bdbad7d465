"""Commands that write into a deployment on a terminal, with somebody at the keyboard, for tests."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from running import ROOT, clean_environment

SLOWLY = ("--rate", "40KB/s", "--concurrency", "1")


def on_a_terminal(
    *arguments: str, cwd: Path, env: Mapping[str, str], answer: bytes, interrupt: bool = False
) -> tuple[int, str]:
    """Run a command, answer its question, and perhaps press Ctrl-C while it sends; return exit code and words."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "sync_tool", *arguments, *(SLOWLY if interrupt else ())]
    environment = clean_environment({"PYTHONPATH": str(ROOT), **env})
    said = b""
    with subprocess.Popen(command, cwd=cwd, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        while True:
            try:
                part = os.read(ours, 1000)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            said += part
            if answer and b"[y/N]" in said:
                os.write(ours, answer)
                answer = b""
            if interrupt and b"sending to" in said:
                process.send_signal(signal.SIGINT)
                interrupt = False
    os.close(ours)
    return process.returncode, said.decode().replace("\r\n", "\n")
