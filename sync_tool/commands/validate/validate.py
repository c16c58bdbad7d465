"""``validate``: check files, or the rows of a deployment, against a schema level."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Final, NamedTuple, Unpack

from sync_tool.commands.arguments import parse_size
from sync_tool.commands.inputs import InputOptions, InputPart, input_parts
from sync_tool.commands.opening import Openable
from sync_tool.commands.options import ValidateKeywords, ValidateOptions
from sync_tool.commands.validate.report import DamagedSource, Place, Tally, ValidationReport
from sync_tool.errors import Damaged, UsageError
from sync_tool.files.lines import LineChunk, most_chunks, read_records, too_long
from sync_tool.keywords import strict_keywords
from sync_tool.messages.check import GOOD, NO_TOOL_USE, Look, OpenCalls, Verdict
from sync_tool.messages.fast import ToolUse
from sync_tool.messages.records import Record, in_chunks
from sync_tool.messages.rules import Fault, Language, Level
from sync_tool.parallel.processes import in_processes, processes_for
from sync_tool.rows.batch import Page
from sync_tool.rows.digests import row_digest
from sync_tool.rows.distinct import DistinctIds, RowIds
from sync_tool.rows.model import Names, Row
from sync_tool.rows.ports import SILENT, Progress, Source
from sync_tool.rows.reading import RowReader
from sync_tool.rows.selection import row_filter, unknown_session
from sync_tool.text import one_line, plural

# Checks of single records, which any process can do; tool results are matched with calls afterwards.


class CheckOptions(NamedTuple):
    """Level, field names and language of a check."""

    level: Level
    names: Names
    language: Language


class Noted(NamedTuple):
    """A record with a fault, a warning or a tool call."""

    line: int
    """From 1, relative to the start of its chunk."""
    id: str
    session: str | None
    """None if it cannot be read."""
    where: str
    verdict: Verdict
    use: ToolUse


class Checked(NamedTuple):
    """Results of checking one chunk."""

    lines: int
    """Number of lines, empty ones included."""
    good: int
    """Number of good records besides those in `noted`."""
    sessions: set[str]
    """Sessions of the good records."""
    noted: list[Noted]
    """In order."""
    ids: list[str]
    """Each ``_id`` that can be read."""


# Lines checked together: with 256 KiB, checking takes a fifth longer, since objects leave the processor's cache.
_BLOCK_BYTES: Final = 1 << 16


def check_chunk(options: CheckOptions, chunk: LineChunk) -> Checked:
    """Check some lines of a file.

    Raises:
        UsageError: the file cannot be read.
    """
    all_found = Checked(0, 0, set(), [], [])
    for block in chunk.read(block=_BLOCK_BYTES):
        begins = chunk.begins and not all_found.lines
        found = _check_lines(options, block, begins) if isinstance(block, bytes) else _check_too_long(block)
        all_found.sessions.update(found.sessions)
        all_found.ids.extend(found.ids)
        all_found.noted.extend(one._replace(line=one.line + all_found.lines) for one in found.noted)
        all_found = all_found._replace(lines=all_found.lines + found.lines, good=all_found.good + found.good)
    return all_found


def check_records(options: CheckOptions, records: list[Record]) -> Checked:
    """Check records, which know their lines."""
    look, read_row = _tools(options)
    whole = [record for record in records if record.raw and record.fault is None]
    passed = look.fast.many([record.raw for record in whole])
    noted = [_calling(whole[number].line, use, whole[number].where) for number, use in passed.calling]
    closer = [whole[number] for number in passed.others]
    if len(whole) < len(records):
        closer += (record for record in records if not record.raw or record.fault is not None)
    looked_at = [_closer(record, look, read_row) for record in closer]
    ids = [*passed.ids, *(one.id for one in looked_at)]
    noted = sorted([*noted, *looked_at], key=lambda one: one.line)
    return Checked(len(records), len(records) - len(noted), passed.sessions, noted, ids)


def _check_lines(options: CheckOptions, lines: bytes, begins: bool) -> Checked:
    passed = _tools(options)[0].fast.lines(lines)
    if passed is None:
        found = check_records(options, list(read_records(io.BytesIO(lines), begins=begins)))
        return found._replace(lines=lines.count(b"\n"))
    noted = [_calling(number + 1, use) for number, use in passed.calling]
    return Checked(passed.rows, passed.rows - len(noted), passed.sessions, noted, passed.ids)


def _check_too_long(length: int) -> Checked:
    record = too_long(1, length)
    verdict = Verdict(() if record.fault is None else (record.fault,))
    return Checked(1, 0, set(), [Noted(1, "", None, "", verdict, NO_TOOL_USE)], [])


def _calling(line: int, use: ToolUse, where: str = "") -> Noted:
    return Noted(line, use.id, use.session, where, GOOD, use)


def _closer(record: Record, look: Look, read_row: Callable[[bytes], Row]) -> Noted:
    verdict, use = look.closer(record.raw) if record.raw else (GOOD, NO_TOOL_USE)
    if record.fault is not None:
        verdict = replace(verdict, faults=(record.fault, *verdict.faults), passes_at=())
    row = as_row(record, read_row)
    session = row.session if row is not None and isinstance(row.session, str) else None
    return Noted(record.line, "" if row is None else row.id, session, record.where, verdict, use)


def as_row(record: Record, read_row: Callable[[bytes], Row]) -> Row | None:
    """Return a record as a row; None if it is not one."""
    try:
        return read_row(record.raw) if record.raw else None
    except (ValueError, RecursionError):
        return None


@cache
def _tools(options: CheckOptions) -> tuple[Look, Callable[[bytes], Row]]:
    return Look(options.level, options.names, options.language), RowReader(options.names).row


_QUICK: Final = 2  # checking is faster than other work, so more bytes are needed before further processes pay


@strict_keywords(ValidateOptions)
def validate(*sources: Openable, **keywords: Unpack[ValidateKeywords]) -> ValidationReport:
    """Check records and report every fault.

    Args:
        sources: files, folders that `export` wrote, archives, ``-`` (JSONL on standard input), addresses of
            deployments, or what `connect` and `open` returned.
        keywords: `ValidateOptions`.

    Raises:
        UsageError: no source, a missing source, an unknown level, language or session, or more to read than allowed.
        Refused: the deployment refused.
        Unreachable: the deployment gave no answer.
    """
    if not sources:
        raise UsageError("nothing to validate.", hint=[("give", "files, or a deployment")])
    options = ValidateOptions(**keywords)
    started = time.monotonic()
    with closing(_Run(options)) as run:
        places = [list(run.opened(source)) for source in sources]
        opened = [part for parts in places for part in parts]
        run.progress.begin(f"{_titles(opened)} · level {options.level}", None)
        for parts in places:
            run.check_all(parts)
        run.require_sessions()
    tally = run.tally
    return ValidationReport(
        level=options.level,
        language=options.language,
        sources=tuple(part.title for part in opened),
        rows=tally.rows,
        sessions=tally.sessions,
        bad_rows=tally.bad_rows,
        records=tuple(tally.records),
        faults=tally.faults,
        warnings=tally.warnings,
        damaged=tuple(tally.damaged),
        seconds=time.monotonic() - started,
        exit_code=int(tally.exit_code),
    )


class _Run:
    """One validation."""

    def __init__(self, options: ValidateOptions) -> None:
        self._options = options
        self._chosen = options.selection()
        self._names = options.names or Names()
        self._max_read = parse_size(options.max_read, "--max-read")
        self._max_unpacked = parse_size(options.max_unpacked, "--max-unpacked")
        self._met: set[str] = set()
        self._closing = ExitStack()
        self._ids = DistinctIds()
        self.progress: Progress = options.progress or SILENT
        self.tally = Tally(options.max_errors)

    def close(self) -> None:
        """Close the connections."""
        self._closing.close()

    def opened(self, source: Openable) -> Iterator[InputPart]:
        """Yield the files of a source, or the deployment."""
        options = InputOptions(self._names, self._options.as_of, self._max_unpacked, self._metered, again=True)
        for part in input_parts(source, options, self._closing):
            if not part.selected and self._chosen.active_after is not None:
                raise UsageError(
                    "--active-after is for deployments: whether a session was active shows only at a file's end.",
                    hint=[("instead", "--after TIME, or -s ID")],
                )
            yield part

    def check_all(self, parts: list[InputPart]) -> None:
        """Check the files of one source, each ``_id`` of which stands for one row."""
        self._ids = DistinctIds()
        with closing(self._ids):
            for part in parts:
                self.check(part)
            if not self._ids.all_different():
                self._find_repeated(parts)

    def _find_repeated(self, parts: list[InputPart]) -> None:
        """Read again, and count the rows that readers refuse: those of an ``_id`` that another row has."""
        with closing(RowIds()) as ids:
            for number, part in enumerate(parts):
                read_row = RowReader(part.names).row
                with suppress(Damaged):  # counted already
                    ids.add(
                        (number, record.line, row.id, row_digest(row.raw))
                        for record in part.records()
                        if (row := as_row(record, read_row)) is not None and row.id
                    )
            for found in ids.repeated():
                other = f"{one_line(parts[found.other_part].title)}:{found.other_line}"
                place = Place(parts[found.part].title, found.line, one_line(found.id))
                self.tally.add_fault(place, Fault("duplicate-id", "$._id", f"another row has it at {other}"))

    def check(self, part: InputPart) -> None:
        """Check the records of a file or deployment; damage is recorded and does not stop the other parts."""
        options = CheckOptions(self._options.level, part.names, self._options.language)
        chunks = part.chunks() if self._chosen.everything else None
        calls = OpenCalls(part.names)
        before = 0
        try:
            if chunks is None:
                for found in self._selected(part, options):
                    self._take(part, found, before, calls)
            else:
                for found in self._in_processes(options, chunks, part.size):
                    self._take(part, found, before, calls)
                    before += found.lines
        except Damaged as error:
            self.tally.damaged.append(DamagedSource(part.title, error.message))

    def _selected(self, part: InputPart, options: CheckOptions) -> Iterator[Checked]:
        """Check the selected records."""
        read_row = RowReader(part.names).row
        keep = row_filter(replace(self._chosen, active_after=None))
        whole = part.selected or self._chosen.everything
        for read in in_chunks(part.records()):
            chunk = read
            if not whole:
                chunk = [record for record in read if (row := as_row(record, read_row)) is None or keep(row)]
            yield check_records(options, chunk)
            self.progress.advance(len(read) - len(chunk), 0)

    def _in_processes(self, options: CheckOptions, chunks: Iterator[LineChunk], size: int) -> Iterator[Checked]:
        """Check all lines of a file; results for the lines before a damaged place come before `Damaged` is raised."""
        processes = min(processes_for(size // _QUICK, self._options.processes), most_chunks(size))
        with closing(in_processes(partial(check_chunk, options), chunks, processes)) as checked:
            yield from checked

    def _take(self, part: InputPart, found: Checked, before: int, calls: OpenCalls) -> None:
        """Count the results of a chunk that begins behind `before` lines."""
        self.tally.add_good(found.good, found.sessions)
        if not part.selected and not Path(part.title).is_fifo():  # a pipe cannot be read again
            self._ids.add(found.ids)
        if self._chosen.sessions:
            self._met.update(found.sessions, (one.session for one in found.noted if one.session is not None))
        for one in found.noted:
            verdict = calls.match(one.verdict, one.use)
            if one.session is not None and not (verdict.faults or verdict.warnings):
                self.tally.add_good(1, [one.session])
            else:
                session = None if one.session is None else _as_text(one.session)
                line = None if part.selected else before + one.line
                self.tally.add(Place(part.title, line, one_line(one.id), session, one.where), verdict)
        self.progress.advance(found.good + len(found.noted), 0)

    def require_sessions(self) -> None:
        """Raise a UsageError if a session given by its id is in no file; skipped if a file is damaged."""
        missing = sorted(set(self._chosen.sessions) - self._met)
        if missing and not self.tally.damaged:
            raise unknown_session(missing[0], self._met)

    def _metered(self, source: Source) -> Iterator[Page]:
        from sync_tool.commands.metering import Meter, estimate_all, read_cap

        estimate = estimate_all(source) if self._chosen.everything else None
        return Meter(read_cap(source, self._max_read), estimate).watch(source.pages(self._chosen))


def _as_text(session: str) -> str:
    """Return a session id, with escapes if it is no valid text."""
    try:
        session.encode()
    except UnicodeEncodeError:
        return one_line(session)
    return session


def _titles(parts: Iterable[InputPart]) -> str:
    titles = [part.title for part in parts]
    return one_line(titles[0]) if len(titles) == 1 else plural(len(titles), "file")
