"""``export``: selected messages of a source into a file or onto standard output."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import gettempdir
from typing import BinaryIO, Final, NamedTuple, Unpack

from sync_tool.commands.arguments import parse_size
from sync_tool.commands.export.folder import FolderLayout, Task, export_folder, is_folder
from sync_tool.commands.export.once import ReadOnce
from sync_tool.commands.export.training import TrainingReport, training_of, training_report
from sync_tool.commands.metering import Estimate, Meter, estimate_all, read_cap
from sync_tool.commands.opening import Openable, opened
from sync_tool.commands.options import ExportKeywords, ExportOptions, OutputOptions, PartitionBy
from sync_tool.errors import UsageError
from sync_tool.files.bytes import check_output, compressed, new_file, standard_output
from sync_tool.files.chunks import Chunk, NumberedChunk, chunks_of_pages, encode_chunks
from sync_tool.files.conversations import ConversationWriter, Training
from sync_tool.files.formats import (
    EncodedWriter,
    compression_of,
    encoder_of,
    format_of,
    make_writer,
    names_a_format,
)
from sync_tool.files.merged import Merged
from sync_tool.keywords import strict_keywords
from sync_tool.parallel.processes import processes_for
from sync_tool.rows.batch import Page
from sync_tool.rows.ports import SILENT, Progress, Source, Totals, Writer, run
from sync_tool.rows.stored import StoredRows
from sync_tool.text import size

STDOUT = "-"
_ROWS_A_CHUNK: Final = 1000


@dataclass(frozen=True, slots=True)
class FileReport:
    """A file that was written."""

    path: str
    bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class ExportReport:
    """Report of an export; the object that ``--json`` prints."""

    source: str
    rows: int
    sessions: int | None
    """None where the files are months: a session may be in several."""
    set_aside: int
    """Rows that could not be written; 0, since an export writes every row as it is or fails."""
    read_bytes: int
    files: tuple[FileReport, ...]
    started: datetime
    """When the first page was asked for. Pages are read one after the other: not one moment."""
    ended: datetime
    seconds: float
    estimate: Estimate | None = None
    """The estimate before reading, if the whole table was read."""
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
    with closing(_Run(source, options, cap)) as job:
        if target.path is not None and target.folder:
            by = options.partition_by or "none"
            return job.into_folder(target.path, target.kind, by, overwrite=options.overwrite)
        return job.into_file(target.path, target.kind, overwrite=options.overwrite, training=training)


class _Target(NamedTuple):
    path: Path | None
    kind: str
    training: Training | None


class _Rows(NamedTuple):
    """Rows to write."""

    pages: Generator[Page]
    processes: int
    chunks: Iterator[Chunk] | None
    """The same rows as chunks, if they can be divided."""


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
        stored = source.capability(StoredRows)
        if stored is not None:
            stored.on_sort = self._note_sorting
        self._sorting_noted = False

    def close(self) -> None:
        """Delete temporary files."""
        self._once.close()

    def into_file(
        self, path: Path | None, kind: str, *, overwrite: bool, training: Training | None = None
    ) -> ExportReport:
        """Write one file, or standard output if there is no path."""
        source = self._source
        target = _Target(path, kind, training)
        opened = standard_output() if path is None else new_file(path, overwrite=overwrite, follow=True, compress=False)
        with opened as raw:
            written: tuple[Totals, Writer] | None = None
            merged = source.capability(Merged)
            if merged is not None and self._chosen.everything and path is not None:
                written = self._write(raw, target, self._stored_rows(merged))
                if not merged.is_settled:  # the rows are not in order, or some are repeated: begin the file again
                    raw.seek(0)
                    raw.truncate()
                    written = None
            totals, writer = written or self._write(raw, target, self._ordered_rows())
        files = () if path is None else (FileReport(str(path), path.stat().st_size, totals.rows),)
        report = self._report(totals, files)
        if isinstance(writer, ConversationWriter):
            report = replace(report, training=training_report(writer, self._source, self._chosen))
        return report

    def _stored_rows(self, source: Merged) -> _Rows:
        """Return all rows of files in stored order, as chunks for several processes if those save time."""
        self._announce()
        processes = processes_for(source.unpacked_bytes(), self._processes)
        return _Rows(source.while_in_order(), processes, source.chunks())

    def _ordered_rows(self) -> _Rows:
        """Return the selected rows in session order."""
        read = self._once.watch(self._source.pages(self._chosen))
        pages = _joined(None, read) if self._chosen.everything else _begun(read)
        meter = self._announce()
        # Lines of a deployment pass as they came: only columns are worth other processes.
        processes = processes_for(self._estimate.bytes if self._estimate else 0, self._processes)
        return _Rows(_joined(None, meter.watch(pages)), processes, None)

    def _write(self, raw: BinaryIO, target: _Target, rows: _Rows) -> tuple[Totals, Writer]:
        source = self._source
        encode = encoder_of(target.kind)
        with (
            compressed(raw, compression_of(target.kind, target.path)) as stream,
            closing(make_writer(target.kind, stream, source.names, source.title, target.training)) as writer,
        ):
            chunks: Iterator[Chunk] | None = rows.chunks
            if chunks is None and rows.processes > 1 and not target.kind.startswith("jsonl"):
                chunks = chunks_of_pages(rows.pages, rows=_ROWS_A_CHUNK)
            if encode is None or chunks is None or not isinstance(writer, EncodedWriter):
                with closing(rows.pages):
                    return run(rows.pages, writer, self._progress), writer
            merged = source.capability(Merged) if rows.chunks is not None else None
            if merged is not None:
                found = merged.encoded_while_in_order(chunks, encode, rows.processes)
            else:
                found = encode_chunks(chunks, encode, source.names, rows.processes)
            with closing(found), closing(rows.pages):
                return write_chunks(found, writer, self._progress), writer

    def into_folder(self, folder: Path, kind: str, by: PartitionBy, *, overwrite: bool) -> ExportReport:
        """Write the files of a folder, those that are not there yet."""
        merged = self._source.capability(Merged)
        if merged is not None:
            merged.check()  # before a folder is made
        meter = self._announce()
        layout = FolderLayout(folder, kind, by)
        task = Task(self._source, self._chosen, self._asked, meter.watch, self._once)
        totals, parts = export_folder(task, layout, self._progress, overwrite=overwrite)
        files = tuple(FileReport(f"{folder / part.path}", part.bytes, part.rows) for part in parts)
        return self._report(totals, files, sessions_known=by != "month")

    def _note_sorting(self, needed: int) -> None:
        if self._sorting_noted:
            return
        self._sorting_noted = True
        self._progress.note(
            f"{self._source.title}: the rows are not in order; sorting them takes up to about {size(needed)} "
            f"in {gettempdir()} (another folder: TMPDIR)"
        )

    def _announce(self) -> Meter:
        """Report the source, and of everything also the estimated size."""
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


def write_chunks(chunks: Iterable[NumberedChunk], writer: EncodedWriter, progress: Progress) -> Totals:
    """Write encoded rows and return the totals."""
    totals = Totals()
    for chunk, numbers in chunks:
        totals.rows += chunk.rows
        totals.sessions += numbers.count(1)
        totals.read_bytes += chunk.size
        writer.write_encoded(chunk.encoded, numbers)
        progress.advance(chunk.rows, chunk.size)
    writer.finish()
    return totals


def _begun(pages: Iterator[Page]) -> Generator[Page]:
    """Read the first page, which shows that there is something to read, and return all pages."""
    return _joined(next(pages, None), pages)


def _joined(first: Page | None, rest: Iterator[Page]) -> Generator[Page]:
    if first is not None:
        yield first
    yield from rest  # which passes on that nobody wants more, unlike itertools.chain
