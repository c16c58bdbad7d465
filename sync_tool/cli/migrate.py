"""``convex-msgs migrate``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from sync_tool.cli.help import Command
from sync_tool.cli.import_ import GOES_ON, ask, import_options, said, trouble
from sync_tool.cli.options import connection_when_asked, manners, selection
from sync_tool.cli.report import Shared, on_terminal
from sync_tool.errors import Conflict, Exit

if TYPE_CHECKING:
    from sync_tool.commands.history import History
    from sync_tool.rows.model import Names


@click.command(
    "migrate",
    cls=Command,
    short_help="Bring messages of another deployment or store into a deployment.",
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
@import_options
@click.option("--max-read", metavar="SIZE", envvar="CONVEX_MSGS_MAX_READ", help="Read at most this much of the source.")
@manners
@selection
@connection_when_asked
@click.pass_obj
def command(
    shared: Shared,
    /,
    source: str,
    to: str | None,
    selection: dict[str, Any],
    connect: Callable[..., History],
    names: Names,
    **options: Any,
) -> int:
    """Bring the messages of a deployment, or of another store of LangChain's, into a deployment.

    The same as `import` with another source: the same plan, conflicts, quarantine and safety. At the end both
    sides are read again and compared.
    """
    from sync_tool.commands.import_.run import migrate

    shared.when_stopped = GOES_ON
    decide = ask if on_terminal(shared) else None
    options["compare"] = True
    try:
        told = connect(source, source=True)
        report = migrate(told, connect(to), names=names, decide=decide, progress=shared, **options, **selection)
    except Conflict as conflict:
        report = conflict.report
    shared.finish(report, said(report), trouble=trouble(report))
    return int(report.exit_code)
