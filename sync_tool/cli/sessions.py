"""``convex-msgs sessions``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from sync_tool.cli.help import Command
from sync_tool.cli.options import connection, manners, selection
from sync_tool.cli.report import Shared
from sync_tool.errors import Exit

if TYPE_CHECKING:
    from sync_tool.commands.history import History


@click.command(
    "sessions",
    cls=Command,
    examples=(
        "convex-msgs sessions --recent 5             the newest, with the last human words",
        "convex-msgs sessions --match 'cust-*'       by id",
        "convex-msgs sessions --count --after 7d     with numbers of messages, of the last week",
    ),
    exits=(Exit.UNREACHABLE, Exit.REFUSED),
)
@manners
@click.option(
    "--recent",
    metavar="N",
    type=click.IntRange(min=1),
    help="Only the N with the newest messages, newest first.",
)
@click.option("--count", is_flag=True, help="Count messages too: reads every one of them.")
@selection
@connection
@click.pass_obj
def command(shared: Shared, history: History, recent: int | None, count: bool, selection: dict[str, Any]) -> None:
    """List sessions: id, first and last message.

    Without convexMsgs deployed the list comes from reading the whole index; --recent reads only the
    newest messages. Times are local.
    """
    from sync_tool.commands.history import session_text
    from sync_tool.commands.sessions import list_sessions

    found = list_sessions(history, shared, recent=recent, count=count, **selection)
    shared.close()
    if shared.as_json:
        shared.json({"sessions": [{**asdict(info), "session": session_text(info.session)} for info in found]})
        return
    for line in found.lines():
        shared.data(line)
