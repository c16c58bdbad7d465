"""``export``: selected messages of a source into a file or onto standard output."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import gettempdir
from typing import NamedTuple, Unpack

from sync_tool.commands.arguments import parse_size
from sync_tool.commands.export.folder import FolderLayout, Task, export_folder, is_folder
from sync_tool.commands.export.once import ReadOnce
from sync_tool.commands.export.training import TrainingReport, training_of, training_report
from sync_tool.commands.metering import Estimate, Meter, estimate_all, read_cap
from sync_tool.commands.opening import Openable, opened
from sync_tool.commands.options import ExportKeywords, ExportOptions, OutputOptions, PartitionBy
from sync_tool.errors import UsageError
from sync_tool.files.bytes import check_output, compressed, new_file, standard_output
from sync_tool.files.conversations import ConversationWriter, Training
from sync_tool.files.formats import added_compression, form_of, format_of, make_writer, names_a_format
from sync_tool.files.merged import Merged
from sync_tool.files.ready import cut_pages, ready_pages
from sync_tool.keywords import strict_keywords
from sync_tool.parallel.processes import processes_for
from sync_tool.rows.model import Page
from sync_tool.rows.ports import SILENT, Progress, Source, Totals, run
from sync_tool.text import size

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
    sessions: int | None
    """None where the files are months: a session may be in several."""
    set_aside: int
    read_bytes: int
    files: tuple[FileReport, ...]
    started: datetime
    """When the first page was asked for. Pages are read one after the other: not one moment."""
    ended: datetime
    seconds: float
    estimate: Estimate | None = None
    """What was expected before reading, where the whole table was read."""
    training: TrainingReport | None = None
    """For formats for fine-tuning: how many conversations, what was left out and what was not carried."""


@strict_keywords(ExportOptions)
def export(source: Openable, output: str | Path, **keywords: Unpack[ExportKeywords]) -> ExportReport:
    """Write the selected messages of `source` into one file, or into the files of a folder.

    A single file is complete or not there; a second run starts over. A folder keeps its finished parts, and the
    same call resumes an interrupted export.

    Args:
        source: an address, a path, or what `connect` or `open` returned.
        output: path of the file, whose suffix decides format and compression; ``-`` for standard output;
            a path that ends with ``/`` or names a folder makes a folder.
        keywords: `ExportOptions`.

    Raises:
        UsageError: an unknown session, table or index; an unusable output; more to read than allowed.
        Refused: the deployment refused.
        Unreachable: the deployment gave no answer.
    """
    options = ExportOptions(**keywords)
    cap = parse_size(options.max_read, "--max-read")
    training = training_of(options)
    target = target_of(output, options)
    with opened(source, as_of=options.as_of, names=options.names) as opened_source:
        return write_target(opened_source, target, options, training, cap)


class OutputTarget(NamedTuple):
    """A checked output."""

    path: Path | None
    """None for standard output."""
    kind: str
    """The format, with its compression."""
    folder: bool


def target_of(output: str | Path, options: OutputOptions) -> OutputTarget:
    """Return where to write, and in which format.

    Raises:
        UsageError: an output without a name, one that exists, or one that contradicts the options.
    """
    if not str(output):
        raise UsageError("the output has no name.", hint=[("give", "-o FILE, or - for standard output")])
    path = None if str(output) == STDOUT else Path(output)
    folder = path is not None and is_folder(output, options.partition_by)
    if options.partition_by is not None and path is None:
        raise UsageError("--partition-by needs a folder: -o FOLDER/")
    if options.partition_by is not None and path is not None and names_a_format(path):
        raise UsageError(f"{output} is the name of a file, but --partition-by makes a folder.")
    if path is None or folder:
        return OutputTarget(path, options.format or ("parquet" if folder else "jsonl"), folder)
    check_output(path, overwrite=options.overwrite)
    return OutputTarget(path, format_of(path, options.format), folder)


def write_target(
    source: Source, target: OutputTarget, options: OutputOptions, training: Training | None, cap: int | None = None
) -> ExportReport:
    """Write the selected messages, reading at most `cap` bytes."""
    job = _Run(source, options, cap)
    if target.path is not None and target.folder:
        return job.into_folder(target.path, target.kind, options.partition_by or "none", overwrite=options.overwrite)
    return job.into_file(target.path, target.kind, overwrite=options.overwrite, training=training)


class _Run:
    """One export under way."""

    def __init__(self, source: Source, options: OutputOptions, cap: int | None) -> None:
        self._source = source
        self._processes = options.processes
        self._chosen = options.selection()
        self._asked = {
            name: value if isinstance(value, float) else str(value) for name, value in options.selecting().items()
        }
        self._progress: Progress = options.progress or SILENT
        self._cap = cap
        self._started, self._clock = datetime.now(UTC), time.monotonic()
        self._estimate: Estimate | None = None
        self._once = ReadOnce(source)

    def into_file(
        self, path: Path | None, kind: str, *, overwrite: bool, training: Training | None = None
    ) -> ExportReport:
        """Write one file, or standard output if there is no path."""
        source = self._source
        self._tell_of_sorting()
        opened = standard_output() if path is None else new_file(path, overwrite=overwrite, follow=True)
        with opened as raw, compressed(raw, added_compression(kind, path)) as stream:
            read = self._once.watch(source.pages(self._chosen))
            pages = _joined(None, read) if self._chosen.everything else _begun(read)
            meter = self._announce()
            pages = self._laid_out(pages, kind)
            with closing(make_writer(kind, stream, source.names, source.title, training)) as writer, closing(pages):
                totals = run(meter.watch(pages), writer, self._progress)
        files = () if path is None else (FileReport(str(path), path.stat().st_size, totals.rows),)
        report = self._report(totals, files)
        if isinstance(writer, ConversationWriter):
            report = replace(report, training=training_report(writer, self._source, self._chosen))
        return report

    def _laid_out(self, pages: Generator[Page], kind: str) -> Generator[Page]:
        """Let other processes lay the rows out for the writer, where that saves time."""
        form = form_of(kind)
        source = self._source
        if form is None:
            return pages
        merged = source.capability(Merged)
        if merged is not None and merged.trusting:
            pieces = merged.pieces()
            if pieces is not None:
                pages.close()
                return merged.ready(pieces, form, processes_for(merged.unpacked_bytes(), self._processes))
        if not kind.startswith("parquet"):
            return pages  # lines of a deployment go through as they came
        size = self._estimate.bytes if self._estimate else 0
        return ready_pages(cut_pages(pages), form, source.names, processes_for(size, self._processes))

    def into_folder(self, folder: Path, kind: str, by: PartitionBy, *, overwrite: bool) -> ExportReport:
        """Write the files of a folder, those that are not there yet."""
        self._tell_of_sorting()
        meter = self._announce()
        layout = FolderLayout(folder, kind, by)
        task = Task(self._source, self._chosen, self._asked, meter.watch, self._once)
        totals, parts = export_folder(task, layout, self._progress, overwrite=overwrite)
        files = tuple(FileReport(f"{folder / part.path}", part.bytes, part.rows) for part in parts)
        return self._report(totals, files, sessions_known=by != "month")

    def _tell_of_sorting(self) -> None:
        """Say what room files need that are not in order, before it is taken."""
        needed = self._source.temporary_bytes()
        if needed:
            self._progress.note(
                f"{self._source.title}: the rows are not in order; sorting them takes up to about {size(needed)} "
                f"in {gettempdir()} (another folder: TMPDIR)"
            )

    def _announce(self) -> Meter:
        """Say what is read, and how much where that is everything."""
        source = self._source
        title = f"{source.title} · table {source.names.table}"
        self._estimate = estimate = estimate_all(source) if self._chosen.everything else None
        self._progress.detail(source.method)
        self._progress.begin(f"{title} · {estimate}" if estimate else title, estimate.rows if estimate else None)
        return Meter(read_cap(source, self._cap), estimate)

    def _report(self, totals: Totals, files: tuple[FileReport, ...], *, sessions_known: bool = True) -> ExportReport:
        return ExportReport(
            source=self._source.title,
            rows=totals.rows,
            sessions=totals.sessions if sessions_known else None,
            set_aside=0,
            read_bytes=totals.read_bytes,
            files=files,
            started=self._started,
            ended=datetime.now(UTC),
            seconds=time.monotonic() - self._clock,
            estimate=self._estimate,
        )


def _begun(pages: Iterator[Page]) -> Generator[Page]:
    """Read the first page, which shows that there is something to read, and return all pages."""
    return _joined(next(pages, None), pages)


def _joined(first: Page | None, rest: Iterator[Page]) -> Generator[Page]:
    if first is not None:
        yield first
    yield from rest  # which passes on that nobody wants more, unlike itertools.chain
