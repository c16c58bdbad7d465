"""``convex-msgs runs``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from sync_tool.cli.help import Command
from sync_tool.cli.options import general
from sync_tool.cli.report import Console
from sync_tool.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync_tool.commands.runs import RunsReport

_TITLES: Final = ("RUN", "ROWS", "NEW", "CHANGED", "DELETED", "WHOLE?", "RESTORED?")


@click.command(
    "runs",
    cls=Command,
    short_help="List the runs of an archive.",
    examples=("convex-msgs runs backup/", "convex-msgs runs backup/ --json | jq '.runs[-1]'"),
    exits=(Exit.DAMAGED, Exit.NO_ARCHIVE),
)
@general
@click.argument("archive")
@click.pass_obj
def runs_command(console: Console, archive: str) -> None:
    """List the runs of an archive: counts, presence of files, and the date of the last test restore.

    The name of a run is its start time (UTC), which --as-of takes. WHOLE? checks the sizes of the files;
    `verify` reads them. RESTORED? is the day of the last `verify --restore` of that run.
    """
    from sync_tool.commands.runs import runs

    report = runs(archive)
    if console.as_json:
        console.json(report)
        return
    for line in _lines(report):
        console.data(line)


def _lines(report: RunsReport) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [_TITLES]
    for run in report.runs:
        counts = tuple(f"{number:,}" for number in (run.rows, run.new, run.changed, run.deleted))
        restored = "no" if run.restored is None else f"yes, {run.restored:%Y-%m-%d}"
        rows.append((run.run, *counts, "yes" if run.whole else "no", restored))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_TITLES))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
