"""Options that several commands share, each group as one decorator."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from sync_tool.cli import declared
from sync_tool.errors import UsageError

if TYPE_CHECKING:
    from sync_tool.jobs.history import History

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

    return _decorated(wrapper, declared.MANNERS)  # type: ignore[return-value]


def connection(function: F) -> F:
    """Add the options that say which deployment; the function gets ``history``, already connected."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with connected(kwargs) as history:
            return function(*args, history=history, **kwargs)

    return _decorated(wrapper, declared.CONNECTION)  # type: ignore[return-value]


def connection_when_asked(function: F) -> F:
    """Add the same options for commands that may do without; the function gets ``names`` and a call ``connect``.

    The call takes an address too, which then says where instead of the options: the deployment to write to, or
    with ``source`` whatever is read from, beside the one that ``--url`` is about.
    """

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        from sync_tool.model import Names

        options = {name: kwargs.pop(name) for name in (*_NAMES, *_CONNECTING)}
        kwargs["names"] = Names(*(options[name] for name in _NAMES))

        def connect(address: str | None = None, *, source: bool = False) -> History:
            own = {**options, "url": None} if source else {**options}
            return click.get_current_context().with_resource(connected(own, address, source=source))

        return function(*args, connect=connect, **kwargs)

    return _decorated(wrapper, declared.CONNECTION)  # type: ignore[return-value]


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

    return _decorated(wrapper, declared.SYNC_CONNECTION)  # type: ignore[return-value]


def connected(options: dict[str, Any], address: str | None = None, *, source: bool = False) -> History:
    """Take the connection options out of `options` and connect, to where an address says if there is one.

    An address names a deployment; that of a `source` may name anything that can be read.
    """
    from sync_tool.deployment.http import Patience
    from sync_tool.jobs.opening import connect, open_address, open_deployment
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
    if address is not None:
        if chosen["url"] is not None:
            raise UsageError("--url and an address both say where; give one of them.")
        opened = open_address if source else open_deployment
        return opened(address, names=names, patience=patience)
    return connect(**chosen, names=names, patience=patience)


def names(function: F) -> F:
    """Add the options for names alone, for commands that read files; the function gets them as ``names``."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        from sync_tool.model import Names

        return function(*args, names=Names(*(kwargs.pop(name) for name in _NAMES)), **kwargs)

    return _decorated(wrapper, declared.names("Names"))  # type: ignore[return-value]


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

    return _decorated(wrapper, declared.SELECTION)  # type: ignore[return-value]


def training(function: F) -> F:
    """Add the options of formats for fine-tuning; the function gets them as ``training``."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        chosen = {name: kwargs.pop(name) for name in ("system", "drop_tools", "end_with")}
        return function(*args, training=chosen, **kwargs)

    return _decorated(wrapper, declared.TRAINING)  # type: ignore[return-value]


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
