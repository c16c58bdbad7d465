"""``convex-msgs restore``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sync_tool.cli.help import Command
from sync_tool.cli.options import general, names, options
from sync_tool.cli.report import Console, confirm, on_terminal
from sync_tool.commands.options import RestoreOptions
from sync_tool.errors import Exit

if TYPE_CHECKING:
    from sync_tool.commands.restore.package import RestorePlan, RestoreReport


@click.command(
    "restore",
    cls=Command,
    short_help="Write a whole table back, with ids and times.",
    examples=(
        "convex-msgs restore messages.jsonl --to @.env.msgs --dry-run         what it would do",
        "convex-msgs restore messages.jsonl --to @.env.msgs                   into an empty table",
        "convex-msgs restore backup/ --as-of 2026-08-21 --to @.env.msgs       an archive as it was then",
        "convex-msgs restore snapshot.zip --to @.env.msgs --replace --yes     in the place of what is there",
    ),
    exits=(Exit.DIFFERS, Exit.UNREACHABLE, Exit.REFUSED, Exit.DAMAGED, Exit.LOCKED),
)
@click.argument("source", metavar="SOURCE")
@click.option(
    "--to",
    "target",
    metavar="ADDRESS",
    required=True,
    help="Target deployment: @FILE (an env file), a URL, live (of the environment), env:NAME.",
)
@options(RestoreOptions)
@general
@names
@click.pass_obj
def restore_command(console: Console, /, source: str, target: str, **options: Any) -> int:
    """Write the rows of a file or an archive back to a deployment, with their own _id and _creationTime.

    The whole table changes in one step, or not at all. The deployment's own snapshot import does it, and checks
    every row against the schema. It needs a key that may import. Ctrl-C cancels. If the command is killed after
    its plan was confirmed, the deployment continues; the same command waits for the end.

    Without --replace the table must be empty. Rows are never added to existing ones.
    """
    from sync_tool.commands.restore.restore import restore

    console.watch_retries()
    report = restore(source, target, decide=_ask if on_terminal(console) else None, progress=console, **options)
    console.finish(report, _summary(report))
    return int(report.exit_code)


def _ask(plan: RestorePlan) -> bool:
    gone = f"delete {plan.deletes:,} rows and " if plan.deletes else ""
    return confirm(f"{gone}write {plan.writes:,} rows to {plan.target}?".capitalize())


def _summary(report: RestoreReport) -> str:
    from sync_tool.text import duration, plural

    if report.dry_run:
        return "dry run: nothing was written."
    what = plural(report.rows, "row")
    if report.joined:
        done = f"{what} -> {report.target}, table {report.table}, by the import that an earlier call began"
    else:
        done = f"{what} -> {report.target}, table {report.table} in {duration(report.seconds)}"
    if report.rows_after is None:
        return f"{done}; the deployment does not say how many rows the table holds now"
    if report.rows_after == report.rows:
        return f"{done}; the table holds as many now"
    return f"{done}; the table holds {report.rows_after:,} now: something else has written since"
