"""What a restore will do, and what it did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sync_tool.errors import Exit
from sync_tool.text import plural


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore will do, as the deployment itself counted it."""

    target: str
    table: str
    existing: int
    """Rows that the table holds now."""
    deletes: int
    writes: int

    def __str__(self) -> str:
        how = "replaced" if self.deletes else "filled"
        gone = f"delete {self.deletes:,}, " if self.deletes else ""
        return (
            f"target  {self.target}, {self.table} holds {plural(self.existing, 'row')}\n"
            f"plan    table {how} in one step: {gone}write {self.writes:,} with their own _id and _creationTime"
        )


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What a restore did; the object that ``--json`` prints."""

    source: str
    target: str
    table: str
    dry_run: bool
    """True if nothing was changed, only planned."""
    joined: bool
    """True if the import had been started by an earlier call, which was cut off."""
    rows: int
    """Rows written; with `dry_run`, those that would be."""
    deleted: int
    rows_after: int | None
    """Rows that the deployment's statistics say the table holds now; None where they do not say."""
    uploaded_bytes: int
    import_id: str
    started: datetime
    ended: datetime
    seconds: float

    @property
    def exit_code(self) -> Exit:
        """0, or 4 where the table holds fewer rows than were written."""
        missing = not self.dry_run and self.rows_after is not None and self.rows_after < self.rows
        return Exit.DIFFERS if missing else Exit.DONE
