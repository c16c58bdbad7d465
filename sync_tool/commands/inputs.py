"""Sources as records, for commands that judge each record: files line by line, other sources row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sync_tool.commands.opening import Openable, kind_of, opened, path_named
from sync_tool.errors import Damaged
from sync_tool.files.lines import LineChunk
from sync_tool.files.source import MessageFiles, RecordFile
from sync_tool.messages.records import Record
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Names
from sync_tool.rows.ports import Source
from sync_tool.stores.opening import StoreRows
from sync_tool.stores.store import Facts


@dataclass(frozen=True, slots=True)
class InputPart:
    """A file, or another source as a whole."""

    title: str
    names: Names
    records: Callable[[], Iterator[Record]]
    """Reads the records, each with its place.

    Raises:
        Damaged: it cannot be read to its end.
    """
    chunks: Callable[[], Iterator[LineChunk] | None] = lambda: None
    """Reads the same as chunks of lines; None where there are no lines. Raises as `records` does."""
    size: int = 0
    """About how many bytes these lines are, where that is known."""
    selected: bool = False
    """True if only the selected records come."""
    lines: bool = True
    """True if records are lines of a file; elsewhere a record's number changes when others come or go."""
    facts: Facts | None = None
    """Facts about another store of LangChain's."""

    @property
    def said(self) -> str:
        """Title for people, with the facts."""
        return self.title if self.facts is None else f"{self.title}, {self.facts.summary}"


@dataclass(frozen=True, slots=True)
class InputOptions:
    """Options of reading.

    Args:
        names: names of table and fields, for files that do not hold them.
        as_of: of an archive, an older state.
        max_unpacked: most bytes that may come out of a compressed file; None for the usual bound.
        pages: reads the selected rows of a source that is no file.
    """

    names: Names
    as_of: str | datetime | None
    max_unpacked: int | None
    pages: Callable[[Source], Iterator[Page]]
    again: bool = False
    """Records may be read twice, also those of standard input."""


def input_parts(place: Openable, options: InputOptions, stack: ExitStack) -> Iterator[InputPart]:
    """Yield the parts of a place; sources that are opened for it are closed with `stack`.

    Raises:
        UsageError: no such file, or a format that cannot be read.
        Unreachable: a deployment or store gave no answer.
        Refused: a deployment or store refused the key, the user or the rights.
    """
    if isinstance(place, str | Path) and options.as_of is None and kind_of(place) in ("file", "stdin"):
        yield _file(path_named(place), options.names, options)
        return
    source = stack.enter_context(opened(place, as_of=options.as_of, names=options.names))
    store, files = source.capability(StoreRows), source.capability(MessageFiles)
    if store is not None:
        yield InputPart(store.title, Names(), store.store.records, lines=False, facts=store.store.facts())
    elif files is not None:
        yield from (_file(file.path, file.names, options) for file in files.files)
    else:

        def records() -> Iterator[Record]:
            rows = (row for page in options.pages(source) for row in page.rows)
            return (Record(number, row.raw) for number, row in enumerate(rows, 1))

        yield InputPart(source.title, source.names, records, selected=True, lines=False)


def _file(path: Path, names: Names, options: InputOptions) -> InputPart:
    try:
        file = RecordFile(path, names, unpacked_limit=options.max_unpacked, again=options.again)
    except Damaged as error:
        return InputPart(str(path), names, _Broken(error))
    return InputPart(file.title, file.names, file.records, file.chunks, file.size)


class _Broken:
    """Records of a file that is damaged before its first record."""

    def __init__(self, error: Damaged) -> None:
        self._error = error

    def __call__(self) -> Iterator[Record]:
        raise self._error
