"""By which way an archive's deployment is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from sync_tool.archive.runs import Position
from sync_tool.deployment.deployment import Deployment
from sync_tool.deployment.stream import StreamDoor
from sync_tool.errors import NoStreaming, Refused, UsageError, only_this_refused
from sync_tool.jobs.sync_reading import Reading
from sync_tool.jobs.sync_stream import StreamReading
from sync_tool.jobs.sync_time import TimeOptions, TimeReading
from sync_tool.ports import Progress

SyncVia = Literal["auto", "stream", "functions", "system"]
VIAS: Final = ("auto", "stream", "functions", "system")


@dataclass(frozen=True, slots=True)
class Way:
    """What was asked for."""

    via: SyncVia
    full: bool
    """Read everything."""
    time: TimeOptions
    """How, without the stream."""


def choose_reading(deployment: Deployment, position: Position, way: Way, progress: Progress) -> Reading:
    """Return how to read: what was asked for, else stream, functions, system, whichever is open first.

    Raises:
        UsageError: there is no such way, or `deployment` was opened for another one.
        Refused: the way asked for is not open.
        Unreachable: no answer.
    """
    if way.via not in VIAS:
        raise UsageError(f"there is no way {way.via!r}.", hint=[("ways", ", ".join(VIAS))])
    if way.via in ("auto", "stream"):
        door = StreamDoor(deployment.client, deployment.names, deployment.patience.bytes_per_second)
        try:
            door.check()
        except Refused as error:
            if way.via == "stream" or not (isinstance(error, NoStreaming) or only_this_refused(error)):
                raise
            progress.detail(f"not by the stream of changes: {error.message}")
        else:
            progress.detail("reading the stream of changes: edits and deletions are seen, up to one moment")
            return StreamReading(door, position, full=way.full, progress=progress)
    if way.via in ("functions", "system"):
        deployment = deployment.through(way.via)
    progress.detail(deployment.way)
    return TimeReading(deployment, position, way.time, progress)
