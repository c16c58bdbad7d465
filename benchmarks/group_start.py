"""P12: how long ``--help`` takes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

from frame import ROOT, TOOL, Bench, Outcome, Run

_TIMES = 10


def run(bench: Bench) -> Iterator[Outcome]:
    """Yield the outcome."""
    ours, click = bench.median(
        lambda: _timed([*TOOL, "--help"]), lambda: _timed([sys.executable, "-c", "import click"])
    )
    ratio = ours.seconds / click.seconds
    yield Outcome(
        "P12", "convex-msgs --help", 'python -c "import click"', "≤ 2.5 x the time", 2.5 / ratio, f"{ratio:.2f} x",
        f"{ours.seconds / _TIMES * 1000:.0f} ms", f"{click.seconds / _TIMES * 1000:.0f} ms",
    )  # fmt: skip


def _timed(command: list[str]) -> Run:
    before = os.times().elapsed
    for _ in range(_TIMES):
        subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return Run(_TIMES, max(os.times().elapsed - before, 0.01))
