"""What a source of records consists of: files one by one, a deployment, standard input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sync_tool.archive.layout import is_archive
from sync_tool.errors import Damaged
from sync_tool.files.folder import MessageFolder
from sync_tool.files.pieces import Piece
from sync_tool.files.records import STDIN, RecordFile
from sync_tool.files.source import MessageFile
from sync_tool.jobs.history import History
from sync_tool.jobs.opening import is_json_history
from sync_tool.jobs.storerows import StoreRows
from sync_tool.model import Names, Page
from sync_tool.ports import Source
from sync_tool.records import Record
from sync_tool.stores.store import Facts, Store

_ADDRESSES: Final = ("@", "env:")
_LIVE: Final = "live"


@dataclass(frozen=True, slots=True)
class Part:
    """A file, or a place that is no file."""

    title: str
    names: Names
    records: Callable[[], Iterator[Record]]
    """Reads the records, each with the place where it stands.

    Raises:
        Damaged: it cannot be read to its end.
    """
    pieces: Callable[[], Iterator[Piece] | None] = lambda: None
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
) -> Iterator[Part]:
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
    inner: object = source.source if isinstance(source, History) else source
    if isinstance(inner, StoreRows):
        yield _store(inner.store)
        return
    if isinstance(source, History) and not isinstance(inner, MessageFile | MessageFolder):
        yield _place(source.source, pages)
        return
    if isinstance(inner, str | Path) and str(inner) != STDIN and Path(inner).is_dir():
        inner = MessageFolder(Path(inner))
    if isinstance(inner, MessageFolder):
        yield from (_file(file.path, file.names, max_unpacked) for file in inner.files)
    elif isinstance(inner, MessageFile):
        yield _file(inner.path, inner.names, max_unpacked)
    elif isinstance(inner, str | Path):
        yield _file(inner, names, max_unpacked)


def _file(path: str | Path, names: Names, max_unpacked: int | None) -> Part:
    try:
        file = RecordFile(path, names, unpacked_limit=max_unpacked)
    except Damaged as error:
        return Part(str(path), names, _Broken(error))
    return Part(file.title, file.names, file.records, file.pieces, file.size)


def _place(source: Source, pages: Callable[[Source], Iterator[Page]]) -> Part:
    def records() -> Iterator[Record]:
        rows = (row for page in pages(source) for row in page.rows)
        return (Record(number, row.raw) for number, row in enumerate(rows, 1))

    return Part(source.title, source.names, records, live=True, lines=False)


def _store(store: Store) -> Part:
    return Part(store.title, Names(), store.records, lines=False, facts=store.facts())


class _Broken:
    """Says when its records are asked for that there are none to be had."""

    def __init__(self, error: Damaged) -> None:
        self._error = error

    def __call__(self) -> Iterator[Record]:
        raise self._error
