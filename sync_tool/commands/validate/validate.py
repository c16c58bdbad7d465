"""``validate``: are these good messages? Files, or the rows of a deployment, against a level."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Final, NamedTuple, TypedDict, Unpack

from sync_tool.commands.arguments import SelectionKeywords, make_selection, parse_size
from sync_tool.commands.history import History
from sync_tool.commands.opening import InputPart, is_opened, open_address, parts_of
from sync_tool.commands.validate.report import DamagedSource, Place, Tally, ValidationReport
from sync_tool.errors import Damaged, UsageError
from sync_tool.files.jsonl import read_records, too_long
from sync_tool.files.pieces import LineChunk, most_pieces
from sync_tool.messages.check import GOOD, NO_TOOL_USE, Look, OpenCalls, Verdict
from sync_tool.messages.fast import ToolUse
from sync_tool.messages.records import Record, in_chunks
from sync_tool.messages.rules import LANGUAGES, LEVELS, Language, Level
from sync_tool.parallel.processes import in_processes, processes_for
from sync_tool.rows.model import Names, Page, Row, Selection
from sync_tool.rows.ports import SILENT, Progress, Source
from sync_tool.rows.reading import RowReader
from sync_tool.rows.selection import row_filter, unknown_session
from sync_tool.text import one_line, plural

# Records checked without regard to what came before them, so that any process can do it.


class CheckOptions(NamedTuple):
    """What records are held to."""

    level: Level
    names: Names
    language: Language


class Told(NamedTuple):
    """A record of which something is to be said: it has a fault or a warning, or calls or answers a tool."""

    line: int
    """From 1, counted from where the checking began."""
    id: str
    session: str | None
    """None if it has none that can be read."""
    where: str
    verdict: Verdict
    seen: ToolUse


class Checked(NamedTuple):
    """What checking found."""

    lines: int
    """How many lines were looked at, empty ones too."""
    good: int
    """How many good records there are beside those that are told of."""
    sessions: set[str]
    """The sessions of good records."""
    told: list[Told]
    """In order."""


def check_piece(asked: CheckOptions, piece: LineChunk) -> Checked:
    """Check some lines of a file.

    Raises:
        UsageError: the file cannot be read.
    """
    all_found = Checked(0, 0, set(), [])
    for block in piece.read():
        begins = piece.first and not all_found.lines
        found = _check_lines(asked, block, begins) if isinstance(block, bytes) else _check_too_long(block)
        all_found.sessions.update(found.sessions)
        all_found.told.extend(told._replace(line=told.line + all_found.lines) for told in found.told)
        all_found = all_found._replace(lines=all_found.lines + found.lines, good=all_found.good + found.good)
    return all_found


def check_records(asked: CheckOptions, records: list[Record]) -> Checked:
    """Check records; each is told of with the number that it has."""
    look, read_row = _tools(asked)
    whole = [record for record in records if record.raw and record.fault is None]
    passed = look.fast.many([record.raw for record in whole])
    told = [_calling(whole[number].line, seen, whole[number].where) for number, seen in passed.calling]
    told += (_closer(whole[number], look, read_row) for number in passed.others)
    if len(whole) < len(records):
        told += (_closer(record, look, read_row) for record in records if not record.raw or record.fault is not None)
    told.sort(key=lambda one: one.line)
    return Checked(len(records), len(records) - len(told), passed.sessions, told)


def _check_lines(asked: CheckOptions, lines: bytes, begins: bool) -> Checked:
    passed = _tools(asked)[0].fast.lines(lines)
    if passed is None:
        found = check_records(asked, list(read_records(io.BytesIO(lines), begins=begins)))
        return found._replace(lines=lines.count(b"\n"))
    told = [_calling(number + 1, seen) for number, seen in passed.calling]
    return Checked(passed.rows, passed.rows - len(told), passed.sessions, told)


def _check_too_long(length: int) -> Checked:
    record = too_long(1, length)
    verdict = Verdict(() if record.fault is None else (record.fault,))
    return Checked(1, 0, set(), [Told(1, "", None, "", verdict, NO_TOOL_USE)])


def _calling(line: int, seen: ToolUse, where: str = "") -> Told:
    return Told(line, seen.id, seen.session, where, GOOD, seen)


def _closer(record: Record, look: Look, read_row: Callable[[bytes], Row]) -> Told:
    verdict, seen = look.closer(record.raw) if record.raw else (GOOD, NO_TOOL_USE)
    if record.fault is not None:
        verdict = replace(verdict, faults=(record.fault, *verdict.faults), passes_at=())
    row = as_row(record, read_row)
    session = row.session if row is not None and isinstance(row.session, str) else None
    return Told(record.line, "" if row is None else row.id, session, record.where, verdict, seen)


def as_row(record: Record, read_row: Callable[[bytes], Row]) -> Row | None:
    """Return a record as a row; None if it is none."""
    try:
        return read_row(record.raw) if record.raw else None
    except (ValueError, RecursionError):
        return None


@cache
def _tools(asked: CheckOptions) -> tuple[Look, Callable[[bytes], Row]]:
    return Look(asked.level, asked.names, asked.language), RowReader(asked.names).row


_QUICK: Final = 2
"""So many times more bytes than of other work are done before further processes, which have to be started, pay."""
LISTED: Final = 100
"""How many bad records a report lists unless told otherwise; all are counted."""


class ValidateOptions(TypedDict, total=False):
    """The keywords of `validate` beside the level and the selection."""

    names: Names | None
    """Table, index and field names other than LangChain's; Parquet and deployments know theirs."""
    max_errors: int
    """Most bad records that are listed; all are counted."""
    max_read: str | int | None
    """Most bytes to read of a deployment, such as ``250MB``."""
    max_unpacked: str | int | None
    """Most bytes that may come out of a compressed file; without it 4 GiB or 200 times its size."""
    as_of: str | datetime | None
    """Of archives, an older state; every source must be one then."""
    processes: int | None
    """How many processes check the lines of a file; without it as many as are worth it."""
    progress: Progress | None


class ValidateKeywords(SelectionKeywords, ValidateOptions, total=False):
    """All keywords of `validate` beside the level."""


def validate(
    *sources: History | str | Path,
    level: Level = "langchain",
    language: Language = "js",
    **keywords: Unpack[ValidateKeywords],
) -> ValidationReport:
    """Check records and say of every bad one why.

    Args:
        sources: files, folders that `export` wrote, archives, ``-`` (JSONL on standard input), addresses of
            deployments, or what `connect` and `open` returned.
        level: ``documented``, ``langchain`` or ``loadable``.
        language: who shall read the messages at the level ``loadable``: ``js`` or ``python``.
        keywords: `ValidateOptions`, and those of a selection.

    Raises:
        UsageError: no source, one that is not there, an unknown level, language or session, more to read than
            allowed.
        Refused: the deployment refused.
        Unreachable: the deployment gave no answer.
    """
    if not sources:
        raise UsageError("nothing to validate.", hint=[("give", "files, or a deployment")])
    if level not in LEVELS:
        raise UsageError(f"there is no level {level!r}.", hint=[("levels", ", ".join(LEVELS))])
    if language not in LANGUAGES:
        raise UsageError(f"there is no language {language!r}.", hint=[("languages", ", ".join(LANGUAGES))])
    started = time.monotonic()
    with closing(_Run(level, language, make_selection(keywords), keywords)) as run:
        opened = [part for source in sources for part in run.opened(source)]
        run.progress.begin(f"{_titles(opened)} · level {level}", None)
        for part in opened:
            run.check(part)
        run.require_sessions()
    tally = run.tally
    return ValidationReport(
        level=level,
        language=language,
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
    """One validation under way."""

    def __init__(self, level: Level, language: Language, chosen: Selection, options: ValidateOptions) -> None:
        self._level = level
        self._language = language
        self._chosen = chosen
        self._names = options.get("names") or Names()
        self._as_of = options.get("as_of")
        self._max_read = parse_size(options.get("max_read"), "--max-read")
        self._processes = options.get("processes")
        self._max_unpacked = parse_size(options.get("max_unpacked"), "--max-unpacked")
        self._met: set[str] = set()
        self._closing = ExitStack()
        self.progress: Progress = options.get("progress") or SILENT
        self.tally = Tally(options.get("max_errors", LISTED))

    def close(self) -> None:
        """Give back the connections that were made."""
        self._closing.close()

    def opened(self, source: History | str | Path) -> Iterator[InputPart]:
        """Yield the files that a source consists of, or the deployment."""
        if not isinstance(source, History) and (self._as_of is not None or is_opened(source)):
            source = self._closing.enter_context(open_address(source, as_of=self._as_of, names=self._names))
        for part in parts_of(source, self._names, self._metered, self._max_unpacked):
            if not part.live and self._chosen.active_after is not None:
                raise UsageError(
                    "--active-after is for deployments: whether a session was active shows only at a file's end.",
                    hint=[("instead", "--after TIME, or -s ID")],
                )
            yield part

    def check(self, part: InputPart) -> None:
        """Check the records of a file or deployment; one that is damaged is noted, and the others go on."""
        asked = CheckOptions(self._level, part.names, self._language)
        pieces = part.pieces() if self._chosen.everything else None
        calls = OpenCalls(part.names)
        before = 0
        try:
            if pieces is None:
                for found in self._selected(part, asked):
                    self._take(part, found, before, calls)
            else:
                for found in self._in_processes(asked, pieces, part.size):
                    self._take(part, found, before, calls)
                    before += found.lines
        except Damaged as error:
            self.tally.damaged.append(DamagedSource(part.title, error.message))

    def _selected(self, part: InputPart, asked: CheckOptions) -> Iterator[Checked]:
        """Check the selected records, each of which knows its line."""
        read_row = RowReader(part.names).row
        keep = row_filter(replace(self._chosen, active_after=None))
        whole = part.live or self._chosen.everything
        for read in in_chunks(part.records()):
            chunk = read
            if not whole:
                chunk = [record for record in read if (row := as_row(record, read_row)) is None or keep(row)]
            yield check_records(asked, chunk)
            self.progress.advance(len(read) - len(chunk), 0)

    def _in_processes(self, asked: CheckOptions, pieces: Iterator[LineChunk], size: int) -> Iterator[Checked]:
        """Check all the lines of a file; those that come before a place that is damaged, before that is raised."""
        processes = min(processes_for(size // _QUICK, self._processes), most_pieces(size))
        with closing(in_processes(partial(check_piece, asked), pieces, processes)) as checked:
            yield from checked

    def _take(self, part: InputPart, found: Checked, before: int, calls: OpenCalls) -> None:
        """Count what was found in a part behind so many lines."""
        self.tally.add_good(found.good, found.sessions)
        if self._chosen.sessions:
            self._met.update(found.sessions, (told.session for told in found.told if told.session is not None))
        for told in found.told:
            verdict = calls.match(told.verdict, told.seen)
            if told.session is not None and not (verdict.faults or verdict.warnings):
                self.tally.add_good(1, [told.session])
            else:
                session = None if told.session is None else _as_text(told.session)
                line = None if part.live else before + told.line
                self.tally.add(Place(part.title, line, one_line(told.id), session, told.where), verdict)
        self.progress.advance(found.good + len(found.told), 0)

    def require_sessions(self) -> None:
        """Raise a UsageError if a session asked for by its id was not met in files that could be read."""
        missing = sorted(set(self._chosen.sessions) - self._met)
        if missing and not self.tally.damaged:
            raise unknown_session(missing[0], self._met)

    def _metered(self, source: Source) -> Iterator[Page]:
        from sync_tool.commands.metering import Meter, estimate_all, read_cap

        estimate = estimate_all(source) if self._chosen.everything else None
        return Meter(read_cap(source, self._max_read), estimate).watch(source.pages(self._chosen))


def _as_text(session: str) -> str:
    """Return a session id; with what cannot be written spelled out if it is no valid text."""
    try:
        session.encode()
    except UnicodeEncodeError:
        return one_line(session)
    return session


def _titles(parts: Iterable[InputPart]) -> str:
    titles = [part.title for part in parts]
    return one_line(titles[0]) if len(titles) == 1 else plural(len(titles), "file")
