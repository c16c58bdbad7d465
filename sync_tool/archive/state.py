"""``state.json``: where the next run goes on, and what a run that was cut off has already made durable.

Constant in size. It can be made again from the newest run, but for the run that was cut off.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, Final

from sync_tool.archive.layout import Layout
from sync_tool.archive.runs import Position, read_run
from sync_tool.archive.sealed import read_sealed, write_sealed
from sync_tool.errors import Damaged

_KIND: Final = "state"


@dataclass(frozen=True, slots=True)
class Pass:
    """How far the reading of a run is."""

    way: str = "time"
    """``stream`` or ``time``."""
    since: int | None = None
    """For a full pass: the number of records before it; rows recorded later, or marked as seen, exist."""
    full_started: str | None = None
    cursor: str | None = None
    """Of the stream: what follows it is not recorded yet."""
    after: float | None = None
    """Of time order: rows created before this have been read; None before the first. ms since 1970."""
    started_at: float | None = None
    """Of time order: the deployment's own clock when this pass began. ms since 1970."""
    greatest: float | None = None
    """Of time order: the greatest creation time seen so far. ms since 1970."""


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that is not complete."""

    run: str
    started: str
    """ISO 8601, UTC."""
    deployment: str
    parts: int = 0
    """How many of its parts count; more may lie there, which do not."""
    records: int = 0
    """How many records are in them."""
    chain: str = sha256(b"").hexdigest()
    """sha256 over the sha256 of each of these parts, one after the other."""
    steps: int = 0
    """How often it was made durable."""
    progress: Pass = Pass()


@dataclass(frozen=True, slots=True)
class State:
    """Where the next run goes on."""

    run: str | None = None
    """The newest complete run."""
    run_sha256: str | None = None
    """Its seal."""
    position: Position = field(default_factory=Position)
    open_run: OpenRun | None = None

    def write(self, layout: Layout) -> None:
        """Replace the file in one step.

        Raises:
            OutputError: it cannot be written.
        """
        write_sealed(layout.state, _KIND, asdict(self), overwrite=True)


def read_state(layout: Layout) -> State:
    """Read the file as it stands.

    Raises:
        Damaged: it is missing or not what was written.
    """
    content, _ = read_sealed(layout.state, _KIND)
    return _state(content)


def rebuilt(layout: Layout) -> State:
    """Return the state that the newest complete run stands for.

    Raises:
        Damaged: that run's file is.
    """
    names = layout.run_names()
    if not names:
        return State()
    run, seal = read_run(layout, names[-1])
    return State(run.run, seal, run.position)


def settle(layout: Layout, state: State) -> State:
    """Return `state`, or what became true just before its file could be written: that its open run is complete.

    Raises:
        Damaged: the run that it names is not there any more.
    """
    newest = next(iter(reversed(layout.run_names())), None)
    if newest == state.run:
        return state
    found = rebuilt(layout)
    if newest is None or (state.run is not None and newest < state.run):
        raise Damaged(f"{layout.run(state.run or '')} is missing: state.json says that it is the newest run.")
    return found


def _state(content: dict[str, Any]) -> State:
    position = Position(**content.pop("position"))
    open_run = content.pop("open_run")
    if open_run is not None:
        open_run = OpenRun(**{**open_run, "progress": Pass(**open_run["progress"])})
    return State(**content, position=position, open_run=open_run)
