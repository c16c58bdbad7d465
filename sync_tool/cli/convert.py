"""``convex-msgs convert``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from sync_tool.cli.help import Command
from sync_tool.cli.options import general, names, options, output
from sync_tool.cli.report import Console
from sync_tool.commands.options import ConvertOptions
from sync_tool.errors import Exit, UsageError

if TYPE_CHECKING:
    from sync_tool.commands.convert import ConvertReport


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
@general
@click.argument("inputs", nargs=-1, required=True, metavar="IN…")
@output
@options(ConvertOptions)
@names
@click.pass_obj
def convert_command(console: Console, /, inputs: tuple[str, ...], output: str | None, **options: Any) -> None:
    """Write messages of files in another format: one session, a selection, or all.

    IN is a JSONL, Parquet or zip file (also one of `npx convex export`), a folder that `export` wrote,
    an archive that `sync` keeps, another store (redis://…, env:NAME), or - for JSONL on standard input.
    Several inputs become one history in session order. Rows with the same _id and content count once; the same
    _id with other content is an error, and nothing is written. Unordered files are sorted in the temporary
    folder, and the space this needs is printed first.
    """
    from sync_tool.commands.convert import convert
    from sync_tool.commands.export.export import STDOUT

    to_stdout = output in (None, STDOUT)
    if to_stdout and sys.stdout.isatty() and (not options["sessions"] or options["format"] in ("parquet", "zip")):
        raise UsageError("that does not belong on a terminal.", hint=[("give", "-o FILE, or -s ID for one session")])
    report = convert(inputs, output or STDOUT, progress=console, **options)
    console.finish(report, _summary(report, None if to_stdout else output))


def _summary(report: ConvertReport, output: str | None) -> str:
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
        lines.append(f"{plural(report.repeated, 'row')} repeated with equal _id and content, counted once.")
    if report.rows == 0:
        lines.append("no message was selected.")
    return "\n".join(lines)
