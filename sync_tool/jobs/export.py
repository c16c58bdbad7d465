"""``export``: selected messages of a source into a file or onto standard output."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Unpack

from sync_tool.files.formats import format_of, make_writer
from sync_tool.files.output import check_output, new_file, standard_output
from sync_tool.jobs.metering import Estimate, capped, estimate_all, peeked, read_cap
from sync_tool.jobs.selecting import SelectionKeywords, make_selection, parse_size
from sync_tool.model import Page, Selection
from sync_tool.pipeline import ahead, run
from sync_tool.ports import Progress, Source

STDOUT = "-"


@dataclass(frozen=True, slots=True)
class FileReport:
    """A file that was written."""

    path: str
    bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export did; the object that ``--json`` prints."""

    source: str
    rows: int
    sessions: int
    set_aside: int
    read_bytes: int
    files: tuple[FileReport, ...]
    started: datetime
    """When the first page was asked for. Pages are read one after the other: not one moment."""
    ended: datetime
    seconds: float
    estimate: Estimate | None = None
    """What was expected before reading, where the whole table was read."""


def export(
    source: Source,
    output: str | Path,
    *,
    format: str | None = None,  # noqa: A002  # the flag's name
    overwrite: bool = False,
    max_read: str | float | None = None,
    progress: Progress | None = None,
    **selection: Unpack[SelectionKeywords],
) -> ExportReport:
    """Write the selected messages of `source` into one file.

    Args:
        source: what `connect` or `open` returned.
        output: path of the file, whose suffix decides format and compression; ``-`` for standard output.
        format: ``jsonl``, ``parquet`` or ``md``, where the suffix does not say it.
        overwrite: replace an existing file.
        max_read: most bytes to read, such as ``250MB``. Without it 200 MB on a cloud plan without streaming.
        progress: who is told how far it is.
        selection: which messages; everything without it.

    Raises:
        UsageError: an unknown session, table or index; an unusable output; more to read than allowed.
        Refused: the deployment refused.
        Unreachable: the deployment gave no answer.
    """
    source = getattr(source, "source", source)
    progress = progress or SILENT
    chosen = make_selection(selection)
    to_stdout = str(output) == STDOUT
    if not to_stdout:
        check_output(Path(output), overwrite=overwrite)
    kind = format or "jsonl" if to_stdout else format_of(Path(output), format)
    cap_asked = parse_size(max_read, "--max-read")
    started, clock = datetime.now(UTC), time.monotonic()
    with _opened(output, overwrite=overwrite) as stream:
        pages, estimate = _begin(source, chosen, cap_asked, progress)
        with closing(make_writer(kind, stream, source.names, source.title)) as writer, ahead(pages) as coming:
            totals = run(coming, writer, progress)
    size = 0 if to_stdout else Path(output).stat().st_size
    return ExportReport(
        source=source.title,
        rows=totals.rows,
        sessions=totals.sessions,
        set_aside=0,
        read_bytes=totals.read_bytes,
        files=() if to_stdout else (FileReport(str(output), size, totals.rows),),
        started=started,
        ended=datetime.now(UTC),
        seconds=time.monotonic() - clock,
        estimate=estimate,
    )


def _begin(
    source: Source, chosen: Selection, cap_asked: int | None, progress: Progress
) -> tuple[Iterator[Page], Estimate | None]:
    """Read the first page, which shows that there is something to read, and announce the rest."""
    title = f"{source.title} · table {source.names.table}"
    cap = read_cap(source, cap_asked)
    first, pages = peeked(source.pages(chosen))
    estimate = estimate_all(source, first) if chosen.everything and first else None
    progress.detail(source.way)
    progress.begin(f"{title} · {estimate}" if estimate else title, estimate.rows if estimate else None)
    return capped(pages, cap, estimate), estimate


@contextmanager
def _opened(output: str | Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    if str(output) == STDOUT:
        with standard_output() as stream:
            yield stream
    else:
        with new_file(Path(output), overwrite=overwrite) as stream:
            yield stream


class _Silent:
    """Progress for programs that did not ask."""

    def begin(self, title: str, total: int | None) -> None:
        """Tell nobody."""

    def advance(self, rows: int, size: int) -> None:
        """Tell nobody."""

    def note(self, text: str) -> None:
        """Tell nobody."""

    def detail(self, text: str) -> None:
        """Tell nobody."""


SILENT: Progress = _Silent()
