"""``import`` into a table that has some of it already, with whatever options: what must hold at any moment."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from faults.histories import History, Wanted, World, kept_times, make_world
from faults.killing import KILLED, Life, Tool, Violation, left_in, measure
from faults.proxying import Event, in_vain
from faults.reaching import Kept, Message, Table, Writer
from running import Sandbox, running_sandbox

_DONE: Final = 0
_SET_ASIDE: Final = 3
_UNREACHABLE: Final = 5
_UPLOADS: Final = 4
"""How often an upload begins again; more attempts do not change that."""


@dataclass
class ImportCase:
    """An import of a random world into a sandbox of its own."""

    label: str
    tool: Tool
    world: World
    table: Table
    wanted: Wanted
    forgetful: bool
    """Nothing is left of the local journal when the command runs again."""
    writer: Writer | None
    stack: ExitStack = field(repr=False)
    first: dict[str, list[Kept]] = field(default_factory=dict, repr=False)
    """The table before any run."""
    measured: Life | None = None

    @property
    def life(self) -> Life:
        """Measure an undisturbed run, check what it did, and put everything back."""
        if self.measured is None:
            self.measured = measure(self.tool)
            self.check(max(self.tool.success))
            self.table.clear(self.table.sessions())
            self.make_ready()
        return self.measured

    def make_ready(self) -> None:
        """Write the files, fill the table."""
        shutil.rmtree(self.tool.cwd.parent, ignore_errors=True)
        for path in (self.tool.cwd, self._temporary, self._state):
            path.mkdir(parents=True)
        for name, content in self.world.files.items():
            (self.tool.cwd / name).write_bytes(content)
        for name, history in self.world.histories.items():
            self.table.append(name, history.before)
        self.first = self.table.sessions()

    def close(self) -> None:
        """Stop the sandbox."""
        if self.writer is not None:
            self.writer.stop()
        self.stack.close()

    def check(self, code: int) -> None:
        """Nothing is doubled, out of order or lost, at any moment; success and only success means all of it."""
        said = [] if self.writer is None else self.writer.said()
        now = self.table.sessions(settled=self.writer is None)
        if code not in (*self.tool.success, _UNREACHABLE, KILLED):
            raise Violation(f"exit {code}: {self.tool.words}")
        if "Traceback" in self.tool.words:
            raise Violation(f"a traceback: {self.tool.words}")
        strangers = now.keys() - self.world.histories.keys()
        if strangers:
            raise Violation(f"sessions out of nowhere: {strangers}")
        for name, history in self.world.histories.items():
            rows = now.get(name, [])
            if self.writer is not None and self.writer.session == name:
                self._check_shared(history, rows, said, code)
            else:
                self._check_session(history, rows, ended=code in self.tool.success)
        self._check_saved(now)
        if self.wanted.keep_times:
            self._check_times(now)
        self._check_files(code)
        if self.forgetful:
            shutil.rmtree(self._state / "convex-msgs", ignore_errors=True)

    def done(self) -> bool:
        """Never: to run it once more must be harmless."""
        return False

    def gave_up_rightly(self, events: list[Event], tries: int) -> bool:
        """One request met as many faults as there are attempts; an upload begins again a fixed number of times."""
        uploads = sum(event.hurts for event in events if "import" in event.path)
        return in_vain(events) >= tries or (self.wanted.keep_times and uploads >= _UPLOADS)

    def found(self) -> str:
        """Return the number of rows in the table, in words."""
        now = self.table.sessions()
        if all(_messages(now.get(name, [])) == history.after for name, history in self.world.histories.items()):
            return "all"
        return "nothing new" if now == self.first else "a part"

    @property
    def _temporary(self) -> Path:
        return Path(self.tool.env["TMPDIR"])

    @property
    def _state(self) -> Path:
        return Path(self.tool.env["XDG_STATE_HOME"])

    def _check_session(self, history: History, rows: list[Kept], *, ended: bool) -> None:
        first = self.first.get(history.name, [])
        messages = _messages(rows)
        if ended and messages != history.after:
            raise Violation(f"the end of {history.name!r} is wrong: {_against(messages, history.after)}")
        right_so_far = messages == history.after[: len(messages)]
        if self.wanted.replace and history.before != history.after[: len(history.before)]:
            fine = right_so_far or rows == first[len(first) - len(rows) :]
        else:
            fine = rows == first or (right_so_far and rows[: len(first)] == first)
        if not fine:
            raise Violation(f"{history.name!r} is out of order: {_against(messages, history.after)}")

    def _check_shared(self, history: History, rows: list[Kept], said: list[Message], code: int) -> None:
        """A session in which somebody else talks: nothing of theirs is lost, nothing of ours is doubled."""
        messages = _messages(rows)
        theirs = [message for message in messages if Writer.is_mine(message)]
        ours = [message for message in messages if not Writer.is_mine(message)]
        if theirs[: len(said)] != said:
            raise Violation(f"of {len(said)} messages of somebody else only {len(theirs)} are there")
        if ours != history.after[: len(ours)]:
            raise Violation(f"{history.name!r} is out of order: {_against(ours, history.after)}")
        if code in self.tool.success and ours != history.after and repr(history.name) not in self.tool.words:
            raise Violation(f"exit {code}, and {history.name!r} is not whole: {self.tool.words}")

    def _check_saved(self, now: dict[str, list[Kept]]) -> None:
        """Every row that was there is there, or in a file."""
        saved = {line["_id"] for path in self._named("*replaced*.jsonl") for line in _lines(path)}
        there = {row.id for rows in now.values() for row in rows}
        lost = [row for rows in self.first.values() for row in rows if row.id not in there and row.id not in saved]
        if lost:
            raise Violation(f"{len(lost)} rows were replaced and not saved")

    def _check_times(self, now: dict[str, list[Kept]]) -> None:
        if not now:
            return
        for name, history in self.world.histories.items():
            aside = set(history.aside)
            times = kept_times([time for n, time in enumerate(history.times) if n not in aside])
            if [row.time for row in now.get(name, [])] != times:
                raise Violation(f"{name!r} has other times, or is not whole though others are")

    def _check_files(self, code: int) -> None:
        ended = code in self.tool.success
        quarantines = self._named("quarantine*.jsonl")
        found = {(line["file"], line["line"]) for path in quarantines for line in _lines(path)}
        if len(quarantines) > 1 or ((quarantines or ended) and found != self.world.aside):
            raise Violation(
                f"{len(quarantines)} quarantine files, {len(found)} quarantined, not {len(self.world.aside)}"
            )
        known = {*self.world.files, *(path.name for path in (*quarantines, *self._named("*replaced*.jsonl")))}
        extra = {path.name for path in self.tool.cwd.iterdir()} - known
        if code == KILLED:
            extra = {name for name in extra if not name.endswith(".part")}
        if extra:
            raise Violation(f"exit {code} leaves {', '.join(sorted(extra))}")
        left = left_in(self._temporary)
        if left:
            raise Violation(f"left in the temporary folder: {left}")

    def _named(self, pattern: str) -> list[Path]:
        return [path for path in self.tool.cwd.glob(pattern) if not path.name.startswith(".")]


class ImportSubject:
    """``import`` of random files with random options into sandboxes a few milliseconds away.

    Args:
        live: True to have somebody else talk in the longest session all the while.
        longest: messages of the longest session.
    """

    def __init__(self, *, live: bool = False, longest: Sequence[int] = (700, 1600, 3000)) -> None:
        self._live = live
        self._longest = longest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def case(self, chance: random.Random, folder: Path) -> ImportCase:
        """Draw a world and options, and a sandbox with what is there already."""
        policy = chance.choice(("error", "skip") if self._live else ("error", "skip", "replace", "replace"))
        keep_times = policy != "replace" and not self._live and chance.random() < 0.25
        bad = not self._live and chance.random() < 0.5
        wanted = Wanted(
            replace=policy == "replace",
            keep_times=keep_times,
            bad=bad,
            skip_bad=bad and chance.random() < 0.5,
            conflicts=not self._live,
            longest=chance.choice(self._longest),
        )
        world = make_world(chance, wanted)
        flags = ["--on-conflict", policy, "--concurrency", str(chance.randint(1, 4)), "--yes"]
        flags += ["--keep-times"] * keep_times + ["--skip-bad"] * wanted.skip_bad
        flags += ["--save-replaced", "old-replaced.jsonl"] * (wanted.replace and chance.random() < 0.5)
        flags += ["--compare"] * (chance.random() < 0.2)
        left = policy == "error" and any(history.conflict for history in world.histories.values())
        success = {_DONE, _SET_ASIDE} if self._live else {_SET_ASIDE if left or world.aside else _DONE}
        stack = ExitStack()
        folder.mkdir(parents=True, exist_ok=True)
        kind = chance.choice((("--type", "prod", "--name", "tall-forest-123"), ()))
        sandbox = stack.enter_context(running_sandbox(folder, "--latency", "8", *kind))
        table = Table(sandbox)
        writer = Writer(table, world.longest, chance, 60, 0.2) if self._live else None
        tool = _tool(sandbox, folder / "work", (*sorted(world.files), *flags), frozenset(success))
        label = " ".join(["prod" if kind else "self-hosted", *world.files, *flags])
        case = ImportCase(label, tool, world, table, wanted, chance.random() < 0.3, writer, stack)
        case.make_ready()
        if writer is not None and case.life:  # which must be known before somebody else talks
            writer.start()
        return case


def _tool(sandbox: Sandbox, work: Path, arguments: tuple[str, ...], success: frozenset[int]) -> Tool:
    fixed = ("import", *arguments, "--env-file", str(sandbox.env_file))
    spool = str(work / "tmp")
    env = {"TMPDIR": spool, "SQLITE_TMPDIR": spool, "XDG_STATE_HOME": str(work / "state"), "CONVEX_MSGS_TIMEOUT": "2"}
    return Tool(lambda url: (*fixed, "--url", url), sandbox.url, work / "out", env, success=success)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def _messages(rows: list[Kept]) -> list[Message]:
    return [row.message for row in rows]


def _against(found: list[Message], wanted: list[Message]) -> str:
    same = next((n for n, (one, two) in enumerate(zip(found, wanted, strict=False)) if one != two), None)
    at = "" if same is None else f", other from message {same + 1} on"
    return f"{len(found)} messages where {len(wanted)} should be{at}"
