"""``convex-msgs migrate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sync_tool.cli.help import Command
from sync_tool.cli.import_ import WHEN_STOPPED, ask, summary, to, trouble
from sync_tool.cli.options import Connect, connection, general, options
from sync_tool.cli.report import Console, on_terminal
from sync_tool.commands.options import MigrateOptions
from sync_tool.errors import Conflict, Exit

if TYPE_CHECKING:
    from sync_tool.rows.model import Names


@click.command(
    "migrate",
    cls=Command,
    short_help="Write messages of another deployment or store into a deployment.",
    examples=(
        "convex-msgs migrate --from @.env.dev --to @.env.prod --dry-run      the plan, nothing is written",
        "convex-msgs migrate --from @.env.dev --to @.env.prod                what the other one does not have",
        "convex-msgs migrate --from @.env.dev --to @.env.prod --keep-times   into an empty table, with its times",
        "convex-msgs migrate --from env:REDIS_URL --to @.env.prod            from LangChain's lists in Redis",
        "convex-msgs migrate --from sqlite:///chats.db --to @.env.prod       from its table in a database",
    ),
    exits=(Exit.SET_ASIDE, Exit.UNREACHABLE, Exit.REFUSED),
)
@click.option(
    "--from",
    "source",
    metavar="ADDRESS",
    required=True,
    help="A deployment (@FILE, a URL, live), a store (redis://…, postgresql://…, sqlite:///…, mongodb://…, "
    "dynamodb://…, a JSON file of LangChain's), or env:NAME, a variable that holds one.",
)
@to
@options(MigrateOptions)
@general
@connection()
@click.pass_obj
def migrate_command(
    console: Console,
    /,
    source: str,
    to: str | None,
    connect: Connect,
    names: Names,
    **options: Any,
) -> int:
    """Write the messages of a deployment, or of another LangChain store, into a deployment.

    The same as `import` with another source: the same plan, conflicts, quarantine and safety. At the end both
    sides are read again and compared.
    """
    from sync_tool.commands.import_.run import migrate

    console.when_stopped = WHEN_STOPPED
    decide = ask if on_terminal(console) else None
    try:
        read = connect(source, source=True)
        report = migrate(read, connect(to), names=names, decide=decide, progress=console, **options)
    except Conflict as conflict:
        report = conflict.report
    console.finish(report, summary(report), trouble=trouble(report))
    return int(report.exit_code)
