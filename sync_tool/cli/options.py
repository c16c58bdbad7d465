"""Options of the command line: made from the declarations of the commands, and those of the command line alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import click

from sync_tool.cli.help import SectionedOption
from sync_tool.cli.report import Console
from sync_tool.commands.declaration import Option, Options, declared, option
from sync_tool.commands.options import CONNECTION
from sync_tool.commands.selection import SELECTION, SelectionOptions
from sync_tool.errors import UsageError
from sync_tool.rows.model import Names

if TYPE_CHECKING:
    from sync_tool.commands.history import History

F = TypeVar("F", bound=Callable[..., Any])

GENERAL: Final = "General"
NAMES: Final = "Names"


@dataclass(frozen=True, kw_only=True)
class GeneralOptions(Options):
    """Options that stand before or after the name of every command."""

    quiet: bool = option(False, "-q", "--quiet", section=GENERAL, help="Print nothing on success, one line otherwise.")
    verbose: bool = option(False, "-v", "--verbose", section=GENERAL, help="Print the reader in use and every retry.")
    as_json: bool = option(False, "--json", section=GENERAL, help="Print the report as one JSON object.")
    log_json: bool = option(False, section=GENERAL, help="Write notes and errors on stderr as JSON lines.")


@dataclass(frozen=True, kw_only=True)
class TableOptions(Options):
    """Names of the table, its index and its fields."""

    table: str = option(
        Names().table, metavar="NAME", variable="CONVEX_MSGS_TABLE", section=NAMES, help="Table of the messages."
    )
    index: str = option(
        Names().index,
        metavar="NAME",
        variable="CONVEX_MSGS_INDEX",
        section=NAMES,
        help="Its index on exactly the session field.",
    )
    session_field: str = option(
        Names().session_field,
        metavar="NAME",
        variable="CONVEX_MSGS_SESSION_FIELD",
        section=NAMES,
        help="Field of the session id.",
    )
    message_field: str = option(
        Names().message_field,
        metavar="NAME",
        variable="CONVEX_MSGS_MESSAGE_FIELD",
        section=NAMES,
        help="Field of the message.",
    )

    def names(self) -> Names:
        """Return them as the library takes them."""
        return Names(self.table, self.index, self.session_field, self.message_field)


@dataclass(frozen=True, kw_only=True)
class ConnectionOptions(TableOptions):
    """Which deployment, and how much to ask of it."""

    env_file: str | None = option(
        None,
        metavar="FILE",
        variable="CONVEX_MSGS_ENV_FILE",
        section=CONNECTION,
        help="Take the key (and URL) from this file alone.",
    )
    url: str | None = option(
        None, metavar="URL", section=CONNECTION, help="URL of the deployment, where the key does not decide it."
    )
    key_command: str | None = option(
        None,
        metavar="COMMAND",
        variable="CONVEX_MSGS_KEY_COMMAND",
        section=CONNECTION,
        help="Command that prints the key.",
    )
    timeout: float = option(
        120.0,
        metavar="SECONDS",
        variable="CONVEX_MSGS_TIMEOUT",
        limits=(0.1, inf),
        section=CONNECTION,
        help="Longest wait for one answer.",
    )
    concurrency: int | None = option(
        None,
        metavar="N",
        variable="CONVEX_MSGS_CONCURRENCY",
        limits=(1, 64),
        section=CONNECTION,
        help="Calls at a time, halved when the deployment reports too many. Default: 6 to read, 4 to write.",
    )
    rate: str | None = option(
        None,
        metavar="SIZE",
        variable="CONVEX_MSGS_RATE",
        section=CONNECTION,
        help="Read or write at most this much a second, such as 2MiB/s.",
    )
    attempts: int = option(
        6,
        metavar="N",
        variable="CONVEX_MSGS_ATTEMPTS",
        limits=(1, inf),
        section=CONNECTION,
        help="Attempts for each request.",
    )

    def connect(self, via: str, address: str | None = None, *, source: bool = False) -> History:
        """Connect to the deployment, or open the address in its place.

        Args:
            via: the reader.
            address: a deployment; with `source` anything that can be read.
            source: the address is read from, beside the deployment that ``--url`` names.
        """
        from sync_tool.commands.arguments import parse_size
        from sync_tool.commands.opening import connect, open_source, require_deployment
        from sync_tool.deployment.rates import Patience

        click.get_current_context().find_root().obj.watch_retries()
        patience = Patience(
            read=self.timeout,
            attempts=self.attempts,
            concurrency=self.concurrency,
            bytes_per_second=parse_size(self.rate, "--rate"),
        )
        if address is None:
            place: dict[str, Any] = {"url": self.url, "env_file": self.env_file, "key_command": self.key_command}
            return connect(**place, via=via, names=self.names(), patience=patience)  # type: ignore[arg-type]
        if self.url is not None and not source:
            raise UsageError("--url and an address both name a deployment; give one of them.")
        if not source:
            require_deployment(address)
        return open_source(address, names=self.names(), patience=patience)


@dataclass(frozen=True, kw_only=True)
class ReaderOptions(ConnectionOptions):
    """The same, with the reader."""

    via: str = option(
        "auto",
        choices=("auto", "functions", "system"),
        section=CONNECTION,
        help="Reader: deployed functions, or the dashboard's system queries (nothing deployed).",
    )


class Connect(Protocol):
    """Connects when it is called; the connection is closed at the end of the command."""

    def __call__(self, address: str | None = None, *, source: bool = False, via: str | None = None) -> History:
        """Return the deployment, or what an address names, as `ConnectionOptions.connect`."""


def options(declaration: type[Options]) -> Callable[[F], F]:
    """Add the options that a dataclass declares; the function gets their values under the fields' names."""

    def add(function: F) -> F:
        decorated: Any = _reading_ids(function) if issubclass(declaration, SelectionOptions) else function
        defaults = {field.name: field.default for field in fields(declaration)}
        for name, shown in reversed(declared(declaration).items()):
            decorated = _click_option(name, defaults[name], shown)(decorated)
        return decorated  # type: ignore[no-any-return]

    return add


def _click_option(name: str, default: Any, shown: Option) -> Callable[[Any], Any]:
    settings: dict[str, Any] = {"default": default, "show_default": default is not None, "metavar": shown.metavar}
    if isinstance(default, bool):
        settings = {"is_flag": True}
        if default:
            settings["callback"] = lambda *given: not given[-1]
    elif default == ():
        settings |= {"multiple": True, "show_default": False}
    if shown.choices:
        hyphened = [choice.replace("_", "-") for choice in shown.choices]
        settings |= {"type": click.Choice(hyphened), "callback": _underscored}
    elif shown.limits is not None:
        least, most = (None if limit == inf else limit for limit in shown.limits)
        settings["type"] = (click.FloatRange if isinstance(least, float) else click.IntRange)(least, most)  # type: ignore[arg-type]
    if name == "env_file":
        settings |= {"is_eager": True, "callback": _take_settings}
    return click.option(
        *(shown.flags or (f"--{name.replace('_', '-')}",)),
        name,
        cls=SectionedOption,
        section=shown.section,
        help=shown.help,
        envvar=shown.variable,
        show_envvar=True,
        **settings,
    )


def _underscored(context: click.Context, parameter: click.Parameter, given: Any) -> Any:
    """Return choices as the library spells them."""
    if isinstance(given, tuple):
        return tuple(choice.replace("-", "_") for choice in given)
    return given and given.replace("-", "_")


def general(function: F) -> F:
    """Add -q, -v, --json and --log-json, which count before and after the command's name alike."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        console = click.get_current_context().find_root().obj
        for name in declared(GeneralOptions):
            given = kwargs.pop(name)
            setattr(console, name, getattr(console, name) or given)
        return function(*args, **kwargs)

    return options(GeneralOptions)(wrapper)  # type: ignore[return-value]


def names(function: F) -> F:
    """Add the options for names alone, for commands that read files; the function gets them as ``names``."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        given = TableOptions(**{name: kwargs.pop(name) for name in declared(TableOptions)})
        return function(*args, names=given.names(), **kwargs)

    return options(TableOptions)(wrapper)  # type: ignore[return-value]


def connection(declaration: type[ConnectionOptions] = ReaderOptions) -> Callable[[F], F]:
    """Add the options of a connection; the function gets ``names``, and ``connect``, which makes the connection."""

    def add(function: F) -> F:
        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            given = declaration(**{name: kwargs.pop(name) for name in declared(declaration)})
            context = click.get_current_context()

            def connect(address: str | None = None, *, source: bool = False, via: str | None = None) -> History:
                reader = via or (given.via if isinstance(given, ReaderOptions) else "auto")
                return context.with_resource(given.connect(reader, address, source=source))

            return function(*args, connect=connect, names=given.names(), **kwargs)

        return options(declaration)(wrapper)  # type: ignore[return-value]

    return add


# Variables of ours that an env file may set: none of them runs a command, writes a file or calls a host.
_FROM_FILES: Final = frozenset(
    f"CONVEX_MSGS_{name}"
    for name in (
        *("TABLE", "INDEX", "SESSION_FIELD", "MESSAGE_FIELD", "TIMEOUT", "ATTEMPTS", "CONCURRENCY", "RATE"),
        *("MAX_READ", "LOCK_WAIT", "ALLOW_HTTP"),
    )
)
_NOT_FROM_FILES: Final = ("CONVEX_MSGS_KEY_COMMAND", "CONVEX_MSGS_METRICS_FILE", "CONVEX_MSGS_PING_URL")


def _take_settings(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Let the env file set our own variables too, where the environment does not.

    Raises:
        UsageError: it sets one that could run a command, write a file or call a host; such a file may be foreign.
    """
    if value:
        from sync_tool.deployment.settings import load_settings

        for name, text in load_settings(value).places[value].items():
            if name in _NOT_FROM_FILES and name not in os.environ:
                flag = f"--{name.removeprefix('CONVEX_MSGS_').lower().replace('_', '-')}"
                raise UsageError(
                    f"{value} sets {name}, which is not taken from a file.",
                    hint=[("use", f"the environment, or {flag}")],
                )
            if name in _FROM_FILES:
                os.environ.setdefault(name, text)
    return value


def _reading_ids(function: F) -> F:
    """Add ``--sessions-from``, whose ids the function gets among ``sessions``."""

    @wraps(function)
    def wrapper(*args: Any, sessions_from: str | None, **kwargs: Any) -> Any:
        if sessions_from:
            kwargs["sessions"] = (*kwargs["sessions"], *ids_from(sessions_from))
        return function(*args, **kwargs)

    shown = Option("Session ids from a file, one a line; - is standard input.", (), "FILE", None, (), None, SELECTION)
    return _click_option("sessions_from", None, shown)(wrapper)  # type: ignore[no-any-return]


def ids_from(name: str) -> list[str]:
    """Read session ids from a file or standard input.

    Raises:
        UsageError: it cannot be read, is not UTF-8, or holds no id.
    """
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


def _take_output(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Keep errors off standard output from the start if the data goes there."""
    if value == "":
        raise UsageError("-o is empty.", hint=[("give", "-o FILE, or leave -o out for standard output")])
    try:
        _ = value and Path(value).is_dir()
    except OSError as error:  # such as a name that is too long
        raise UsageError(f"-o {value}: {error.strerror}.") from None
    if isinstance(console := context.find_root().obj, Console):  # none while a shell completes
        console.json_on_stderr = value in (None, "-")
    return value


output: Final = click.option(
    "-o",
    "output",
    metavar="FILE",
    is_eager=True,
    callback=_take_output,
    help="Output: .jsonl .parquet .zip .md, with .zst or .gz after .jsonl and .md; a folder ends with /. "
    "Default: stdout.",
)
