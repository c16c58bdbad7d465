"""``convex-msgs convert``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from sync_tool.cli.help import Command
from sync_tool.cli.options import AS_OF, PROCESSES, manners, names, output_options, selection, training
from sync_tool.cli.report import Shared
from sync_tool.errors import Exit, UsageError

if TYPE_CHECKING:
    from sync_tool.commands.convert import ConvertReport
    from sync_tool.commands.export.folder import PartitionBy
    from sync_tool.rows.model import Names


@click.command(
    "convert",
    cls=Command,
    examples=(
        "convex-msgs convert snapshot.zip -o messages.parquet     a zip of `npx convex export`, for DuckDB, pandas",
        "convex-msgs convert snapshot.zip -s cust-42 -o chat.md   one session of it, to read",
        "convex-msgs convert messages.jsonl -o messages.zip       what `npx convex import` takes, every type kept",
        "convex-msgs convert a.parquet -o train.jsonl -f openai --system prompt.txt --end-with assistant",
        "convex-msgs convert july.parquet august.jsonl -o all.jsonl.zst",
        "jq -c 'select(.message.type != \"tool\")' a.jsonl | convex-msgs convert - -o b.parquet",
    ),
    exits=(Exit.DAMAGED, Exit.LOCKED, Exit.PIPE_CLOSED),
)
@manners
@click.argument("inputs", nargs=-1, required=True, metavar="IN…")
@output_options
@AS_OF
@PROCESSES
@selection
@training
@names
@click.pass_obj
def command(
    shared: Shared,
    inputs: tuple[str, ...],
    output: str | None,
    kind: str | None,
    partition_by: PartitionBy | None,
    overwrite: bool,
    as_of: str | None,
    processes: int | None,
    selection: dict[str, Any],
    training: dict[str, Any],
    names: Names,
) -> None:
    """Write messages of files into another format: one session, a selection, or all.

    IN is a JSONL, Parquet or zip file (also one of `npx convex export`), a folder that `export` wrote,
    an archive that `sync` keeps, another store (redis://…, env:NAME), or - for JSONL on standard input.
    Several become one history in session order: rows with the same _id and content count once; with the
    same _id and other content nothing is written. Files in no order are sorted in the temporary folder, and
    the room that takes is said before.
    """
    from sync_tool.commands.convert import convert
    from sync_tool.commands.export.export import STDOUT
    from sync_tool.commands.opening import open_source

    to_stdout = output in (None, STDOUT)
    if to_stdout and sys.stdout.isatty() and (not selection["sessions"] or kind in ("parquet", "zip")):
        raise UsageError("that does not belong on a terminal.", hint=[("give", "-o FILE, or -s ID for one session")])
    opened = [click.get_current_context().with_resource(open_source(name, as_of=as_of)) for name in inputs if as_of]
    report = convert(
        opened or inputs,
        output or STDOUT,
        format=kind,
        partition_by=partition_by,
        overwrite=overwrite,
        names=names,
        progress=shared,
        processes=processes,
        **selection,
        **training,
    )
    shared.finish(report, _said(report, None if to_stdout else output))


def _said(report: ConvertReport, output: str | None) -> str:
    from sync_tool.commands.export.training import conversations_of
    from sync_tool.text import duration, plural, size

    what = plural(report.rows, "message")
    if report.sessions is not None:
        what += f", {plural(report.sessions, 'session')}"
    total = size(sum(file.bytes for file in report.files))
    there = "stdout"
    if output is not None:
        files = total if len(report.files) == 1 else f"{plural(len(report.files), 'file')}, {total}"
        there = f"{output} ({files})"
    lines = [f"{what} -> {there} in {duration(report.seconds)}"]
    if report.training is not None:
        lines = [f"{conversations_of(report.training)} -> {output or there}", *report.training.lines()]
    if report.repeated:
        lines.append(f"{plural(report.repeated, 'row')} stood there again, equal in _id and content, and counted once.")
    if report.rows == 0:
        lines.append("no message was selected.")
    return "\n".join(lines)
