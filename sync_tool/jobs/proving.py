"""Restoring an archive into a deployment, reading it back, and comparing: the proof that it restores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from sync_tool.archive.proofs import Proof
from sync_tool.archive.reader import ArchiveRows
from sync_tool.errors import OutputError, UsageError
from sync_tool.jobs.diff import DiffReport, diff
from sync_tool.jobs.history import History
from sync_tool.jobs.opening import connect, open_address
from sync_tool.jobs.restore import TableNotEmpty, restore
from sync_tool.model import Names
from sync_tool.ports import Progress

SANDBOX = "sandbox"


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of a restore."""

    target: str
    """``sandbox``, or the deployment's title."""
    equal: int
    """Sessions that came back as they are in the archive."""
    different: int
    difference: DiffReport
    unkept: str | None = None
    """Why the date could not be kept: the archive is a copy that cannot be written, say."""


def prove(rows: ArchiveRows, address: str | None, progress: Progress) -> Restored:
    """Restore, read back, compare session by session; keep the date if all are equal.

    Args:
        rows: what to restore.
        address: an empty table of a deployment; None for a sandbox of its own.
        progress: who is told how far it is.

    Raises:
        UsageError: the sandbox is not installed, or the table is not empty; nothing is written into it then.
        Refused: the deployment refused the key or the rows.
        Unreachable: no answer.
    """
    unkept = None
    with _target(address, rows.names) as target:
        if rows.run.totals.rows:  # an empty table needs no restore, and a deployment takes none
            _restore_into(rows, target, progress)
        difference = diff(rows, target, by="rows", progress=progress)
        title = SANDBOX if address is None else target.title
    different = difference.only_here + difference.only_there + difference.extended
    different += difference.reordered + difference.changed
    if not different:
        run, seal = rows.chain[-1]
        now = datetime.now(UTC).isoformat()
        try:
            Proof(run.run, seal, now, title, run.totals.rows, run.totals.sessions).write(rows.layout)
        except OutputError as error:
            unkept = error.message
    return Restored(title, difference.same, different, difference, unkept)


def _restore_into(rows: ArchiveRows, target: History, progress: Progress) -> None:
    try:
        restore(rows, target, yes=True, progress=progress)
    except TableNotEmpty as error:  # what restore would advise is no option here: a proof never deletes rows
        raise UsageError(
            error.message, hint=[("give", "a deployment whose table is empty, such as a new one")]
        ) from None


@contextmanager
def _target(address: str | None, names: Names) -> Iterator[History]:
    if address is not None:
        with open_address(address, names=names) as history:
            yield history
        return
    try:
        from sync_tool.sandbox.child import SandboxFailedError, running_child
        from sync_tool.sandbox.options import Naming
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the sandbox needs {error.name}, which is not installed.",
            hint=[("install", "pip install 'convex-msgs[sandbox]'"), ("or", "--restore-to ADDRESS")],
        ) from None
    naming = Naming(names.table, names.index, names.session_field)
    try:
        with running_child(naming) as child, connect(env_file=child.env_file, names=names) as history:
            yield history
    except SandboxFailedError as error:
        raise UsageError(f"the sandbox did not start: {error}") from None
