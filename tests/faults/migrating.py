"""``migrate`` from one deployment into another that has some of it already: what must hold is what holds of imports."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, Self

import sync_tool as cm
from faults.histories import Wanted, World, make_world
from faults.importing import ImportCase
from faults.killing import Tool
from faults.reaching import Table
from running import Sandbox, running_sandbox

_DONE: Final = 0
_SET_ASIDE: Final = 3


class MigrateSubject:
    """``migrate`` of random histories; kills and faults meet the reading or the writing side.

    Args:
        longest: messages of the longest session.
    """

    def __init__(self, *, longest: Sequence[int] = (700, 1600, 3000)) -> None:
        self._longest = longest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def case(self, chance: random.Random, folder: Path) -> ImportCase:
        """Draw a world and options, a sandbox that has it, and one with what is there already."""
        policy = chance.choice(("error", "skip", "replace"))
        keep_times = policy != "replace" and chance.random() < 0.25
        bad = chance.random() < 0.5
        wanted = Wanted(
            replace=policy == "replace",
            keep_times=keep_times,
            bad=bad,
            skip_bad=bad and chance.random() < 0.5,
            longest=chance.choice(self._longest),
        )
        stack = ExitStack()
        folder.mkdir(parents=True, exist_ok=True)
        # With a name of its own it is called the same by whatever URL it is reached.
        source = self._sandbox(stack, folder / "source", "--type", "dev", "--name", "calm-otter-7")
        target = self._sandbox(stack, folder / "target")
        world = _told(make_world(chance, wanted), source)
        flags = ["--on-conflict", policy, "--concurrency", str(chance.randint(1, 4)), "--yes"]
        flags += ["--keep-times"] * keep_times + ["--skip-bad"] * wanted.skip_bad
        flags += ["--save-replaced", "old-replaced.jsonl"] * (wanted.replace and chance.random() < 0.5)
        left = policy == "error" and any(history.conflict for history in world.histories.values())
        side: Literal["from", "to"] = chance.choice(("from", "to"))
        success = frozenset({_SET_ASIDE if left or world.aside else _DONE})
        tool = _tool(source, target, side, folder / "work", flags, success)
        label = " ".join(["migrate, met when", "reading" if side == "from" else "writing", *flags])
        case = ImportCase(label, tool, world, Table(target), wanted, chance.random() < 0.3, None, stack)
        case.make_ready()
        return case

    @staticmethod
    def _sandbox(stack: ExitStack, folder: Path, *flags: str) -> Sandbox:
        folder.mkdir()
        return stack.enter_context(running_sandbox(folder, "--latency", "8", *flags))


def _told(world: World, source: Sandbox) -> World:
    """Put a world into a deployment; it gives the quarantined messages their times and places."""
    table = Table(source)
    for name, history in world.histories.items():
        table.append(name, history.messages)
    with cm.connect(source.url, key=source.key) as opened:
        title = opened.title
    number = 0
    aside: set[tuple[str, int]] = set()
    histories = dict(world.histories)
    for name, rows in table.sessions().items():
        history = histories[name]
        aside |= {(title, number + n + 1) for n in history.aside}
        histories[name] = replace(history, times=[row.time for row in rows])
        number += len(rows)
    return World({}, histories, aside)


def _tool(
    source: Sandbox, target: Sandbox, side: Literal["from", "to"], work: Path, flags: list[str], success: frozenset[int]
) -> Tool:
    """Return the command; the deployment on one side is named by its URL, which may be that of a proxy."""
    met, other = (source, target) if side == "from" else (target, source)
    opposite = "to" if side == "from" else "from"
    spool = str(work / "tmp")
    env: dict[str, Any] = {
        "TMPDIR": spool,
        "SQLITE_TMPDIR": spool,
        "XDG_STATE_HOME": str(work / "state"),
        "CONVEX_MSGS_TIMEOUT": "2",
        "CONVEX_DEPLOY_KEY" if side == "from" else "CONVEX_SELF_HOSTED_ADMIN_KEY": met.key,
    }
    fixed = ("migrate", f"--{opposite}", f"@{other.env_file}", *flags)
    return Tool(lambda url: (*fixed, f"--{side}", url), met.url, work / "out", env, success=success)
