"""``convex-msgs import``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from sync_tool.cli.asking import on_terminal
from sync_tool.cli.base import Command
from sync_tool.cli.declared import AS_OF
from sync_tool.cli.options import connection_when_asked, manners, selection
from sync_tool.cli.report import Shared
from sync_tool.cli.writing import GOES_ON, ask, import_options, said, trouble
from sync_tool.errors import Conflict, Exit

if TYPE_CHECKING:
    from sync_tool.jobs.history import History
    from sync_tool.model import Names


@click.command(
    "import",
    cls=Command,
    short_help="Bring messages into a deployment: only what it does not have.",
    examples=(
        "convex-msgs import messages.jsonl --to @.env.msgs --dry-run     the plan, nothing is written",
        "convex-msgs import messages.jsonl --to @.env.msgs               what the deployment does not have",
        "convex-msgs import history/ more.jsonl.zst -s cust-42           one session, from several places",
        "convex-msgs import messages.jsonl --fixes quarantine.jsonl      repaired messages, in their old places",
    ),
    exits=(Exit.SET_ASIDE, Exit.UNREACHABLE, Exit.REFUSED, Exit.DAMAGED),
)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@AS_OF
@import_options
@manners
@selection
@connection_when_asked
@click.pass_obj
def command(
    shared: Shared,
    /,
    sources: tuple[str, ...],
    to: str | None,
    selection: dict[str, Any],
    connect: Callable[[str | None], History],
    names: Names,
    **options: Any,
) -> int:
    """Bring messages of files, folders or - (standard input) into a deployment: only what it does not have.

    Every session keeps its order. Run again, it sends nothing twice; killed and run again, it goes on. A bad
    message stops its session: what is before it goes in, the rest waits and is written to a quarantine file.
    """
    from sync_tool.jobs.import_ import import_

    shared.when_stopped = GOES_ON
    decide = ask if on_terminal(shared) else None
    try:
        report = import_(sources, connect(to), names=names, decide=decide, progress=shared, **options, **selection)
    except Conflict as conflict:
        report = conflict.report
    shared.finish(report, said(report), trouble=trouble(report))
    return int(report.exit_code)
