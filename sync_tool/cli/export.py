"""``convex-msgs export``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from sync_tool.cli.help import Command
from sync_tool.cli.options import Connect, connection, general, options, output
from sync_tool.cli.report import Console, is_terminal
from sync_tool.commands.options import ExportOptions
from sync_tool.errors import Exit, UsageError

if TYPE_CHECKING:
    from sync_tool.commands.export.export import ExportReport
    from sync_tool.rows.model import Names


@click.command(
    "export",
    cls=Command,
    examples=(
        "convex-msgs export -s cust-42 -o chat.md               a transcript to read",
        "convex-msgs export -s cust-42 -o chat.jsonl            the same for a machine",
        "convex-msgs export -o messages.parquet                 everything, for DuckDB, pandas, Polars",
        "convex-msgs export --partition-by month -o history/    history/month=2026-08/part-0.parquet and so on",
        "convex-msgs export backup/ --as-of 2026-08-21 -o old.jsonl   from an archive, as it was then",
        "convex-msgs export --match 'cust-*' --after 7d | jq .  the last week, onto standard output",
    ),
    exits=(Exit.DIFFERS, Exit.UNREACHABLE, Exit.REFUSED, Exit.LOCKED, Exit.PIPE_CLOSED),
)
@general
@click.argument("address", required=False)
@output
@options(ExportOptions)
@connection()
@click.pass_obj
def export_command(
    console: Console,
    /,
    address: str | None,
    output: str | None,
    as_of: str | None,
    connect: Connect,
    names: Names,
    **options: Any,
) -> None:
    """Write messages to a file or a folder: one session, a selection, or all.

    The source is the deployment that the key names, or ADDRESS: an archive, a file, @FILE (an env file),
    a URL, another store (redis://…), env:NAME.

    A file appears only when it is complete. A folder keeps its finished parts, and the same command resumes.
    Pages are read one after another, so rows written meanwhile may be missing (`sync`, or `npx convex export`,
    give one moment). Before a large read the size is estimated; on a cloud plan without streaming export more
    than 200 MB needs --max-read.
    """
    from sync_tool.commands.export.export import STDOUT, export
    from sync_tool.commands.export.training import conversations_of
    from sync_tool.commands.opening import open_source
    from sync_tool.text import duration, plural

    to_stdout = output in (None, STDOUT)
    if to_stdout and is_terminal(sys.stdout) and not options["sessions"]:
        raise UsageError(
            "a whole history does not belong on a terminal.",
            hint=[("give", "-o FILE, or -s ID for one session")],
        )
    if address is None and as_of is not None:
        raise UsageError("--as-of is for archives.", hint=[("give", "the archive: export ARCHIVE --as-of …")])
    context = click.get_current_context()
    history = context.with_resource(open_source(address, as_of=as_of, names=names)) if address else connect()
    report = export(history, output or STDOUT, progress=console, **options)
    there = "stdout" if to_stdout else f"{output} ({_size(report)})"
    what = plural(report.rows, "message")
    if report.sessions is not None:
        what += f", {plural(report.sessions, 'session')}"
    done = f"{what} -> {there} in {duration(report.seconds)}"
    if report.estimate is None:
        done += f"; read about {_megabytes(report.read_bytes)}"
    elif report.sessions != 1 and history.live:
        done += (
            f"\npages were read from {report.started:%H:%M:%S} to {report.ended:%H:%M:%S} UTC: not one moment "
            "(one moment: `npx convex export`, then `convex-msgs convert snapshot.zip`)"
        )
    if report.training is not None:
        done = "\n".join([f"{conversations_of(report.training)} -> {there}", *report.training.lines()])
    if report.rows == 0:
        done += "\nno message was selected."
    console.finish(report, done)


def _size(report: ExportReport) -> str:
    from sync_tool.text import plural, size

    total = size(sum(file.bytes for file in report.files))
    return total if len(report.files) == 1 else f"{plural(len(report.files), 'file')}, {total}"


def _megabytes(count: int) -> str:
    """Return a size in megabytes, the unit of Convex's plans, unless it is tiny."""
    from sync_tool.text import size

    return f"{count / 1e6:.1f} MB" if count >= 100_000 else size(count)
