"""What the ways of reading a deployment for an archive have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sync_tool.archive.recorder import Recorder
from sync_tool.archive.runs import Position


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a reading ended."""

    position: Position
    """Where the next run goes on."""
    full: bool
    """True if everything was read and compared."""
    consistent: str | None
    """The one moment at which all that was recorded equals the table, ISO 8601; None where there is none."""
    read_bytes: int


class Reading(Protocol):
    """A way of reading."""

    kind: str
    """``stream`` or ``time``: what an open run must have been begun with to be gone on with."""
    way: str
    """``stream``, ``functions`` or ``system``."""

    def read(self, recorder: Recorder) -> Outcome:
        """Read what is new, or go on where `recorder` was cut off, until nothing is left."""
