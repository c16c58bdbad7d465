"""An export into a folder of files, which keeps its finished parts when it is stopped and run again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from sync_tool.errors import UsageError
from sync_tool.files.formats import make_writer
from sync_tool.files.manifest import Journal, Part, is_export, remove_export
from sync_tool.files.output import new_file, translate
from sync_tool.jobs.partitions import PartitionBy, Portion, portions, position_record
from sync_tool.model import Page, Position, Row, Selection
from sync_tool.pipeline import Totals, run
from sync_tool.ports import Progress, Source
from sync_tool.text import plural

SUFFIXES: Final = {
    "jsonl": ".jsonl",
    "jsonl.zst": ".jsonl.zst",
    "jsonl.gz": ".jsonl.gz",
    "parquet": ".parquet",
    "md": ".md",
}
"""Formats of the files in a folder."""


def is_folder(output: str | Path, partition_by: str | None) -> bool:
    """Tell whether an output is meant as a folder."""
    return partition_by is not None or str(output).endswith("/") or os.path.isdir(output)  # noqa: PTH112  # Path.is_dir raises for long names


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the files go, and how the rows are divided among them.

    Raises:
        UsageError: no format for files of a folder.
    """

    folder: Path
    kind: str
    by: PartitionBy

    def __post_init__(self) -> None:
        if self.kind not in SUFFIXES:
            raise UsageError(
                f"{self.kind!r} is not a format for the files of a folder.", hint=[("known", ", ".join(SUFFIXES))]
            )


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be exported: from where, which rows, and as the user asked for it."""

    source: Source
    selection: Selection
    asked: dict[str, Any]
    """The selection before ``7d`` became a time: what has to be the same when an export goes on."""
    watch: Callable[[Iterator[Page]], Iterator[Page]]
    """Passes pages on, and may stop the reading by raising."""

    def read(self, selection: Selection, resume: Position | None) -> Iterator[Page]:
        """Read rows behind a position."""
        return self.watch(self.source.pages(selection, resume))


def export_folder(task: Task, layout: Layout, progress: Progress, *, overwrite: bool) -> tuple[Totals, list[Part]]:
    """Write the selected rows into files of a folder, going on where an earlier run was stopped.

    To replace a complete export, the new one grows in a folder beside it (``.NAME.part``) and takes its
    place when it is complete.

    Returns:
        what the whole export holds (with the bytes that this run has read), and its parts.

    Raises:
        OutputError: the folder holds something else, or cannot be written.
        Locked: another run is writing it.
    """
    target = layout.folder
    try:
        _bring_back(target)
        if not (overwrite and target.is_dir() and is_export(target)):
            return _fill(task, layout, progress)
        staged = replace(layout, folder=target.with_name(f".{target.name}.part"))
        done = _fill(task, staged, progress)
        _swap(staged.folder, target)
    except OSError as error:
        raise translate(error, target) from None
    else:
        return done


def _fill(task: Task, layout: Layout, progress: Progress) -> tuple[Totals, list[Part]]:
    about = {
        "source": task.source.title,
        "names": asdict(task.source.names),
        "asked": task.asked,
        "file_format": layout.kind,
        "partition_by": layout.by,
    }
    layout.folder.mkdir(mode=0o700, exist_ok=True)
    journal = Journal(layout.folder, about, {"selection": asdict(task.selection)})
    selection = Selection(**{name: _tuples(value) for name, value in journal.settled["selection"].items()})
    totals = Totals(sum(part.rows for part in journal.parts), sum(part.sessions for part in journal.parts))
    if journal.parts:
        progress.note(f"going on: {plural(len(journal.parts), 'finished part')}, {plural(totals.rows, 'message')} kept")
    with closing(journal):
        for portion in portions(task.source, task.read, selection, layout.by, list(journal.parts)):
            done = _write(task.source, layout, portion, journal, progress)
            totals.rows += done.rows
            totals.sessions += done.sessions
            totals.read_bytes += done.read_bytes
        journal.finish({"rows": totals.rows})
    return totals, journal.parts


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _swap(staged: Path, target: Path) -> None:
    """Put a complete export into the place of another one."""
    old = target.with_name(f".{target.name}.old")
    target.rename(old)
    staged.rename(target)
    remove_export(old)


def _bring_back(target: Path) -> None:
    """Undo a swap that was cut in two by a kill."""
    old = target.with_name(f".{target.name}.old")
    if old.is_dir() and not target.exists():
        old.rename(target)
    elif old.is_dir() and is_export(old):
        remove_export(old)


def _write(source: Source, layout: Layout, portion: Portion, journal: Journal, progress: Progress) -> Totals:
    path = layout.folder / f"{portion.name}{SUFFIXES[layout.kind]}"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    last = _Last()
    with (
        new_file(path, overwrite=True) as stream,
        closing(make_writer(layout.kind.partition(".")[0], stream, source.names, source.title)) as writer,
    ):
        totals = run(last.watch(portion.pages), writer, progress)
    place = position_record(last.row) if last.row else None
    journal.add(path, totals, label=portion.label, session=portion.session, last=place)
    return totals


class _Last:
    """Remembers the last row that went by."""

    row: Row | None = None

    def watch(self, pages: Iterator[Page]) -> Iterator[Page]:
        """Pass pages on."""
        for page in pages:
            if page.rows:
                self.row = page.rows[-1]
            yield page
