"""``convex-msgs sync``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sync_tool.cli.help import Command
from sync_tool.cli.options import manners, selection, sync_connection
from sync_tool.cli.report import Shared
from sync_tool.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync_tool.commands.history import History
    from sync_tool.commands.sync.report import SyncReport
    from sync_tool.commands.sync.sync import SyncVia


@click.command(
    "sync",
    cls=Command,
    short_help="Record in an archive what is new, changed and deleted.",
    examples=(
        "convex-msgs sync backup/ --create --env-file .env.msgs    the first time",
        "convex-msgs sync backup/ --env-file .env.msgs             from then on: only what is new",
        "convex-msgs sync backup/ --lock-wait 10m -q               from cron",
    ),
    exits=(
        Exit.DIFFERS, Exit.UNREACHABLE, Exit.REFUSED, Exit.DAMAGED, Exit.NO_ARCHIVE, Exit.LOCKED,
    ),
)  # fmt: skip
@manners
@click.argument("archive")
@click.option("--create", is_flag=True, help="Make the archive, if there is none.")
@click.option("--full", is_flag=True, help="Read everything and compare it, due or not.")
@click.option(
    "--full-every",
    metavar="SPAN",
    default="7d",
    show_default=True,
    help="Without streaming: read everything when that was so long ago. It finds edits and deletions.",
)
@click.option(
    "--lookback",
    metavar="SPAN",
    default="10m",
    show_default=True,
    help="Without streaming: begin so long before the end of the last run, for rows that came late.",
)
@click.option("--allow-shared", is_flag=True, help="Write an archive also where other users may write.")
@click.option("--allow-shrink", is_flag=True, help="Record also that more than 10 % and more than 100 rows are gone.")
@click.option("--rebind", is_flag=True, help="Go on with another deployment, into which this archive was restored.")
@click.option(
    "--lock-wait",
    metavar="SPAN",
    envvar="CONVEX_MSGS_LOCK_WAIT",
    show_envvar=True,
    default="0s",
    show_default=True,
    help="Wait so long for the end of another run.",
)
@click.option(
    "--ping-url",
    metavar="URL",
    envvar="CONVEX_MSGS_PING_URL",
    show_envvar=True,
    help="Tell a watchdog: POST to URL/start, then to URL or URL/fail, as healthchecks.io takes it.",
)
@click.option(
    "--metrics-file",
    metavar="FILE",
    envvar="CONVEX_MSGS_METRICS_FILE",
    show_envvar=True,
    help="Write metrics for Prometheus' textfile collector.",
)
@click.option(
    "--max-read", metavar="SIZE", envvar="CONVEX_MSGS_MAX_READ", show_envvar=True, help="Read at most this much."
)
@click.option(
    "--step-size",
    metavar="SIZE",
    default="32MiB",
    show_default=True,
    help="What is read or written between two points from which a run that was cut off goes on.",
)
@selection
@sync_connection
@click.pass_obj
def command(
    shared: Shared,
    /,
    archive: str,
    connect: Callable[[], History],
    via: SyncVia,
    selection: dict[str, Any],
    **options: Any,
) -> None:
    """Record in the folder ARCHIVE what is new, changed and deleted in a deployment since the last run.

    One way, from the deployment to the folder. Where changes can be streamed, every edit and deletion is
    seen and the archive equals the table at one moment. Elsewhere new rows are read in time order, and a
    full pass now and then finds edits and deletions. A run that was cut off is gone on with by the same
    command. If far too much would be recorded as deleted, nothing is recorded.

    A selection given with the first run belongs to the archive from then on.
    """
    from sync_tool.commands.sync.sync import sync

    report = sync(connect, archive, via=via, progress=shared, **options, **selection)
    shared.finish(report, _said(report))


def _said(report: SyncReport) -> str:
    from sync_tool.text import duration, plural, size

    what = f"{plural(report.rows, 'row')}, {plural(report.sessions, 'session')}, {size(report.archive_bytes)}"
    if report.rows != report.new:
        what += f" ({report.new:,} new, {report.changed:,} changed, {report.deleted:,} deleted)"
    done = f"run {report.run}: {what}, {duration(report.seconds)}"
    if report.consistent is not None:
        return f"{done}; consistent at {report.consistent:%H:%M:%S}"
    how = "full pass" if report.full else "new rows only"
    return f"{done}; {how}, read from {report.started:%H:%M:%S} to {report.ended:%H:%M:%S} UTC"
