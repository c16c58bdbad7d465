"""``convex-msgs sessions``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from sync_tool.cli.help import Command
from sync_tool.cli.options import Connect, connection, general, options
from sync_tool.cli.report import Console
from sync_tool.commands.options import SessionsOptions
from sync_tool.errors import Exit

if TYPE_CHECKING:
    from sync_tool.rows.model import Names


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
@general
@options(SessionsOptions)
@connection()
@click.pass_obj
def sessions_command(console: Console, /, connect: Connect, names: Names, **options: Any) -> None:
    """List sessions: id, first and last message.

    Without convexMsgs deployed the list comes from reading the whole index; --recent reads only the
    newest messages. Times are local.
    """
    from sync_tool.commands.history import session_text
    from sync_tool.commands.sessions import list_sessions

    found = list_sessions(connect(), console, **options)
    console.close()
    if console.as_json:
        console.json({"sessions": [{**asdict(info), "session": session_text(info.session)} for info in found]})
        return
    for line in found.lines():
        console.data(line)
