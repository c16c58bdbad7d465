"""An export into a folder of files, which keeps its finished parts when it is stopped and run again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from sync_tool.errors import UsageError
from sync_tool.files.formats import make_writer
from sync_tool.files.manifest import Journal, Part, clear
from sync_tool.files.output import new_file, translate
from sync_tool.jobs.partitions import PartitionBy, Portion, portions, position_record
from sync_tool.model import Page, Row, Selection
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
    return partition_by is not None or str(output).endswith("/") or Path(output).is_dir()


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


Watch = Callable[[Iterator[Page]], Iterator[Page]]


def export_folder(
    source: Source, selection: Selection, layout: Layout, watch: Watch, progress: Progress, *, overwrite: bool
) -> tuple[Totals, list[Part]]:
    """Write the selected rows into files of a folder, going on where an earlier run was stopped.

    Args:
        source: what is exported.
        selection: which rows.
        layout: the folder and its files.
        watch: passes pages on, and may stop the reading by raising.
        progress: who is told.
        overwrite: clear away an export that is there.

    Returns:
        what the whole export holds (with the bytes that this run has read), and its parts.

    Raises:
        OutputError: the folder holds something else, or cannot be written.
    """
    journal = _open_journal(source, selection, layout, overwrite=overwrite)
    totals = Totals(sum(part.rows for part in journal.parts), sum(part.sessions for part in journal.parts))
    if journal.parts:
        progress.note(
            f"going on: {plural(len(journal.parts), 'finished part')} of {plural(totals.rows, 'message')} kept"
        )
    with closing(journal):
        for portion in portions(source, selection, layout.by, journal.parts):
            done = _write(source, layout, portion, journal, progress, watch)
            totals.rows += done.rows
            totals.sessions += done.sessions
            totals.read_bytes += done.read_bytes
        journal.finish({"rows": totals.rows})
    return totals, journal.parts


def _open_journal(source: Source, selection: Selection, layout: Layout, *, overwrite: bool) -> Journal:
    about: dict[str, Any] = {
        "source": source.title,
        "names": asdict(source.names),
        "selection": asdict(selection),
        "file_format": layout.kind,
        "partition_by": layout.by,
    }
    try:
        layout.folder.mkdir(mode=0o700, exist_ok=True)
        if overwrite:
            clear(layout.folder)
        return Journal(layout.folder, about)
    except OSError as error:
        raise translate(error, layout.folder) from None


def _write(
    source: Source, layout: Layout, portion: Portion, journal: Journal, progress: Progress, watch: Watch
) -> Totals:
    path = layout.folder / f"{portion.name}{SUFFIXES[layout.kind]}"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    last = _Last()
    with (
        new_file(path, overwrite=True) as stream,
        closing(make_writer(layout.kind.partition(".")[0], stream, source.names, source.title)) as writer,
    ):
        totals = run(watch(last.watch(portion.pages)), writer, progress)
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
