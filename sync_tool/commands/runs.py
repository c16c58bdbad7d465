"""``runs``: lists the runs of an archive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sync_tool.archive.layout import Layout, unreadable
from sync_tool.archive.sealed_files import Run, proof_files, read_chain, read_proof
from sync_tool.keywords import strict_keywords


@dataclass(frozen=True, slots=True)
class RunInfo:
    """One run as ``runs`` lists it."""

    run: str
    way: str
    """``stream``, ``functions`` or ``system``."""
    full: bool
    """True if everything was read and compared."""
    rows: int
    sessions: int
    new: int
    changed: int
    deleted: int
    whole: bool
    """True if all parts of it and of the runs before it exist in their size; ``verify`` reads them."""
    restored: datetime | None
    """Time of the last restore that was read back and found equal."""
    consistent: datetime | None
    """The moment that it is of; None if pages were read one after the other."""
    started: datetime
    ended: datetime


@dataclass(frozen=True, slots=True)
class RunsReport:
    """The runs of an archive, oldest first; the object that ``--json`` prints."""

    archive: str
    runs: tuple[RunInfo, ...]


@strict_keywords()
def runs(archive: str | Path) -> RunsReport:
    """List the complete runs of an archive.

    Args:
        archive: its folder.

    Raises:
        NoArchive: there is none.
        Damaged: the file of a run or of a proof is damaged or missing.
    """
    layout = Layout(Path(archive).expanduser())
    layout.require()
    proven: dict[tuple[str, str], datetime] = {}
    for path in proof_files(layout):
        proof = read_proof(path)
        proven[proof.run, proof.run_sha256] = datetime.fromisoformat(proof.proven)
    whole, found = True, []
    for run, seal in read_chain(layout):
        whole = whole and _parts_are_there(layout, run)
        found.append(_info(run, whole=whole, restored=proven.get((run.run, seal))))
    return RunsReport(str(archive), tuple(found))


def _parts_are_there(layout: Layout, run: Run) -> bool:
    try:
        return all((layout.root / part.path).stat().st_size == part.bytes for part in run.parts)
    except PermissionError as error:
        raise unreadable(Path(error.filename)) from None
    except OSError:
        return False


def _info(run: Run, *, whole: bool, restored: datetime | None) -> RunInfo:
    return RunInfo(
        run=run.run,
        way=run.way,
        full=run.full,
        rows=run.totals.rows,
        sessions=run.totals.sessions,
        new=run.new,
        changed=run.changed,
        deleted=run.deleted,
        whole=whole,
        restored=restored,
        consistent=None if run.consistent is None else datetime.fromisoformat(run.consistent),
        started=datetime.fromisoformat(run.started),
        ended=datetime.fromisoformat(run.ended),
    )
