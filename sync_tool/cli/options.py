"""Options that several commands share, each group as one decorator."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from sync_tool.cli.base import SectionedOption
from sync_tool.errors import UsageError

if TYPE_CHECKING:
    from sync_tool.jobs.history import History

F = TypeVar("F", bound=Callable[..., Any])

_NAMES: Final = ("table", "index", "session_field", "message_field")
_CONNECTING: Final = ("timeout", "attempts", "concurrency", "rate", "url", "env_file", "key_command", "via")


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


def _names(section: str) -> tuple[Callable[[Any], Any], ...]:
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


_MANNERS: Final = (
    _option("Manners", "-q", "--quiet", is_flag=True, help="Print nothing on success, one line on anything else."),
    _option("Manners", "-v", "--verbose", is_flag=True, help="Say which way is taken and why, and every retry."),
    _option("Manners", "--json", "as_json", is_flag=True, help="Print the report as one JSON object."),
    _option("Manners", "--log-json", is_flag=True, help="Write notes and errors on stderr as JSON lines."),
)

_CONNECTION: Final = (
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
    _option(
        "Which deployment",
        "--via",
        type=click.Choice(["auto", "functions", "system"]),
        default="auto",
        show_default=True,
        help="How to read: deployed functions, or the dashboard's queries (nothing deployed).",
    ),
    *_names("Which deployment"),
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
        default=4,
        show_default=True,
        help="Calls at a time; halved when the deployment says that there are too many.",
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

_SELECTION: Final = (
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


def manners(function: F) -> F:
    """Add -q, -v, --json and --log-json, which count before and after the command's name alike."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        shared = click.get_current_context().find_root().obj
        for name in ("quiet", "verbose", "as_json", "log_json"):
            given = kwargs.pop(name)
            setattr(shared, name, getattr(shared, name) or given)
        return function(*args, **kwargs)

    return _decorated(wrapper, _MANNERS)  # type: ignore[return-value]


def connection(function: F) -> F:
    """Add the options that say which deployment; the function gets ``history``, already connected."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with connected(kwargs) as history:
            return function(*args, history=history, **kwargs)

    return _decorated(wrapper, _CONNECTION)  # type: ignore[return-value]


def connection_when_asked(function: F) -> F:
    """Add the same options for commands that may do without; the function gets ``names`` and a call ``connect``."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        from sync_tool.model import Names

        options = {name: kwargs.pop(name) for name in (*_NAMES, *_CONNECTING)}
        kwargs["names"] = Names(*(options[name] for name in _NAMES))
        return function(*args, connect=lambda: click.get_current_context().with_resource(connected(options)), **kwargs)

    return _decorated(wrapper, _CONNECTION)  # type: ignore[return-value]


def connected(options: dict[str, Any]) -> History:
    """Take the connection options out of `options` and connect."""
    from sync_tool.deployment.http import Patience
    from sync_tool.jobs.opening import connect
    from sync_tool.jobs.selecting import parse_size
    from sync_tool.model import Names

    click.get_current_context().find_root().obj.watch_retries()
    names = Names(*(options.pop(name) for name in _NAMES))
    patience = Patience(
        read=options.pop("timeout"),
        attempts=options.pop("attempts"),
        concurrency=options.pop("concurrency"),
        bytes_per_second=parse_size(options.pop("rate"), "--rate"),
    )
    chosen = {name: options.pop(name) for name in ("url", "env_file", "key_command", "via")}
    return connect(**chosen, names=names, patience=patience)


def names(function: F) -> F:
    """Add the options for names alone, for commands that read files; the function gets them as ``names``."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        from sync_tool.model import Names

        return function(*args, names=Names(*(kwargs.pop(name) for name in _NAMES)), **kwargs)

    return _decorated(wrapper, _names("Names"))  # type: ignore[return-value]


def selection(function: F) -> F:
    """Add the options that select messages; the function gets them as ``selection``."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        from_file = kwargs.pop("sessions_from")
        names = ("sessions", "match", "exclude", "after", "before", "active_after")
        chosen = {name: kwargs.pop(name) for name in names}
        if from_file:
            chosen["sessions"] = (*chosen["sessions"], *_ids_from(from_file))
        return function(*args, selection=chosen, **kwargs)

    return _decorated(wrapper, _SELECTION)  # type: ignore[return-value]


def _ids_from(name: str) -> list[str]:
    if name == "-" and sys.stdin is None:
        raise UsageError("--sessions-from -: standard input is closed.")
    try:
        text = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        ids = [line for line in (line.removesuffix("\r") for line in text.decode("utf-8-sig").split("\n")) if line]
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{name} is not UTF-8 text.") from None
    if not ids:
        raise UsageError(f"{name} holds no session ids.")
    return ids


def _decorated(function: Callable[..., Any], options: tuple[Callable[[Any], Any], ...]) -> Callable[..., Any]:
    for option in reversed(options):
        function = option(function)
    return function
