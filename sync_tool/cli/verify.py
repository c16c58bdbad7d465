"""``convex-msgs verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sync_tool.cli.help import Command
from sync_tool.cli.options import general, options
from sync_tool.cli.report import Console
from sync_tool.commands.options import VerifyOptions
from sync_tool.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync_tool.commands.verify import VerifyReport


@click.command(
    "verify",
    cls=Command,
    examples=(
        "convex-msgs verify backup/                            every byte, every row",
        "convex-msgs verify backup/ --restore                  and that it restores, into a sandbox of its own",
        "convex-msgs verify backup/ --restore-to @scratch.env  the same on a real backend, into an empty table",
        "convex-msgs verify backup/ --max-age 26h --quick -q   from cron: is there a run of the last day?",
        "convex-msgs verify backup/ --subset 1/7               a seventh of the parts; 2/7 tomorrow",
    ),
    exits=(Exit.DIFFERS, Exit.UNREACHABLE, Exit.REFUSED, Exit.DAMAGED, Exit.NO_ARCHIVE),
)
@general
@click.argument("archive")
@options(VerifyOptions)
@click.option("--restore", is_flag=True, help="Restore into a local sandbox, read back, compare, record the date.")
@click.option("--restore-to", metavar="ADDRESS", help="The same with a deployment whose table is empty.")
@click.pass_obj
def verify_command(console: Console, /, archive: str, restore: bool, restore_to: str | None, **options: Any) -> int:
    """Check that an archive is whole and, with --restore, that it restores.

    Every file is checked against its recorded sha256, the runs against one another, and the rows against the
    counts and digests of their run. Damaged files are named, and the last good run. Exit code 7 if anything is
    damaged; 4 if the newest run is too old, or a restore came out different.
    """
    from sync_tool.commands.verify import verify

    report = verify(archive, restore=restore_to or restore, progress=console, **options)
    console.close()
    if console.as_json:
        console.json(report)
    elif report.exit_code or not console.quiet:
        lines = list(_lines(report))
        for line in lines[-1:] if console.quiet else lines:
            console.data(line)
    return report.exit_code


def _lines(report: VerifyReport) -> Iterator[str]:
    from sync_tool.text import duration, plural

    end = f" [exit {report.exit_code}]" if report.exit_code else ""
    for damage in report.damaged:
        yield f"damaged: {damage}"
    for note in report.notes:
        yield f"note: {note}"
    if report.damaged:
        good = f"good until run {report.good}: --as-of {report.good}" if report.good else "no run is good as a whole"
        yield f"not whole: {plural(len(report.damaged), 'fault')}; {plural(report.files, 'file')} good; {good}{end}"
        return
    looked = "every sha256 and session digest right" if report.inside else "as far as was looked"
    whole = f"whole: {plural(report.files, 'file')}, {plural(report.rows, 'row')}, {looked}"
    yield whole if report.run else f"no run is complete yet{end}"
    if report.restored is not None:
        where = "a sandbox deployment" if report.restored.target == "sandbox" else report.restored.target
        equal = f"{plural(report.restored.equal, 'session')} equal, {report.restored.different:,} different"
        yield f"restored into {where}, read back, compared: {equal}{end if report.restored.different else ''}"
        if report.restored.target == "sandbox":
            yield "note: the sandbox is our stand-in; to prove it on a real backend: --restore-to @scratch.env"
    if report.too_old:
        yield f"too old: the newest run ended {duration(report.age or 0.0)} ago{end}"
