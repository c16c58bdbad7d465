"""From a place (an address, a path, an open source) to a source of rows or to a deployment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from sync_tool.archive.layout import is_archive
from sync_tool.commands.history import History
from sync_tool.errors import NotSupported, UsageError
from sync_tool.keywords import strict_keywords
from sync_tool.rows.model import Names
from sync_tool.rows.ports import Source
from sync_tool.stores.addresses import spell_out
from sync_tool.text import one_line

if TYPE_CHECKING:
    from sync_tool.deployment.deployment import Deployment, Via
    from sync_tool.deployment.rates import Patience

Openable = Source | str | Path
"""A source or target as every function of the library takes it: an address, a path, or an open source."""
STDIN: Final = "-"
_LIVE: Final = "live"


@strict_keywords()
def connect(
    url: str | None = None,
    *,
    key: str | None = None,
    env_file: str | Path | None = None,
    key_command: str | None = None,
    names: Names | None = None,
    via: Via = "auto",
    patience: Patience | None = None,
) -> History:
    """Connect to a deployment, by the same rules as the command line.

    Args:
        url: base URL; without it the key or the environment names the deployment.
        key: a deploy or admin key; without it the environment or `env_file` holds it.
        env_file: a file of ``NAME=value`` lines, the only place that is read.
        key_command: a shell command that prints the key.
        names: table, index and field names other than LangChain's.
        via: the reader: ``auto``, ``functions`` or ``system``.
        patience: timeouts and attempts.

    Raises:
        UsageError: no key or URL, or a key and a URL that do not belong together.
        Refused: the deployment refused the key.
        Unreachable: no answer.
    """
    from sync_tool.deployment.deployment import Deployment
    from sync_tool.deployment.settings import Settings, find_target, load_settings

    settings = Settings({}) if key is not None and url is not None else load_settings(env_file)
    if key is not None:
        settings, key_command = settings.with_key(key), None
    return History(Deployment(find_target(settings, url, key_command), names, via=via, patience=patience))


@strict_keywords()
def open_source(
    address: str | Path,
    *,
    as_of: str | datetime | None = None,
    names: Names | None = None,
    patience: Patience | None = None,
) -> History:
    """Open the file, export folder, archive, deployment or store that an address names.

    Args:
        address: a path; ``-`` (JSONL on standard input); ``https://…``; ``@FILE`` (the deployment of an
            env file); ``live`` (of the environment); another store of LangChain's (``redis://host:6379/0``);
            ``env:NAME`` (an address held in a variable).
        as_of: of an archive, an older state: the name of a run, a date, or a time.
        names: table, index and field names other than LangChain's; Parquet, folders and archives know theirs.
        patience: timeouts and attempts of a deployment.

    Raises:
        UsageError: nothing there, an address with a password in it, `as_of` without an archive, or as `connect`.
        Damaged: a folder or an archive is not as its manifest says.
        Refused: a deployment or store refused the key, the user or the rights.
        Unreachable: no answer.
    """
    found = _find(address)
    if as_of is not None and found.kind != "archive":
        raise UsageError(f"--as-of is for archives, and {found.shown} is none.")
    return History(_OPENERS[found.opener].open(found, _Options(as_of, names, patience)))


@contextmanager
def opened(place: Openable, *, as_of: str | datetime | None = None, names: Names | None = None) -> Iterator[Source]:
    """Yield a place as a source; one that was opened here is closed after the block.

    Raises:
        UsageError: as `open_source`, or `as_of` with a source that is open already.
    """
    if isinstance(place, str | Path):
        with open_source(place, as_of=as_of, names=names) as history:
            yield history
        return
    if as_of is not None:
        raise UsageError("as_of goes with the address of an archive; open the archive with it.")
    yield place


@contextmanager
def opened_deployment(place: Openable, refusal: str, *, names: Names | None = None) -> Iterator[Deployment]:
    """Yield the deployment at a place; anything else is refused before it is opened.

    Raises:
        NotSupported: no deployment; the message is `refusal`.
        UsageError: as `connect`.
    """
    from sync_tool.deployment.deployment import Deployment

    if isinstance(place, str | Path):
        require_deployment(place)
    with opened(place, names=names) as source:
        deployment = source.capability(Deployment)
        if deployment is None:
            raise NotSupported(refusal, hint=_DEPLOYMENTS)
        yield deployment


def require_deployment(address: str | Path) -> None:
    """Refuse an address that names no deployment, without opening it.

    Raises:
        NotSupported: no deployment.
    """
    found = _find(address)
    if found.kind != "deployment":
        raise NotSupported(f"{found.shown} names no deployment.", hint=_DEPLOYMENTS)


def kind_of(address: str | Path) -> Kind:
    """Return what an address names, without opening it."""
    return _find(address).kind


def path_named(address: str | Path) -> Path:
    """Return the path that an address names, directly or through ``env:NAME``."""
    return _find(address).path


def each_openable(given: Openable | Iterable[Openable]) -> list[Openable]:
    """Return one or several places as a list."""
    return [given] if isinstance(given, str | Path) or not isinstance(given, Iterable) else list(given)


# The table of openers: the first one that takes an address opens it.

Kind = Literal["deployment", "store", "archive", "stdin", "folder", "file"]
_DEPLOYMENTS: Final = (("give", "@FILE (an env file), a URL, live, or env:NAME"),)


class _Found(NamedTuple):
    """An address with variables resolved, and its opener."""

    shown: str
    """As given, or in one line; no secret."""
    text: str
    """The address itself; may hold a password when it comes from a variable."""
    opener: int

    @property
    def kind(self) -> Kind:
        """Kind of the place."""
        return _OPENERS[self.opener].kind

    @property
    def path(self) -> Path:
        """The address as a path."""
        return Path(self.text).expanduser()


class _Options(NamedTuple):
    as_of: str | datetime | None
    names: Names | None
    patience: Patience | None


class _Opener(NamedTuple):
    kind: Kind
    takes: Callable[[str], bool]
    open: Callable[[_Found, _Options], Source]


def _find(address: str | Path) -> _Found:
    given = str(address)
    if not given:
        raise UsageError("an address is empty.", hint=[("perhaps", "a variable of the shell that is not set")])
    text, _ = spell_out(given)
    held = given.startswith("env:")  # a variable may hold anything, a password too: its content is not shown
    shown = given if held else one_line(text)
    try:
        opener = next(number for number, one in enumerate(_OPENERS) if one.takes(text))
        there = _OPENERS[opener].kind != "file" or not held or Path(text).expanduser().exists()
    except (OSError, RuntimeError):  # a name that is too long, or the home of nobody
        opener, there = 0, False
    if not there:
        raise UsageError(f"{shown} names no file or folder that is there, and no deployment or store.")
    return _Found(shown, text, opener)


def _open_store(found: _Found, _: _Options) -> Source:
    from sync_tool.stores.opening import open_store

    return open_store(found.shown if found.shown.startswith("env:") else found.text)


def _open_json_store(found: _Found, _: _Options) -> Source:
    from sync_tool.stores.jsonfiles import JsonFiles
    from sync_tool.stores.opening import StoreRows

    return StoreRows(JsonFiles(found.path))


def _open_archive(found: _Found, options: _Options) -> Source:
    from sync_tool.archive.reader import ArchiveRows

    return ArchiveRows(found.path, options.as_of)


def _open_stdin(_: _Found, options: _Options) -> Source:
    from sync_tool.files.source import StandardInput

    return StandardInput(options.names)


def _open_folder(found: _Found, _: _Options) -> Source:
    from sync_tool.files.folder import MessageFolder

    return MessageFolder(found.path)


def _open_file(found: _Found, options: _Options) -> Source:
    from sync_tool.files.source import MessageFile

    return MessageFile(found.path, options.names)


def _is_json_store(text: str) -> bool:
    """Return True for JSON files of LangChain; files and folders of this tool are none."""
    from sync_tool.files.folder import JOURNAL, MANIFEST
    from sync_tool.files.formats import names_a_format
    from sync_tool.stores.jsonfiles import is_json_store

    path = Path(text).expanduser()
    ours = (path / MANIFEST).exists() or (path / JOURNAL).exists() if path.is_dir() else names_a_format(path)
    return not ours and is_json_store(path)


_OPENERS: Final = (
    _Opener(
        "deployment",
        lambda text: text == _LIVE,
        lambda _, options: connect(names=options.names, patience=options.patience),
    ),
    _Opener(
        "deployment",
        lambda text: text.startswith("@"),
        lambda found, options: connect(env_file=found.text[1:], names=options.names, patience=options.patience),
    ),
    _Opener(
        "deployment",
        lambda text: text.startswith(("https://", "http://")),
        lambda found, options: connect(found.text, names=options.names, patience=options.patience),
    ),
    _Opener("store", lambda text: "://" in text, _open_store),
    _Opener("stdin", lambda text: text == STDIN, _open_stdin),
    _Opener("archive", lambda text: is_archive(Path(text).expanduser()), _open_archive),
    _Opener("store", _is_json_store, _open_json_store),
    _Opener("folder", lambda text: Path(text).expanduser().is_dir(), _open_folder),
    _Opener("file", lambda _: True, _open_file),
)
