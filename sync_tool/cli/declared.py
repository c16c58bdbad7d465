"""The options that several commands share, as they are declared; `sync_tool.cli.options` makes decorators of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

import click

from sync_tool.cli.base import SectionedOption


def _option(section: str, *names: str, **settings: Any) -> Callable[[Any], Any]:
    """Make an option that the help shows under a heading of its own."""
    return click.option(*names, cls=SectionedOption, section=section, show_envvar="envvar" in settings, **settings)


def _take_settings(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Let the env file set our own variables too, where the environment does not."""
    if value:
        from sync_tool.deployment.settings import load_settings

        for name, (text, _) in load_settings(value).values.items():
            if name.startswith("CONVEX_MSGS_"):
                os.environ.setdefault(name, text)
    return value


def names(section: str) -> tuple[Callable[[Any], Any], ...]:
    """Make the options that say what table, index and fields are called."""
    return (
        _option(
            section,
            "--table",
            metavar="NAME",
            envvar="CONVEX_MSGS_TABLE",
            default="messages",
            show_default=True,
            help="The table.",
        ),
        _option(
            section,
            "--index",
            metavar="NAME",
            envvar="CONVEX_MSGS_INDEX",
            default="bySessionId",
            show_default=True,
            help="Its index on exactly the session field.",
        ),
        _option(
            section,
            "--session-field",
            metavar="NAME",
            envvar="CONVEX_MSGS_SESSION_FIELD",
            default="sessionId",
            show_default=True,
            help="The field that holds the session id.",
        ),
        _option(
            section,
            "--message-field",
            metavar="NAME",
            envvar="CONVEX_MSGS_MESSAGE_FIELD",
            default="message",
            show_default=True,
            help="The field that holds the message.",
        ),
    )


MANNERS: Final = (
    _option("Manners", "-q", "--quiet", is_flag=True, help="Print nothing on success, one line on anything else."),
    _option("Manners", "-v", "--verbose", is_flag=True, help="Say which way is taken and why, and every retry."),
    _option("Manners", "--json", "as_json", is_flag=True, help="Print the report as one JSON object."),
    _option("Manners", "--log-json", is_flag=True, help="Write notes and errors on stderr as JSON lines."),
)

AS_OF: Final = click.option(
    "--as-of",
    metavar="RUN|DATE",
    help="Of an archive: its state after this run, or after the last run until this date or time (UTC).",
)

PROCESSES: Final = click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Share much work among N processes; 1: only this one. Default: one for each core, four at most.",
)

_VIA: Final = _option(
    "Which deployment",
    "--via",
    type=click.Choice(["auto", "functions", "system"]),
    default="auto",
    show_default=True,
    help="How to read: deployed functions, or the dashboard's queries (nothing deployed).",
)

CONNECTION: Final = (
    _option(
        "Which deployment",
        "--env-file",
        metavar="FILE",
        envvar="CONVEX_MSGS_ENV_FILE",
        is_eager=True,
        callback=_take_settings,
        help="Take the key (and URL) from this file alone.",
    ),
    _option("Which deployment", "--url", metavar="URL", help="The deployment's URL, where the key does not say it."),
    _option(
        "Which deployment",
        "--key-command",
        metavar="COMMAND",
        envvar="CONVEX_MSGS_KEY_COMMAND",
        help="A command that prints the key.",
    ),
    _VIA,
    *names("Which deployment"),
    _option(
        "Which deployment",
        "--timeout",
        metavar="SECONDS",
        type=click.FloatRange(min=0.1),
        envvar="CONVEX_MSGS_TIMEOUT",
        default=120.0,
        show_default=True,
        help="How long one answer may take.",
    ),
    _option(
        "Which deployment",
        "--concurrency",
        metavar="N",
        type=click.IntRange(min=1, max=64),
        envvar="CONVEX_MSGS_CONCURRENCY",
        help="Calls at a time, halved when there are too many for the deployment. Default: 6 to read, 4 to write.",
    ),
    _option(
        "Which deployment",
        "--rate",
        metavar="SIZE",
        envvar="CONVEX_MSGS_RATE",
        help="Read at most this much a second, such as 2MiB/s.",
    ),
    _option(
        "Which deployment",
        "--attempts",
        metavar="N",
        type=click.IntRange(min=1),
        envvar="CONVEX_MSGS_ATTEMPTS",
        default=6,
        show_default=True,
        help="How often a request is tried.",
    ),
)

_SYNC_VIA: Final = _option(
    "Which deployment",
    "--via",
    type=click.Choice(["auto", "stream", "functions", "system"]),
    default="auto",
    show_default=True,
    help="How to read: the stream of changes, deployed functions, or the dashboard's queries.",
)

SYNC_CONNECTION: Final = tuple(_SYNC_VIA if option is _VIA else option for option in CONNECTION)

SELECTION: Final = (
    _option(
        "Which messages",
        "-s",
        "--session",
        "sessions",
        metavar="ID",
        multiple=True,
        help="This session (repeatable; any characters).",
    ),
    _option(
        "Which messages",
        "--match",
        metavar="GLOB",
        multiple=True,
        help="Sessions whose id matches, such as 'cust-*' (repeatable).",
    ),
    _option(
        "Which messages",
        "--sessions-from",
        metavar="FILE",
        help="Session ids from a file, one a line; - is standard input.",
    ),
    _option(
        "Which messages", "--exclude", metavar="GLOB", multiple=True, help="Leave these sessions out (repeatable)."
    ),
    _option(
        "Which messages",
        "--after",
        metavar="TIME",
        help="Messages created at this time or later: ISO (UTC without a zone) or 7d.",
    ),
    _option("Which messages", "--before", metavar="TIME", help="Messages created before this time."),
    _option(
        "Which messages",
        "--active-after",
        metavar="TIME",
        help="Whole sessions that have a message at this time or later.",
    ),
)

TRAINING: Final = (
    _option(
        "Fine-tuning sets (-f openai, -f sharegpt)",
        "--system",
        metavar="TEXT|FILE",
        help="A system message that stands first in each conversation, in the place of its own.",
    ),
    _option(
        "Fine-tuning sets (-f openai, -f sharegpt)",
        "--drop-tools",
        is_flag=True,
        help="Leave out tool calls and their results.",
    ),
    _option(
        "Fine-tuning sets (-f openai, -f sharegpt)",
        "--end-with",
        type=click.Choice(["assistant"]),
        help="Leave out sessions that end otherwise.",
    ),
)
