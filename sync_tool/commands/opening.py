"""From what a person gives (flags, an address) to a source of messages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sync_tool.archive.layout import is_archive
from sync_tool.commands.history import History
from sync_tool.errors import Damaged, UsageError
from sync_tool.files.folder import MessageFolder
from sync_tool.files.pieces import LineChunk
from sync_tool.files.source import STDIN, MessageFiles, RecordFile
from sync_tool.messages.records import Record
from sync_tool.rows.model import Names, Page
from sync_tool.rows.ports import Source
from sync_tool.stores.rows import StoreRows
from sync_tool.stores.store import Facts, Store
from sync_tool.text import one_line

if TYPE_CHECKING:
    from sync_tool.deployment.deployment import Via
    from sync_tool.deployment.rates import Patience
    from sync_tool.rows.stored import StoredRows

_LIVE: Final = "live"
_VARIABLE: Final = "env:"


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
        url: base URL; without it the key or the environment says where.
        key: a deploy or admin key; without it the environment or `env_file` holds it.
        env_file: a file of ``NAME=value`` lines that alone is looked at.
        key_command: a shell command that prints the key.
        names: table, index and field names other than LangChain's.
        via: how to read: ``auto``, ``functions`` or ``system``.
        patience: timeouts and attempts.

    Raises:
        UsageError: no key or URL, or ones that do not belong together.
        Refused: the deployment refused the key.
        Unreachable: no answer.
    """
    from sync_tool.deployment.deployment import Deployment
    from sync_tool.deployment.settings import Settings, find_target, load_settings

    settings = Settings({}) if key is not None and url is not None else load_settings(env_file)
    if key is not None:
        settings, key_command = settings.with_key(key), None
    return History(Deployment(find_target(settings, url, key_command), names, via=via, patience=patience))


def open_address(
    address: str | Path,
    *,
    as_of: str | datetime | None = None,
    names: Names | None = None,
    patience: Patience | None = None,
) -> History:
    """Open whatever an address names: a file, a folder that an export wrote, an archive, a deployment, a store.

    Args:
        address: a path; ``-`` (JSONL on standard input); ``https://…``; ``@FILE`` (the deployment of an
            env file); ``live`` (of the environment); another store of LangChain's (``redis://host:6379/0``);
            ``env:NAME`` (an address held in a variable).
        as_of: of an archive, an older state: a run's name, a date, or a time.
        names: table, index and field names other than LangChain's.
        patience: timeouts and attempts, where it is a deployment.

    Raises:
        UsageError: nothing there, an address with a password in it, or `as_of` with something that is no archive.
    """
    store = open_store_rows(address)
    if store is not None:
        return History(store)
    text = _spelled_out(str(address))
    if as_of is not None and (text == _LIVE or text.startswith(("@", "http://", "https://"))):
        raise _no_archive(_shown(address, text))
    if text == _LIVE:
        return connect(names=names, patience=patience)
    if text.startswith("@"):
        return connect(env_file=text[1:], names=names, patience=patience)
    if text.startswith(("http://", "https://")):
        return connect(text, names=names, patience=patience)
    _require_path(str(address), text)
    return History(open_stored(text, names, as_of))


def _shown(address: str | Path, text: str) -> str:
    """Return an address for messages: of a variable only its name, as it may hold a password or a key."""
    return str(address) if str(address).startswith(_VARIABLE) else text


def _require_path(address: str, text: str) -> None:
    """Refuse what is certainly no path, without showing what a variable holds."""
    try:
        there = text == STDIN or Path(text).expanduser().exists()
    except (OSError, RuntimeError):  # a name that is too long, or a home of nobody
        there = False
    if there:
        return
    if "://" in text:
        shown = address if address.startswith(_VARIABLE) else f"{text.partition('://')[0]}://"
        raise UsageError(
            f"{one_line(shown)} is an address of an unknown kind.",
            hint=[("known", "https://…, @FILE, live, a path, or a store such as redis://… and sqlite:///…")],
        )
    if address.startswith(_VARIABLE):
        raise UsageError(f"{address} names no file or folder that is there, and no deployment or store.")


def open_deployment(address: str | Path, *, names: Names | None = None, patience: Patience | None = None) -> History:
    """Open the deployment that an address names; what else an address can name is refused unopened.

    Raises:
        UsageError: the address names no deployment, or as `connect`.
        Refused: the deployment refused the key.
        Unreachable: no answer.
    """
    text = _spelled_out(str(address))
    if text != _LIVE and not text.startswith(("@", "http://", "https://")):
        shown = one_line(_shown(address, text))
        raise UsageError(f"{shown} names no deployment.", hint=[("give", "@FILE (an env file), a URL, live, env:NAME")])
    return open_address(text, names=names, patience=patience)


def open_store_rows(address: str | Path) -> StoreRows | None:
    """Open the store of LangChain's that a URL, or a variable that holds one, names; None if it names none.

    Raises:
        UsageError: a password in the address, no such variable or table, or a package that is not installed.
        Unreachable: no answer.
        Refused: user, password or rights.
    """
    text = str(address)
    if "://" not in text and not text.startswith(_VARIABLE):
        return None
    from sync_tool.stores.opening import open_store
    from sync_tool.stores.rows import StoreRows

    store = open_store(text)
    return None if store is None else StoreRows(store)


def _spelled_out(text: str) -> str:
    """Return an address, or what the variable holds that it names."""
    if not text:
        raise UsageError("an address is empty.", hint=[("perhaps", "a variable of the shell that is not set")])
    if not text.startswith(_VARIABLE):
        if "@" in text.partition("://")[2].partition("/")[0]:
            raise UsageError(
                "an address with a password does not belong on a command line.",
                hint=[("put it", "into a variable: env:NAME")],
            )
        return text
    held = os.environ.get(text.removeprefix(_VARIABLE))
    if not held:
        raise UsageError(f"{text}: there is no variable {text.removeprefix(_VARIABLE)!r}, or it is empty.")
    return held


def open_stored(path: str | Path, names: Names | None = None, as_of: str | datetime | None = None) -> StoredRows:
    """Open a file, a folder that an export wrote, an archive, or ``-`` for JSONL on standard input.

    Args:
        path: which.
        names: table (of a zip) and field names; Parquet, folders and archives know theirs.
        as_of: of an archive, an older state.

    Raises:
        UsageError: nothing there, or nothing that can be read.
        Damaged: a folder that is not as its manifest says.
    """
    if not str(path):
        raise UsageError("the name of a file is empty.", hint=[("perhaps", "a variable of the shell that is not set")])
    if str(path) != STDIN and is_archive(Path(path).expanduser()):
        from sync_tool.archive.reader import ArchiveRows

        return ArchiveRows(Path(path).expanduser(), as_of)
    if as_of is not None:
        raise _no_archive(str(path))
    if str(path) == STDIN:
        from sync_tool.files.source import StandardInput

        return StandardInput(names)
    where = Path(path).expanduser()
    if is_json_history(where):
        from sync_tool.stores.jsonfiles import JsonFiles
        from sync_tool.stores.rows import StoreRows

        return StoreRows(JsonFiles(where))
    if where.is_dir():
        from sync_tool.files.folder import MessageFolder

        return MessageFolder(where)
    from sync_tool.files.source import MessageFile

    return MessageFile(where, names)


def is_json_history(path: Path) -> bool:
    """Tell whether a path is no file or folder of this tool, but one where LangChain keeps histories as JSON."""
    from sync_tool.files.folder import JOURNAL, MANIFEST
    from sync_tool.files.formats import names_a_format

    if (path / MANIFEST).exists() or (path / JOURNAL).exists() if path.is_dir() else names_a_format(path):
        return False
    from sync_tool.stores.jsonfiles import is_json_store

    return is_json_store(path)


def _no_archive(address: str) -> UsageError:
    return UsageError(f"--as-of is for archives, and {address} is none.")


# What a source of records consists of: files one by one, a deployment, standard input.

_ADDRESSES: Final = ("@", "env:")


@dataclass(frozen=True, slots=True)
class InputPart:
    """A file, or a place that is no file."""

    title: str
    names: Names
    records: Callable[[], Iterator[Record]]
    """Reads the records, each with the place where it stands.

    Raises:
        Damaged: it cannot be read to its end.
    """
    pieces: Callable[[], Iterator[LineChunk] | None] = lambda: None
    """Gives the same as lines, many at a time; None where there are none. Raises as `records` does."""
    size: int = 0
    """About how many bytes these lines are, where that is known."""
    live: bool = False
    """True where only the selected records come."""
    lines: bool = True
    """True where records are lines of a file; elsewhere a record's number changes when others come or go."""
    facts: Facts | None = None
    """What is known of another store of LangChain's."""

    @property
    def said(self) -> str:
        """What a person calls it, with what is known of it."""
        return self.title if self.facts is None else f"{self.title}, {self.facts.summary}"


def is_opened(source: str | Path) -> bool:
    """Tell whether a source is no file whose lines are looked at as they stand: a deployment, an archive, a store."""
    text = str(source)
    if text == _LIVE or text.startswith(_ADDRESSES) or "://" in text:
        return True
    path = Path(source).expanduser()
    return text != STDIN and (is_archive(path) or is_json_history(path))


def parts_of(
    source: History | str | Path,
    names: Names,
    pages: Callable[[Source], Iterator[Page]],
    max_unpacked: int | None = None,
) -> Iterator[InputPart]:
    """Yield what a source consists of.

    Args:
        source: a path, ``-``, or what `connect` and `open` returned.
        names: how table and fields are called in files that do not say it.
        pages: reads the selected rows of a place that is no file.
        max_unpacked: most bytes that may come out of a compressed file; None for the usual bound.

    Raises:
        UsageError: no such file, or a format that cannot be read.
        Unreachable: a store gave no answer.
        Refused: a store does not accept user or password.
    """
    if isinstance(source, str | Path):
        if str(source) == STDIN or not Path(source).is_dir():
            yield _file(source, names, max_unpacked)
            return
        source = History(MessageFolder(Path(source)))
    store, files = source.capability(StoreRows), source.capability(MessageFiles)
    if store is not None:
        yield _store(store.store)
    elif files is not None:
        yield from (_file(file.path, file.names, max_unpacked) for file in files.files)
    else:
        yield _place(source, pages)


def _file(path: str | Path, names: Names, max_unpacked: int | None) -> InputPart:
    try:
        file = RecordFile(path, names, unpacked_limit=max_unpacked)
    except Damaged as error:
        return InputPart(str(path), names, _Broken(error))
    return InputPart(file.title, file.names, file.records, file.pieces, file.size)


def _place(source: Source, pages: Callable[[Source], Iterator[Page]]) -> InputPart:
    def records() -> Iterator[Record]:
        rows = (row for page in pages(source) for row in page.rows)
        return (Record(number, row.raw) for number, row in enumerate(rows, 1))

    return InputPart(source.title, source.names, records, live=True, lines=False)


def _store(store: Store) -> InputPart:
    return InputPart(store.title, Names(), store.records, lines=False, facts=store.facts())


class _Broken:
    """Says when its records are asked for that there are none to be had."""

    def __init__(self, error: Damaged) -> None:
        self._error = error

    def __call__(self) -> Iterator[Record]:
        raise self._error
