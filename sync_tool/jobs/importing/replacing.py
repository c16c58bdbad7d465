"""Sessions of another history replaced: first all their rows are saved to a file, then they are erased."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sync_tool.files.jsonl import JsonlWriter
from sync_tool.files.output import new_file
from sync_tool.jobs.importing.naming import next_names
from sync_tool.jobs.importing.planning import SessionPlan, Status, Target
from sync_tool.jobs.importing.plans import Plans
from sync_tool.model import Page, Row


def replace_sessions(plans: Plans, target: Target, path: Path | None) -> Path:
    """Save the rows of the sessions that are to be replaced to a file, then erase them.

    Rows that somebody adds meanwhile are not erased; their session is then left when it is to be written. Killed
    in between and called again, what is left of a session is saved to another file and erased.

    Args:
        plans: all sessions.
        target: the table.
        path: the file for the old rows, or the next free name after it; None for ``replaced.jsonl`` here.

    Returns:
        The file.

    Raises:
        OutputError: the file cannot be written; nothing was erased.
        Unreachable: no usable answer; what was saved stays saved.
    """
    # One name for all: a run that was killed while it saved leaves a part under it, which the next run takes over.
    wanted = path or Path("replaced.jsonl")
    # The same command that goes on after a kill has saved to that name already.
    chosen = next(name for name in next_names(wanted) if not name.exists())
    with new_file(chosen) as stream:
        writer = JsonlWriter(stream)
        last = [_save(target.door.rows(plan.session), writer) for plan in plans.of(Status.REPLACE)]
        writer.finish()
    for plan, last_id in zip(plans.of(Status.REPLACE), last, strict=True):
        _erase(plan, last_id, target)
    return chosen


def _save(rows: Iterable[Row], writer: JsonlWriter) -> str | None:
    """Write the rows of one session and return the ``_id`` of the last one; None if there are none any more."""
    last = None
    for row in rows:
        writer.write(Page([row], len(row.raw)))
        last = row.id
    return last


def _erase(plan: SessionPlan, last: str | None, target: Target) -> None:
    if target.journal is not None:
        target.journal.forget(plan.session)
    if last is not None:
        target.door.erase(plan.session, last)
