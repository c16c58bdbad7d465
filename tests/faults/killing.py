"""The kill harness: a command is killed at moments spread over its life, and run again until it is done."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from faults.plan import Plan
from faults.proxying import TESTS, running_proxy
from running import ROOT, clean_environment

KILLED: Final = -signal.SIGKILL
_STALLS: Final = ("stall", "stall-after", "stall-half")
_LONGEST: Final = 120.0

Way = Literal["time", "request", "step"]


_PROBE_LENGTH = 8


def left_in(temporary: Path) -> list[Path]:
    """Return what a run left in its temporary folder.

    Python's own `tempfile` first tries whether the folder takes files, with one of eight letters that holds
    ``blat``; a run that is killed within these microseconds leaves it. That is not ours to prevent.
    """
    return [
        path
        for path in temporary.iterdir()
        if not (len(path.name) == _PROBE_LENGTH and path.is_file() and path.read_bytes() in (b"", b"blat"))
    ]


class Violation(AssertionError):
    """A promise was broken."""


@dataclass(frozen=True)
class Tool:
    """A command that can be run again and again."""

    arguments: Callable[[str], Sequence[str]]
    """Its arguments, given the URL of the deployment, which may be that of a proxy in front of it."""
    url: str
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    module: str = "sync_tool"
    success: frozenset[int] = frozenset({0})
    """The exit codes after which there is nothing more to do."""

    def start(self, url: str | None = None, **settings: str) -> subprocess.Popen[bytes]:
        """Start it, with settings of `faults.launch` where there are any; its words go to a file."""
        module = [self.module] if not settings else ["faults.launch", self.module]
        env = {"PYTHONPATH": f"{ROOT}:{TESTS}", "PYTHONDONTWRITEBYTECODE": "1", **self.env, **settings}
        with self._words.open("wb") as words:
            return subprocess.Popen(
                [sys.executable, "-m", *module, *self.arguments(url or self.url)],
                cwd=self.cwd,
                env=clean_environment(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=words,
            )

    def run(self, url: str | None = None, **settings: str) -> int:
        """Run it to its end and return its exit code."""
        with self.start(url, **settings) as process:
            return self.end_of(process)

    def end_of(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for its end and return its exit code.

        Raises:
            Violation: it hangs.
        """
        try:
            return process.wait(_LONGEST)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Violation(f"it hangs: {self.words}") from None

    @property
    def words(self) -> str:
        """Standard error of the last run."""
        return self._words.read_text(errors="replace")

    @property
    def _words(self) -> Path:
        return self.cwd.with_name(f"{self.cwd.name}.words")


@dataclass(frozen=True, slots=True)
class Life:
    """Measures of one undisturbed run."""

    seconds: float
    requests: int
    steps: int


@dataclass(frozen=True, slots=True)
class Moment:
    """When to kill: at a fraction of the life; at a request, in one of three states; before a step."""

    way: Way
    where: float
    state: str = ""

    @classmethod
    def draw(cls, chance: random.Random, life: Life) -> Moment:
        """Draw a moment: half of them by time, half by progress."""
        way: Way = chance.choice(("time", "time", "request", "step"))
        if way == "time":
            return cls(way, chance.random())
        if way == "request":
            return cls(way, chance.randint(1, life.requests), chance.choice(_STALLS))
        return cls(way, chance.randint(1, life.steps))

    @property
    def group(self) -> str:
        """Name it as a table of many does."""
        if self.way == "time":
            tenth = int(self.where * 10)
            return f"time, {tenth}0 to {tenth + 1}0 % of its life"
        return f"{self.way} ({self.state})" if self.state else self.way

    def __str__(self) -> str:
        if self.way == "time":
            return f"at {self.where:.1%} of its life"
        return f"at {self.way} {self.where:g}" + (f" ({self.state})" if self.state else "")


@dataclass(frozen=True, slots=True)
class Ending:
    """How one run that was to be killed ended."""

    moment: Moment
    code: int
    seconds: float


def measure(tool: Tool) -> Life:
    """Run the tool once, undisturbed, and return what it took.

    Raises:
        Violation: it failed.
    """
    count = tool.cwd.with_name(f"{tool.cwd.name}.steps")
    with running_proxy(tool.url) as proxy:
        started = time.monotonic()
        _expect(tool, tool.run(proxy.url, FAULTS_COUNT_INTO=str(count)), *tool.success)
        seconds = time.monotonic() - started
        requests = len(proxy.events())
    steps = int(count.read_text())
    count.unlink()
    return Life(seconds, requests, steps)


def kill_once(tool: Tool, moment: Moment, life: Life) -> Ending:
    """Run the tool and kill it at the moment; it may end before."""
    started = time.monotonic()
    if moment.way == "request":
        with (
            running_proxy(tool.url, Plan.of(f"{moment.where}:{moment.state}")) as proxy,
            tool.start(proxy.url) as process,
        ):
            proxy.wait_for_fault(process)
            process.kill()
    elif moment.way == "step":
        with tool.start(FAULTS_DIE_AT=str(int(moment.where))) as process:
            tool.end_of(process)
    else:
        with tool.start() as process:
            try:
                process.wait(moment.where * life.seconds)
            except subprocess.TimeoutExpired:
                process.kill()
    return Ending(moment, process.returncode, time.monotonic() - started)


def kill_until_done(
    tool: Tool,
    *,
    seed: int,
    life: Life,
    check: Callable[[int], None],
    kills: int = 3,
    done: Callable[[], bool] = lambda: False,
    draw: Callable[[random.Random, Life], Moment] = Moment.draw,
) -> list[Ending]:
    """Kill the tool up to `kills` times at random moments of its life, then let it finish.

    Args:
        tool: what to run.
        seed: of the moments.
        life: of an undisturbed run, from `measure`.
        check: called with the exit code after every run; raises `Violation` where what must hold at any
            moment, or after success, does not hold.
        kills: how often at most.
        done: true where a killed run had already reached its end, so that there is nothing to run again.
        draw: how moments are chosen.

    Returns:
        Every run that was to be killed.

    Raises:
        Violation: with the seed and the moments so far.
    """
    chance = random.Random(seed)
    endings: list[Ending] = []
    try:
        while len(endings) < kills:
            ending = kill_once(tool, draw(chance, life), life)
            endings.append(ending)
            _expect(tool, ending.code, KILLED, *tool.success)
            check(ending.code)
            if ending.code in tool.success or done():
                return endings
        code = tool.run()
        _expect(tool, code, *tool.success)
        check(code)
    except Violation as broken:
        moments = "; ".join(f"{ending.moment} -> {ending.code}" for ending in endings)
        raise Violation(f"{broken}\n  seed {seed}; killed {moments}") from None
    return endings


def _expect(tool: Tool, code: int, *allowed: int) -> None:
    if code not in allowed:
        raise Violation(f"exit {code} where only {', '.join(map(str, allowed))} may be: {tool.words}")
