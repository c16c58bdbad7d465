"""``convex-msgs init``."""

from __future__ import annotations

import click

from sync_tool.cli.help import Command
from sync_tool.cli.options import general, names
from sync_tool.cli.report import Console
from sync_tool.rows.model import Names


@click.command(
    "init",
    cls=Command,
    examples=("convex-msgs init", "convex-msgs init --read-only ~/my-app"),
)
@general
@click.argument("project", default=".", metavar="[FOLDER]")
@click.option("--read-only", is_flag=True, help="Leave out the functions that append and erase.")
@names
@click.pass_obj
def init_command(console: Console, project: str, read_only: bool, names: Names) -> None:
    """Add convexMsgs.ts to a Convex project: exact pages of any history, cheap lists of sessions.

    Writes only this file, into the functions folder (convex/, or the one that convex.json names), and never
    over a file of other origin. All its functions are internal: only a deploy or admin key can call them. The
    lines for the schema are printed, not written.
    """
    from sync_tool.commands.init import init

    report = init(project, read_only=read_only, names=names)
    if console.as_json:
        console.json(report)
        return
    console.note(f"{'wrote' if report.written else 'already there:'} {report.path}")
    console.note("the schema needs this table (convex/schema.ts); add what is missing:\n")
    console.data(report.schema)
    console.note(
        "\nthen deploy it as usual: `npx convex dev` pushes to your dev deployment.\n"
        "(`npx convex deploy` pushes everything in this working tree, to production.)"
    )
