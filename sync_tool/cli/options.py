"""Options that several commands share, each group as one decorator."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from sync_tool.cli.help import SectionedOption
from sync_tool.cli.report import Shared
from sync_tool.errors import UsageError

if TYPE_CHECKING:
    from sync_tool.commands.history import History

F = TypeVar("F", bound=Callable[..., Any])

_NAMES: Final = ("table", "index", "session_field", "message_field")
_CONNECTING: Final = ("timeout", "attempts", "concurrency", "rate", "url", "env_file", "key_command", "via")


def manners(function: F) -> F:
    """Add -q, -v, --json and --log-json, which count before and after the command's name alike."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        shared = click.get_current_context().find_root().obj
        for name in ("quiet", "verbose", "as_json", "log_json"):
            given = kwargs.pop(name)
            setattr(shared, name, getattr(shared, name) or given)
        return function(*args, **kwargs)

    return _decorated(wrapper, MANNERS)  # type: ignore[return-value]


def connection(function: F) -> F:
    """Add the options that say which deployment; the function gets ``history``, already connected."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with connected(kwargs) as history:
            return function(*args, history=history, **kwargs)

    return _decorated(wrapper, CONNECTION)  # type: ignore[return-value]


def connection_when_asked(function: F) -> F:
    """Add the same options for commands that may do without; the function gets ``names`` and a call ``connect``.

    The call takes an address too, which then says where instead of the options: the deployment to write to, or
    with ``source`` whatever is read from, beside the one that ``--url`` is about.
    """

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        from sync_tool.rows.model import Names

        options = {name: kwargs.pop(name) for name in (*_NAMES, *_CONNECTING)}
        kwargs["names"] = Names(*(options[name] for name in _NAMES))

        def connect(address: str | None = None, *, source: bool = False) -> History:
            own = {**options, "url": None} if source else {**options}
            return click.get_current_context().with_resource(connected(own, address, source=source))

        return function(*args, connect=connect, **kwargs)

    return _decorated(wrapper, CONNECTION)  # type: ignore[return-value]


def sync_connection(function: F) -> F:
    """Add the same for ``sync``, which has a way more: the function gets ``connect`` and ``via``."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        options = {name: kwargs.pop(name) for name in (*_NAMES, *_CONNECTING)}
        via = options["via"]
        options["via"] = via if via in ("functions", "system") else "auto"

        def connect() -> History:
            return click.get_current_context().with_resource(connected(options))

        return function(*args, connect=connect, via=via, **kwargs)

    return _decorated(wrapper, SYNC_CONNECTION)  # type: ignore[return-value]


def connected(options: dict[str, Any], address: str | None = None, *, source: bool = False) -> History:
    """Take the connection options out of `options` and connect, to where an address says if there is one.

    An address names a deployment; that of a `source` may name anything that can be read.
    """
    from sync_tool.commands.arguments import parse_size
    from sync_tool.commands.opening import connect, open_source, require_deployment
    from sync_tool.deployment.rates import Patience
    from sync_tool.rows.model import Names

    click.get_current_context().find_root().obj.watch_retries()
    names = Names(*(options.pop(name) for name in _NAMES))
    patience = Patience(
        read=options.pop("timeout"),
        attempts=options.pop("attempts"),
        concurrency=options.pop("concurrency"),
        bytes_per_second=parse_size(options.pop("rate"), "--rate"),
    )
    chosen = {name: options.pop(name) for name in ("url", "env_file", "key_command", "via")}
    if address is not None:
        if chosen["url"] is not None:
            raise UsageError("--url and an address both say where; give one of them.")
        if not source:
            require_deployment(address)
        return open_source(address, names=names, patience=patience)
    return connect(**chosen, names=names, patience=patience)


def names(function: F) -> F:
    """Add the options for names alone, for commands that read files; the function gets them as ``names``."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        from sync_tool.rows.model import Names

        return function(*args, names=Names(*(kwargs.pop(name) for name in _NAMES)), **kwargs)

    return _decorated(wrapper, name_options("Names"))  # type: ignore[return-value]


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

    return _decorated(wrapper, SELECTION)  # type: ignore[return-value]


def training(function: F) -> F:
    """Add the options of formats for fine-tuning; the function gets them as ``training``."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        chosen = {name: kwargs.pop(name) for name in ("system", "drop_tools", "end_with")}
        return function(*args, training=chosen, **kwargs)

    return _decorated(wrapper, TRAINING)  # type: ignore[return-value]


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


# The options that several commands share, as they are declared; `sync_tool.cli.options` makes decorators of them.


def _option(section: str, *name_options: str, **settings: Any) -> Callable[[Any], Any]:
    """Make an option that the help shows under a heading of its own."""
    return click.option(
        *name_options, cls=SectionedOption, section=section, show_envvar="envvar" in settings, **settings
    )


_FROM_FILES: Final = frozenset(
    f"CONVEX_MSGS_{name}"
    for name in (
        *("TABLE", "INDEX", "SESSION_FIELD", "MESSAGE_FIELD", "TIMEOUT", "ATTEMPTS", "CONCURRENCY", "RATE"),
        *("MAX_READ", "LOCK_WAIT", "ALLOW_HTTP"),
    )
)
"""Our own variables that an env file may set: none of them runs, writes or calls anything."""
_NOT_FROM_FILES: Final = ("CONVEX_MSGS_KEY_COMMAND", "CONVEX_MSGS_METRICS_FILE", "CONVEX_MSGS_PING_URL")


def _take_settings(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Let the env file set our own variables too, where the environment does not.

    Raises:
        UsageError: it sets one that could run a command, write a file or call a host; such a file may be foreign.
    """
    if value:
        from sync_tool.deployment.settings import load_settings

        for name, text in load_settings(value).places[value].items():
            if name in _NOT_FROM_FILES and name not in os.environ:
                option = f"--{name.removeprefix('CONVEX_MSGS_').lower().replace('_', '-')}"
                raise UsageError(
                    f"{value} sets {name}, which is not taken from a file.",
                    hint=[("use", f"the environment, or {option}")],
                )
            if name in _FROM_FILES:
                os.environ.setdefault(name, text)
    return value


def name_options(section: str) -> tuple[Callable[[Any], Any], ...]:
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
    *name_options("Which deployment"),
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

# The options that say where messages are written to and in which format.


def _take_output(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Keep errors off standard output from the start if the data goes there."""
    if value == "":
        raise UsageError("-o is empty.", hint=[("give", "-o FILE, or leave -o out for standard output")])
    try:
        _ = value and Path(value).is_dir()
    except OSError as error:  # such as a name that is too long
        raise UsageError(f"-o {value}: {error.strerror}.") from None
    if isinstance(shared := ctx.find_root().obj, Shared):  # none while a shell completes
        shared.json_on_stderr = value in (None, "-")
    return value


_OPTIONS: Final = (
    click.option(
        "-o",
        "output",
        metavar="FILE",
        is_eager=True,
        callback=_take_output,
        help="Where to; .jsonl .parquet .zip .md, .zst or .gz behind .jsonl and .md; a folder ends with /. "
        "Default stdout.",
    ),
    click.option(
        "-f",
        "--format",
        "kind",
        type=click.Choice(["jsonl", "jsonl.zst", "jsonl.gz", "parquet", "zip", "md", "openai", "sharegpt"]),
        help="Where no name says it: stdout (jsonl), folders (parquet), and of .jsonl openai and sharegpt.",
    ),
    click.option(
        "--partition-by",
        type=click.Choice(["none", "session", "month"]),
        help="A folder: a file for each session or month, or (none) parts by size.",
    ),
    click.option("--overwrite", is_flag=True, help="Replace an existing file."),
)


def output_options(function: F) -> F:
    """Add the options; the function gets ``output``, ``kind``, ``partition_by`` and ``overwrite``."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
