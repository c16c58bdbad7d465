"""What an import is going to do, and what it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sync_tool.jobs.validation import DamagedSource, RuleCount

OnConflict = Literal["error", "skip", "replace"]
"""What to do with a session whose history in the target parts from the one to be imported."""


@dataclass(frozen=True, slots=True)
class ConflictFound:
    """A session that is left as it is."""

    session: str
    reason: str
    """Such as ``differs at message 14``."""
    message: int | None = None
    """The first message that differs, from 1."""


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What an import is going to do; complete before the first write."""

    sources: tuple[str, ...]
    lost: tuple[str, ...]
    """What another store had not kept when LangChain wrote into it."""
    notes: tuple[str, ...]
    """What else is worth knowing of another store."""
    target: str
    table: str
    target_rows: int | None
    """Rows in the table; None where the deployment does not say."""
    schema_level: str
    """What the deployment's own schema takes: ``langchain``, ``documented`` or ``other``."""
    sessions: int
    messages: int
    """Good messages, and those that only wait for a bad one."""
    bytes: int
    new: int
    """Sessions that the target does not have."""
    up_to_date: int
    """Sessions of which the target has everything already."""
    ahead: int
    """Those among them of which it has more."""
    extend: int
    """Sessions of which the target has the beginning."""
    conflict: int
    """Sessions of which the target has another history, and which are left as they are."""
    replace: int
    """Sessions of which the target has another history, and which are replaced."""
    held: int
    """Sessions that stop before a bad message."""
    conflicts: tuple[ConflictFound, ...]
    send_rows: int
    send_sessions: int
    send_bytes: int
    rewritten: dict[str, int]
    """Messages brought to today's form, by rewrite."""
    bad_rows: int
    bad_sessions: int
    """Sessions that have a bad message, as far as messages tell their session."""
    faults: tuple[RuleCount, ...]
    warnings: tuple[RuleCount, ...]
    damaged: tuple[DamagedSource, ...]
    has_times: bool
    """True if every message has a time of its own."""
    timeless: tuple[str, ...]
    """What keeps the messages, such as ``Redis``, where no source knows their times; else empty."""
    bytes_per_second: int | None
    concurrency: int

    @property
    def seconds(self) -> float | None:
        """How long the rate alone makes it take; None without a limit."""
        return None if self.bytes_per_second is None else self.send_bytes / self.bytes_per_second


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did; the object that ``--json`` prints."""

    plan: ImportPlan
    dry_run: bool
    sent_rows: int
    sent_bytes: int
    new: int
    """Sessions that were written whole (up to a bad message, if there is one)."""
    extended: int
    replaced: int
    conflicts: tuple[ConflictFound, ...]
    """Sessions left as they are: those of the plan, and those that changed meanwhile."""
    bad_rows: int
    """Messages set aside, those included that the deployment refused."""
    held_rows: int
    """Good messages that wait for a bad one before them."""
    quarantine: str | None
    """The file that they are in."""
    saved: str | None
    """The file that replaced rows were saved to."""
    compared: Comparison | None
    seconds: float
    exit_code: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides read again after the import, session by session."""

    equal: int
    ahead: int
    """Sessions of which the target has more."""
    held: int
    """Equal up to a bad message."""
    different: int
