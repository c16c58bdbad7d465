"""``convex-msgs init``."""

from __future__ import annotations

import click

from sync_tool.cli.help import Command
from sync_tool.cli.options import manners
from sync_tool.cli.report import Shared


@click.command(
    "init",
    cls=Command,
    examples=("convex-msgs init", "convex-msgs init --read-only ~/my-app"),
)
@manners
@click.argument("project", default=".", metavar="[FOLDER]")
@click.option("--read-only", is_flag=True, help="Leave out the functions that append and erase.")
@click.option("--table", default="messages", show_default=True, metavar="NAME", help="Table, for the schema lines.")
@click.option("--index", default="bySessionId", show_default=True, metavar="NAME", help="Index, for the schema lines.")
@click.option(
    "--session-field", default="sessionId", show_default=True, metavar="NAME", help="Field of the session id."
)
@click.option("--message-field", default="message", show_default=True, metavar="NAME", help="Field of the message.")
@click.pass_obj
def command(
    shared: Shared,
    project: str,
    read_only: bool,
    table: str,
    index: str,
    session_field: str,
    message_field: str,
) -> None:
    """Add convexMsgs.ts to a Convex project: exact pages of any history, cheap lists of sessions.

    Writes this one file into the functions folder (convex/, or what convex.json says), never over a file
    of somebody else's. All its functions are internal: only a deploy or admin key can call them. The
    lines for the schema are printed, not written.
    """
    from sync_tool.commands.init import init
    from sync_tool.rows.model import Names

    report = init(project, read_only=read_only, names=Names(table, index, session_field, message_field))
    if shared.as_json:
        shared.json(report)
        return
    shared.note(f"{'wrote' if report.written else 'already there:'} {report.path}")
    shared.note("the schema needs this table (convex/schema.ts); add what is missing:\n")
    shared.data(report.schema)
    shared.note(
        "\nthen bring it to your deployment the way you always do: `npx convex dev` pushes to your dev deployment.\n"
        "(`npx convex deploy` pushes everything in this working tree, to production.)"
    )
