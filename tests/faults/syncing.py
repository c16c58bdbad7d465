"""``sync`` as a subject of the endurance runs: by each way, the first run, and one that finds changes of all kinds."""

from __future__ import annotations

import random
import shutil
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import sync_tool as cm
from faults.killing import KILLED, Life, Tool, Violation, left_in, measure
from faults.proxying import Event, in_vain, running_proxy
from running import Sandbox, running_sandbox
from sync_tool.archive.layout import Layout
from syncing import DOORS, Writer, live_rows, rows_of, sync

KINDS: Final = ("first", "later", "full")
_STEP: Final = "30KB"


@dataclass(frozen=True)
class SyncCase:
    """A sync by one way, into a new archive or into one that is behind."""

    label: str
    tool: Tool
    life: Life
    archive: Path
    live: list[bytes]
    """Rows of the table, in session order."""
    base: tuple[str, list[bytes]] | None
    """The run that was there before, and its rows."""

    def check(self, code: int) -> None:
        """Whatever happened the archive is whole, and older states are as they were; success means equal to live."""
        if code not in (0, 5, KILLED):
            raise Violation(f"exit {code}: {self.tool.words}")
        if "Traceback" in self.tool.words:
            raise Violation(f"a traceback: {self.tool.words}")
        left = left_in(Path(self.tool.env["TMPDIR"]))
        if left:
            raise Violation(f"left in the temporary folder: {left}")
        if not Layout(self.archive).manifest.exists():
            if code == 0:
                raise Violation("exit 0, but there is no archive")
            return
        report = cm.verify(self.archive)
        if report.damaged:
            raise Violation(f"exit {code} leaves damage: {report.damaged}")
        if self.base is not None and rows_of(self.archive, self.base[0]) != self.base[1]:
            raise Violation(f"exit {code} changed an older state")
        if code == 0:
            self._check_end(report)

    def _check_end(self, report: cm.VerifyReport) -> None:
        if report.notes:
            raise Violation(f"exit 0, but: {report.notes}")
        rows = rows_of(self.archive)
        if rows != self.live:
            raise Violation(f"exit 0, but {len(rows)} rows are not the {len(self.live)} of the table")

    def done(self) -> bool:
        """False: the same command again is right also behind its end."""
        return False

    def gave_up_rightly(self, events: list[Event], tries: int) -> bool:
        """One request met as many faults as there are attempts."""
        return in_vain(events) >= tries

    def close(self) -> None:
        """The sandbox is that of all cases."""

    def found(self) -> str:
        """Return how far the run had come, in words."""
        layout = Layout(self.archive)
        if not layout.manifest.exists():
            return "no archive"
        runs = len(layout.run_names()) - (self.base is not None)
        if runs:
            return "complete"
        return "open run" if layout.state.exists() and b'"open_run": {' in layout.state.read_bytes() else "nothing"


class SyncSubject:
    """``sync`` from a deployment that answers in small pages, a few milliseconds away."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._lives: dict[tuple[str, str], Life] = {}
        self._lock = threading.Lock()
        self._sandbox: Sandbox
        self._live: list[bytes]
        self._bases: dict[str, tuple[str, list[bytes]]] = {}

    def __enter__(self) -> Self:
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="endurance-")))
        flags = ("--sample-data", "--slow-rows", "200", "--stream-page", "200", "--latency", "8")
        self._sandbox = self._stack.enter_context(running_sandbox(self._folder, *flags))
        writer = Writer.of(self._sandbox)
        for number in range(60):
            writer.edit(f"edited {number}", "before")
        for door in DOORS:
            run = sync(self._sandbox, self._base(door), door).run
            self._bases[door] = (run, rows_of(self._base(door)))
        for number in range(60):
            writer.edit(f"edited {number}", "after " * 20)
            writer.append(f"new {number % 7}", f"message {number} " * 20)
        writer.clear("cust-4")
        self._live = live_rows(self._sandbox)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def case(self, chance: random.Random, folder: Path) -> SyncCase:
        """Draw the way, and what there is before."""
        return self.named(chance.choice(DOORS), chance.choice(KINDS), folder)

    def named(self, door: str, kind: str, folder: Path) -> SyncCase:
        """Make one variant ready in a new folder."""
        return self._case(door, kind, folder, self._life(door, kind))

    def requests_of(self, case: SyncCase) -> int:
        """Run a case to its end and return how many requests that took."""
        with running_proxy(case.tool.url) as proxy:
            code = case.tool.run(proxy.url)
            if code != 0:
                raise Violation(f"exit {code}: {case.tool.words}")
            return len(proxy.events())

    def _base(self, door: str) -> Path:
        return self._folder / f"base {door}"

    def _life(self, door: str, kind: str) -> Life:
        """Return what an undisturbed run takes, measured once."""
        with self._lock:
            if (door, kind) not in self._lives:
                case = self._case(door, kind, self._folder / f"{door} {kind}", Life(1.0, 1, 1))
                self._lives[door, kind] = measure(case.tool)
                case.check(0)
            return self._lives[door, kind]

    def _case(self, door: str, kind: str, folder: Path, life: Life) -> SyncCase:
        out, spool = folder / "out", folder / "tmp"
        out.mkdir(parents=True)
        spool.mkdir()
        if kind != "first":
            shutil.copytree(self._base(door), out / "chat")
        # what was cleared shows in the number of rows, so that by any way all changes are found
        flags = ("--full",) if kind == "full" else ()
        fixed = ("sync", "chat", "--create", "--via", door, "--step-size", _STEP, *flags)
        env_file = ("--env-file", str(self._sandbox.env_file))
        env = {"TMPDIR": str(spool), "SQLITE_TMPDIR": str(spool), "CONVEX_MSGS_TIMEOUT": "2"}
        tool = Tool(lambda url: (*fixed, *env_file, "--url", url), self._sandbox.url, out, env)
        base = None if kind == "first" else self._bases[door]
        return SyncCase(f"{door} {kind}", tool, life, out / "chat", self._live, base)
