"""``convex-msgs sync``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sync_tool.cli.help import Command
from sync_tool.cli.options import Connect, ConnectionOptions, connection, general, options
from sync_tool.cli.report import Console
from sync_tool.commands.options import SyncOptions
from sync_tool.errors import Exit

if TYPE_CHECKING:
    from sync_tool.commands.sync.report import SyncReport
    from sync_tool.rows.model import Names


@click.command(
    "sync",
    cls=Command,
    short_help="Record new, changed and deleted rows in an archive.",
    examples=(
        "convex-msgs sync backup/ --create --env-file .env.msgs    the first time",
        "convex-msgs sync backup/ --env-file .env.msgs             from then on: only what is new",
        "convex-msgs sync backup/ --lock-wait 10m -q               from cron",
    ),
    exits=(
        Exit.DIFFERS, Exit.UNREACHABLE, Exit.REFUSED, Exit.DAMAGED, Exit.NO_ARCHIVE, Exit.LOCKED,
    ),
)  # fmt: skip
@general
@click.argument("archive")
@options(SyncOptions)
@connection(ConnectionOptions)
@click.pass_obj
def sync_command(console: Console, /, archive: str, connect: Connect, names: Names, **options: Any) -> None:
    """Record in the folder ARCHIVE new, changed and deleted rows since the last run.

    One direction, from the deployment to the folder. With streaming, every edit and deletion is seen and the
    archive equals the table at one moment. Without it, new rows are read in time order, and a regular full pass
    finds edits and deletions. Run the same command to resume an interrupted run. A run that would delete far too
    much records nothing.

    A selection given with the first run belongs to the archive from then on.
    """
    from sync_tool.commands.sync.sync import sync

    via = options["via"] if options["via"] in ("functions", "system") else None
    report = sync(lambda: connect(via=via), archive, progress=console, **options)
    console.finish(report, _summary(report))


def _summary(report: SyncReport) -> str:
    from sync_tool.text import duration, plural, size

    what = f"{plural(report.rows, 'row')}, {plural(report.sessions, 'session')}, {size(report.archive_bytes)}"
    if report.rows != report.new:
        what += f" ({report.new:,} new, {report.changed:,} changed, {report.deleted:,} deleted)"
    done = f"run {report.run}: {what}, {duration(report.seconds)}"
    if report.consistent is not None:
        return f"{done}; consistent at {report.consistent:%H:%M:%S}"
    how = "full pass" if report.full else "new rows only"
    return f"{done}; {how}, read from {report.started:%H:%M:%S} to {report.ended:%H:%M:%S} UTC"
