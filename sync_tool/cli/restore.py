"""``convex-msgs restore``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sync_tool.cli.help import Command
from sync_tool.cli.options import AS_OF, manners, names, selection
from sync_tool.cli.report import Shared, confirm, on_terminal
from sync_tool.errors import Exit

if TYPE_CHECKING:
    from sync_tool.commands.restore.package import RestorePlan, RestoreReport
    from sync_tool.rows.model import Names


@click.command(
    "restore",
    cls=Command,
    short_help="Put rows back with their ids and times: the whole table.",
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
    help="The deployment: @FILE (an env file), a URL, live (of the environment), env:NAME.",
)
@AS_OF
@click.option("--replace", is_flag=True, help="Delete the rows that the table holds, in the same step.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before rows are deleted, or on a production deployment.")
@click.option("--dry-run", is_flag=True, help="Upload, show the plan as the deployment counted it, and cancel.")
@manners
@selection
@names
@click.pass_obj
def command(
    shared: Shared,
    source: str,
    target: str,
    as_of: str | None,
    replace: bool,
    yes: bool,
    dry_run: bool,
    selection: dict[str, Any],
    names: Names,
) -> int:
    """Put the rows of a file or an archive back into a deployment, with their own _id and _creationTime.

    The whole table changes in one step, or not at all: it is the deployment's own snapshot import, which checks
    every row against the schema. Needs a key that may import. Ctrl-C cancels. A call that was killed after its
    plan was confirmed goes on in the deployment: the same command waits for its end.

    Without --replace the table must be empty. Rows are never added to those that are there.
    """
    from sync_tool.commands.opening import open_source
    from sync_tool.commands.restore.restore import restore

    shared.watch_retries()
    with open_source(source, as_of=as_of, names=names) as rows, open_source(target, names=names) as deployment:
        report = restore(
            rows,
            deployment,
            replace=replace,
            yes=yes,
            dry_run=dry_run,
            decide=_ask if on_terminal(shared) else None,
            progress=shared,
            **selection,
        )
    shared.finish(report, _said(report))
    return int(report.exit_code)


def _ask(plan: RestorePlan) -> bool:
    gone = f"delete {plan.deletes:,} rows and " if plan.deletes else ""
    return confirm(f"{gone}write {plan.writes:,} rows to {plan.target}?".capitalize())


def _said(report: RestoreReport) -> str:
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
