"""``convex-msgs sandbox``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sync_tool.cli.help import Command
from sync_tool.errors import UsageError

if TYPE_CHECKING:
    from sync_tool.sandbox import SandboxOptions

_OPERATIONS = (
    "deployment:data:view",
    "deployment:backups:view",
    "deployment:backups:import",
    "deployment:functions:runInternalQueries",
    "deployment:functions:runInternalMutations",
    "deployment:functions:runInternalActions",
)


@click.command(
    "sandbox",
    cls=Command,
    examples=(
        "convex-msgs sandbox --sample-data                    a few thousand messages to try things on",
        "convex-msgs sandbox --data chats.sqlite              keep what is written",
        "convex-msgs sandbox --env-file .env.msgs &     then: convex-msgs sessions --env-file .env.msgs",
        "convex-msgs sandbox --type prod --latency 40         how a production deployment far away behaves",
    ),
)
@click.option("--port", type=click.IntRange(0, 65535), default=3210, show_default=True, help="0 takes any free port.")
@click.option(
    "--data",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="SQLite file to keep the data in. Without it, data is gone when the sandbox stops.",
)
@click.option("--sample-data", is_flag=True, help="Load the sample chats if the table is empty.")
@click.option(
    "--load",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    hidden=True,
    help="Load canonical JSONL rows if the table is empty.",
)
@click.option(
    "--env-file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write address and key to this file, mode 0600, instead of printing the key.",
)
@click.option("--name", default="sandbox", show_default=True, help="Instance name.")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["self-hosted", "prod", "dev", "preview"]),
    default="self-hosted",
    show_default=True,
    help="Type of deployment that it reports; prod also hides error messages, as Convex does.",
)
@click.option(
    "--latency",
    metavar="MS",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Milliseconds added to every call.",
)
@click.option(
    "--functions/--no-functions",
    default=True,
    help="Whether convexMsgs and langchain/db are deployed.  [default: yes]",
)
@click.option(
    "--streaming/--no-streaming",
    default=True,
    help="Whether the plan allows streaming export.  [default: yes]",
)
@click.option(
    "--data-sync/--no-data-sync",
    default=True,
    help="Whether the backend is of July 2026 or newer, and so streams changes.  [default: yes]",
)
@click.option(
    "--retention",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=14 * 86_400.0,
    help="How long changes are kept for streaming export.  [default: 14 days]",
)
@click.option(
    "--stream-page",
    metavar="ROWS",
    type=click.IntRange(1, 16_384),
    default=16_384,
    show_default=True,
    help="Documents on a page of streaming export.",
)
@click.option(
    "--deny",
    "denied",
    metavar="OPERATION",
    type=click.Choice(_OPERATIONS),
    multiple=True,
    help="Operation that the key may not do, such as deployment:data:view. Repeatable.",
)
@click.option("--examples", is_flag=True, help="Also deploy the public functions that Convex's own examples call.")
@click.option("--table", default="messages", show_default=True, help="Name of the table.")
@click.option("--index", default="bySessionId", show_default=True, help="Name of its index.")
@click.option("--session-field", default="sessionId", show_default=True, help="Name of the session field.")
@click.option(
    "--schema",
    type=click.Choice(["documented", "langchain", "any"]),
    default="any",
    show_default=True,
    help="Which messages the declared schema lets in.",
)
@click.option(
    "--slow-rows",
    metavar="N",
    type=click.IntRange(min=1),
    help="Functions that read more rows than this time out.",
)
@click.option(
    "--conflicts",
    metavar="N",
    type=click.IntRange(min=1),
    help="Every Nth mutation fails with 503, as one that lost a conflict.",
)
@click.option(
    "--max-calls",
    metavar="N",
    type=click.IntRange(min=1),
    help="Calls of a kind at a time, 16 on a small deployment; others wait, and after 5 seconds fail with 429.",
)
@click.option(
    "--write-rate",
    metavar="BYTES",
    type=click.IntRange(min=1),
    help="Bytes a second that may be written; more is answered with 429.",
)
@click.option("--with-parent", is_flag=True, hidden=True, help="Stop when standard input is closed.")
@click.option("-v", "--verbose", is_flag=True, help="Log every request to stderr.")
def sandbox_command(**settings: Any) -> None:
    """Run a Convex deployment on this machine, for trying, testing and proving restores.

    It keeps its data in SQLite, listens on 127.0.0.1 only, and speaks Convex's HTTP API and WebSocket
    protocol, so that official clients work with it. It is a stand-in, not a database for an app.
    Stop it with Ctrl-C. The key is made once and kept with the data; CONVEX_MSGS_SANDBOX_KEY sets another.
    """
    try:
        from sync_tool.sandbox import BadRowError, NotASandboxError, PortTakenError, serve
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the sandbox needs {error.name}, which is not installed.",
            hint=[("install", "pip install '.[sandbox]', in a checkout of convex-msgs")],
        ) from None
    try:
        serve(_options(**settings))
    except PortTakenError as error:
        raise UsageError(str(error), hint=[("any free one", "--port 0")]) from None
    except (NotASandboxError, BadRowError, OSError) as error:
        raise UsageError(str(error)) from None


def _options(
    *,
    sample_data: bool,
    kind: Any,
    latency: float,
    table: str,
    index: str,
    session_field: str,
    load: Path | None,
    **rest: Any,
) -> SandboxOptions:
    from sync_tool.assets import asset
    from sync_tool.sandbox import Naming, SandboxOptions

    return SandboxOptions(
        **rest,
        load=load or (asset("messages.jsonl") if sample_data else None),
        latency=latency / 1000,
        type=kind,
        naming=Naming(table, index, session_field),
    )
