"""``verify``: checks that an archive is whole, and that it restores."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Unpack

from sync_tool.archive.checking import Check, Findings, Share
from sync_tool.archive.layout import Layout, is_archive
from sync_tool.archive.reader import ArchiveRows
from sync_tool.archive.sealed_files import Proof, Run
from sync_tool.commands.arguments import parse_span
from sync_tool.commands.diff.diff import diff
from sync_tool.commands.history import History
from sync_tool.commands.opening import connect, open_source
from sync_tool.commands.options import VerifyKeywords, VerifyOptions
from sync_tool.commands.restore.restore import TableNotEmpty, restore
from sync_tool.errors import Exit, NoArchive, OutputError, UsageError
from sync_tool.keywords import strict_keywords
from sync_tool.rows.model import Names
from sync_tool.rows.ports import SILENT, Progress

SANDBOX = "sandbox"


@dataclass(frozen=True, slots=True)
class RestoreCheck:
    """Result of restoring, reading back and comparing."""

    target: str
    """``sandbox``, or the deployment."""
    equal: int
    """Sessions that equal those of the archive."""
    different: int


def prove(rows: ArchiveRows, address: str | None, progress: Progress) -> tuple[RestoreCheck, str | None]:
    """Restore, read back and compare session by session; record the date if all are equal.

    Args:
        rows: the rows to restore.
        address: of a deployment with an empty table; None for a new sandbox.
        progress: shows the progress.

    Returns:
        The result, and the reason if the date could not be recorded, such as an archive that cannot be written.

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
    return RestoreCheck(title, difference.same, different), unkept


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
        with open_source(address, names=names) as history:
            yield history
        return
    try:
        from sync_tool.sandbox.child import SandboxFailedError, running_child
        from sync_tool.sandbox.options import Naming
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the sandbox needs {error.name}, which is not installed.",
            hint=[
                ("install", "pip install '.[sandbox]', in a checkout of convex-msgs"),
                ("or", "--restore-to ADDRESS"),
            ],
        ) from None
    naming = Naming(names.table, names.index, names.session_field)
    try:
        with running_child(naming) as child, connect(env_file=child.env_file, names=names) as history:
            yield history
    except SandboxFailedError as error:
        raise UsageError(f"the sandbox did not start: {error}") from None


_SHARE: Final = re.compile(r"^([1-9]\d{0,5})/([1-9]\d{0,5})$")


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The result of ``verify``; the object that ``--json`` prints."""

    archive: str
    whole: bool
    """True if nothing that was checked is damaged."""
    inside: bool
    """True if every record was checked; else only names, sizes and small files, or a share of the parts."""
    run: str | None
    """The newest run, or the one of ``--as-of``; None if none is complete."""
    rows: int
    """Rows after that run."""
    sessions: int
    files: int
    """Number of intact files."""
    damaged: tuple[str, ...]
    """A sentence for each damaged file."""
    good: str | None
    """The newest run that is intact together with all runs before it."""
    notes: tuple[str, ...]
    age: float | None
    """Seconds since the newest run ended."""
    too_old: bool
    restored: RestoreCheck | None
    seconds: float
    exit_code: int
    """0; 4 if it is too old, no run is complete, or a restore came out different; 7 if something is damaged."""


@strict_keywords(VerifyOptions)
def verify(archive: str | Path, *, restore: bool | str = False, **keywords: Unpack[VerifyKeywords]) -> VerifyReport:
    """Check every file of an archive; with `restore`, restore it and compare.

    Args:
        archive: its folder.
        restore: restore into a sandbox of its own, or into an empty table of the deployment of this address; read
            back, compare, and note the date.
        keywords: `VerifyOptions`.

    Raises:
        NoArchive: there is none.
        UsageError: a subset or an age that cannot be read; no sandbox is installed; the table is not empty.
        Refused: the deployment to restore to refused.
        Unreachable: it gave no answer.
    """
    started = time.monotonic()
    options = VerifyOptions(**keywords)
    progress = options.progress or SILENT
    oldest = None if options.max_age is None else parse_span(options.max_age, "--max-age")
    share, quick = _share(options.subset), options.quick
    layout = Layout(Path(archive).expanduser())
    if not is_archive(layout.root) and not layout.run_names():
        raise NoArchive(f"no archive at {layout.root}.")
    progress.begin(f"{layout.root}", None)
    found = Check(layout, quick=quick, share=share, step=lambda part: progress.advance(part.records, part.bytes)).run()
    age = None if not found.chain else _age(found.chain[-1][0])
    too_old = oldest is not None and (age is None or age > oldest)
    run = _meant(layout, found, options.as_of)
    restored = None
    if not found.damaged and run is not None and restore:
        restored, unkept = _restored(layout, run.run, None if restore is True else restore, progress)
        if unkept is not None:
            found.notes.append(f"the date of this restore was not kept: {unkept}")
    return VerifyReport(
        archive=str(archive),
        whole=not found.damaged,
        inside=found.inside,
        run=run.run if run else None,
        rows=run.totals.rows if run else 0,
        sessions=run.totals.sessions if run else 0,
        files=found.files,
        damaged=tuple(found.damaged),
        good=found.good,
        notes=tuple(found.notes),
        age=age,
        too_old=too_old,
        restored=restored,
        seconds=time.monotonic() - started,
        exit_code=int(_exit_code(found, run, too_old=too_old, restored=restored)),
    )


def _meant(layout: Layout, found: Findings, as_of: str | datetime | None) -> Run | None:
    if found.damaged or not found.chain or as_of is None:
        return found.chain[-1][0] if found.chain else None
    return ArchiveRows(layout.root, as_of).run


def _restored(layout: Layout, run: str, address: str | None, progress: Progress) -> tuple[RestoreCheck, str | None]:
    rows = ArchiveRows(layout.root, run)
    try:
        return prove(rows, address, progress)
    finally:
        rows.close()


def _exit_code(found: Findings, run: Run | None, *, too_old: bool, restored: RestoreCheck | None) -> Exit:
    if found.damaged:
        return Exit.DAMAGED
    different = restored is not None and restored.different > 0
    return Exit.DIFFERS if too_old or run is None or different else Exit.DONE


def _age(run: Run) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(run.ended)).total_seconds()


def _share(text: str | None) -> Share:
    if text is None:
        return Share()
    match = _SHARE.match(text)
    if not match or int(match[1]) > int(match[2]):
        raise UsageError(f"--subset {text!r} is not a share.", hint=[("like", "1/7, and the next day 2/7")])
    return Share(int(match[1]), int(match[2]))
