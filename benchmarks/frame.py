"""Parts that all benchmarks share: runs of two sides by turns, their results, and the measured processes."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TOOL = [sys.executable, "-m", "sync_tool"]


@dataclass(frozen=True)
class Run:
    """One measured run of one side."""

    rows: int
    seconds: float
    megabytes: float = 0.0
    """Peak memory of the process and of those that help it, each at its own peak, as the operating system counts it."""
    helpers: float = 0.0
    """Which part of it is that of the helpers."""

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


@dataclass(frozen=True)
class Outcome:
    """One line of the table."""

    number: str
    """As in the list of goals: P1, P2 and so on; with a letter where there are several peers or data sets."""
    work: str
    peer: str
    goal: str
    """For people, such as ``>= 8 x``."""
    score: float
    """How well the goal is met: 1.0 is exactly met, more is better."""
    result: str
    """For people, such as ``11.3 x``."""
    ours: str
    theirs: str
    note: str = ""
    rounds: int = 1
    """How often each side ran; the run of median rate counts."""
    when: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%d"))

    @property
    def met(self) -> bool:
        """Whether the goal is met."""
        return self.score >= 1.0


@dataclass
class Bench:
    """Arguments of a benchmark.

    Attributes:
        work: folder for data, kept between runs.
        python: the interpreter of the environment that holds the peers.
        rows: how many rows the large deployment has.
        rounds: how often each side runs.
    """

    work: Path
    python: Path
    rows: int
    rounds: int = 3

    def peer(self, name: str, *arguments: object) -> Run:
        """Run ``benchmarks/peers/<name>.py``, which measures itself without its start, and print what it did."""
        command = [str(self.python), str(HERE / "peers" / f"{name}.py"), *map(str, arguments)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=HERE)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return Run(found["rows"], found["seconds"])

    def median(self, *sides: Callable[[], Run]) -> list[Run]:
        """Run all sides by turns, several times; return the run of median rate of each."""
        runs = [[side() for side in sides] for _ in range(self.rounds)]
        return [_median([row[number] for row in runs]) for number in range(len(sides))]


def environment(work: Path, name: str, requirements: str) -> Path:
    """Return the interpreter of an environment with peers, made where it is missing or out of date."""
    wanted, made = HERE / requirements, work / name
    python, mark = made / "bin" / "python", made / requirements
    if not mark.exists() or mark.read_text() != wanted.read_text():
        print(f"installing {wanted.name} …", flush=True)
        shutil.rmtree(made, ignore_errors=True)
        venv.create(made, with_pip=True)
        command = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-qq", "-r", str(wanted)]
        subprocess.run(command, check=True, env={**os.environ, "PIP_CONSTRAINT": ""})
        shutil.copy(wanted, mark)
    return python


def faster(number: str, work: str, peer: str, goal: float, ours: Run, theirs: Run, *, note: str = "") -> Outcome:
    """Return the outcome of a comparison of rates."""
    ratio = ours.rate / theirs.rate
    shown = f"{ratio:.{2 if ratio < 10 else 1 if ratio < 100 else 0}f} x"
    return Outcome(number, work, peer, f"≥ {goal:g} x", ratio / goal, shown, described(ours), described(theirs), note)


def described(run: Run) -> str:
    """Return a short description of a run."""
    return f"{run.rows:,} rows, {run.seconds:.2f} s, {run.rate:,.0f}/s"


def tool(rows: int, *arguments: object) -> Run:
    """Run a command of the tool; its start counts."""
    before = os.times().elapsed
    process = subprocess.Popen(
        [*TOOL, *map(str, arguments)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    peaks: dict[int, float] = {}
    ended = threading.Event()
    watch = threading.Thread(target=_watch_helpers, args=(process.pid, peaks, ended))
    watch.start()
    errors = process.stderr.read() if process.stderr else ""
    _, status, usage = os.wait4(process.pid, 0)
    seconds = os.times().elapsed - before
    ended.set()
    watch.join()
    if status:
        raise SystemExit(f"{' '.join(map(str, arguments))}: exit {os.waitstatus_to_exitcode(status)}\n{errors}")
    helpers = sum(peaks.values())
    return Run(rows, seconds, usage.ru_maxrss / 1024 + helpers, helpers)


def _watch_helpers(pid: int, peaks: dict[int, float], ended: threading.Event) -> None:
    """Note the peak memory of each process that another one starts, in megabytes, as long as that one runs."""
    while not ended.wait(0.1):
        with suppress(OSError, StopIteration):  # one has just ended
            lists = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
            for child in {int(name) for names in lists for name in names}:
                lines = Path(f"/proc/{child}/status").read_text().splitlines()
                peaks[child] = int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


@contextmanager
def sandbox(folder: Path, *options: object) -> Iterator[Path]:
    """Run a sandbox on the data in a folder; yield the env file with its address."""
    data, env_file = folder / "data.sqlite", folder / "sandbox.env"
    command = [*TOOL, "sandbox", "--with-parent", "--port", "0", "--data", data, "--env-file", env_file, *options]
    with _running(command):
        yield env_file


@contextmanager
def legacy_sandbox(folder: Path) -> Iterator[Path]:
    """Run a sandbox with the older streaming export, as `sandbox` does."""
    data, env_file = folder / "data.sqlite", folder / "sandbox.env"
    with _running([sys.executable, HERE / "legacy_export.py", data, env_file]):
        yield env_file


@contextmanager
def _running(command: list[Any]) -> Iterator[None]:
    with subprocess.Popen(
        [*map(str, command)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        if not (process.stdout and process.stdout.readline().startswith("sandbox ready")):
            raise SystemExit("the sandbox did not start")
        try:
            yield
        finally:
            process.terminate()


def _median(runs: list[Run]) -> Run:
    middle = statistics.median_low([run.rate for run in runs])
    return next(run for run in runs if run.rate == middle)
