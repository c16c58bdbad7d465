"""``convex-msgs doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sync_tool.cli.help import Command
from sync_tool.cli.options import Connect, connection, general
from sync_tool.cli.report import Console
from sync_tool.errors import Exit

if TYPE_CHECKING:
    from sync_tool.rows.model import Names


@click.command(
    "doctor",
    cls=Command,
    examples=(
        "convex-msgs doctor --env-file .env.msgs",
        "convex-msgs doctor --table chats --index byUser --session-field userId",
    ),
    exits=(Exit.UNREACHABLE, Exit.REFUSED),
)
@general
@connection()
@click.pass_obj
def doctor_command(console: Console, connect: Connect, names: Names) -> int:
    """Check URL, key and rights, table, index, schema and the readers.

    The key decides which deployment. It is taken from CONVEX_DEPLOY_KEY or
    CONVEX_SELF_HOSTED_ADMIN_KEY (with CONVEX_SELF_HOSTED_URL), in the environment, then ./.env.local,
    then ./.env; with --env-file from that file alone. A key of Convex cloud names its deployment:

    \b
    npx convex deployment token create convex-msgs --prod --save-env .env.msgs
    convex-msgs doctor --env-file .env.msgs
    """  # \b is click's mark for a block that keeps its lines
    from sync_tool.commands.doctor import doctor

    report = doctor(connect())
    if console.as_json:
        console.json(report)
        return report.exit_code
    for finding in report.findings:
        if not console.quiet or finding.verdict in ("warn", "fail"):
            console.data(f"{finding.verdict:<5} {finding.text}")
    return report.exit_code
