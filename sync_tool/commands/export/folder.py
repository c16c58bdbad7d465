"""An export into a folder of files, which keeps its finished parts when it is stopped and run again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sync_tool.commands.export.once import ReadOnce, RowMovedError
from sync_tool.commands.options import PartitionBy
from sync_tool.encoding.order import same_value
from sync_tool.encoding.values import Value, decode, encode
from sync_tool.errors import Damaged, OutputError, UsageError
from sync_tool.files.bytes import new_file, translate
from sync_tool.files.folder import JOURNAL, ExportJournal, ExportPart, is_export, remove_export, safe_name
from sync_tool.files.formats import make_writer
from sync_tool.files.private import below, is_real_folder
from sync_tool.files.source import MessageFile
from sync_tool.rows.batch import Page
from sync_tool.rows.model import MISSING, Position, Selection
from sync_tool.rows.ports import Progress, Source, Totals, run
from sync_tool.rows.selection import stored_selection
from sync_tool.text import YEAR_10000_MS, moment, plural

# How an export is divided into the files of a folder: by size, by session, by month.

_ROWS_A_PART: Final = 500_000
_BYTES_A_PART: Final = 512 << 20
_AFTER_ALL_TIMES: Final = float(2**53)
"""Sorts after every creation time; those are below 2^53."""
_UNDATED: Final = "undated"


@dataclass(slots=True)
class Portion:
    """The pages of one file to be."""

    name: str
    """Path without suffix, relative to the folder."""
    label: str
    pages: Iterator[Page]
    session: Value = None
    """The session id as ``convex_encoded_json``, where the file is one session."""


Read = Callable[[Selection, Position | None], Iterator[Page]]
"""Reads the selected rows behind a position."""


def portions(
    source: Source, read: Read, selection: Selection, by: PartitionBy, done: list[ExportPart]
) -> Iterator[Portion]:
    """Yield the remaining portions; each must be read to its end before the next one is taken."""
    if by == "month":
        return _months(source, read, selection, {part.label for part in done})
    last = done[-1].last if done else None
    resume = None if last is None else Position(MISSING if last[0] is None else decode(last[0]["id"]), last[1], last[2])
    if by == "session":
        if resume is not None:
            resume = resume._replace(time=_AFTER_ALL_TIMES, id="")
        return _sessions(read(selection, resume))
    pages = read(selection, resume)
    if resume is not None and last is not None:
        pages = _numbered_on(pages, resume.session, last[3])
    return _parts(pages, len(done))


def position_record(page: Page) -> list[Value]:
    """Return the position of a page's last row as JSON for `portions`; its session id is wrapped: it may be missing."""
    batch = page.batch
    session = None if batch.sessions[-1] is MISSING else {"id": encode(batch.sessions[-1])}
    return [session, batch.times[-1], batch.ids[-1], (batch.numbers or [0])[-1]]


def _numbered_on(pages: Iterable[Page], session: Value, n: int) -> Iterator[Page]:
    """Continue the numbers of the session that the last finished part ended in."""
    for page in pages:
        both = zip(page.batch.numbers or [], page.batch.sessions, strict=True)
        page.number([number + n if same_value(one, session) else number for number, one in both])
        yield page


def _parts(pages: Iterator[Page], number: int) -> Iterator[Portion]:
    """Cut a stream of pages into portions of bounded size."""
    rest = _Stream(pages)
    while rest.more():
        yield Portion(f"part-{number:05}", str(number), rest.up_to(_ROWS_A_PART, _BYTES_A_PART))
        number += 1


def _sessions(pages: Iterable[Page]) -> Iterator[Portion]:
    """Cut pages in session order where sessions end."""
    rest = _Stream(_one_session_each(pages))
    while (first := rest.more()) is not None:
        session = first.batch.sessions[0]
        encoded = None if session is MISSING else encode(session)
        yield Portion(safe_name(session), safe_name(session), rest.of_session(), encoded)


def _months(source: Source, read: Read, selection: Selection, done: set[str]) -> Iterator[Portion]:
    """Yield the months that hold rows; from one to the next by asking for the next row, however far it is."""
    resolved = source.resolve(selection)
    if resolved is None:
        return
    selection = resolved
    end = _AFTER_ALL_TIMES if selection.before is None else selection.before
    start = source.next_time(selection.after or 0.0)
    while start is not None and start < end:
        label, month_end = _month_of(start)
        if label not in done:
            rest = _Stream(read(replace(selection, after=start, before=min(end, month_end)), None))
            if rest.more():
                yield Portion(f"month={label}/part-0", label, rest.up_to(None, None))
        start = source.next_time(month_end) if month_end < end else None


def _month_of(time: float) -> tuple[str, float]:
    """Return the name of the month of a time, and the first ms after it."""
    date = moment(time)
    if date is None:
        return _UNDATED, _AFTER_ALL_TIMES
    if (date.year, date.month) == (9999, 12):
        return "9999-12", YEAR_10000_MS
    following = datetime(date.year + date.month // 12, date.month % 12 + 1, 1, tzinfo=UTC)
    return f"{date:%Y-%m}", following.timestamp() * 1000


class _Stream:
    """Pages with a look at the next one."""

    def __init__(self, pages: Iterable[Page]) -> None:
        self._pages = iter(pages)
        self._next: Page | None = None
        self._skipped_bytes = 0

    def more(self) -> Page | None:
        """Return the next page that has rows, without taking it; None at the end."""
        while self._next is None or not self._next.count:
            self._skipped_bytes += self._next.bytes if self._next else 0
            self._next = next(self._pages, None)
            if self._next is None:
                return None
        return self._next

    def up_to(self, rows: int | None, size: int | None) -> Iterator[Page]:
        """Take pages until so many rows or bytes."""
        taken = taken_bytes = 0
        while (page := self.more()) is not None:
            yield self._take(page)
            taken, taken_bytes = taken + page.count, taken_bytes + page.bytes
            if (rows is not None and taken >= rows) or (size is not None and taken_bytes >= size):
                return

    def of_session(self) -> Iterator[Page]:
        """Take the pages of the session that comes next."""
        started = False
        while (page := self.more()) is not None and not (started and (page.batch.numbers or [0])[0] == 1):
            started = True
            yield self._take(page)

    def _take(self, page: Page) -> Page:
        page.bytes += self._skipped_bytes
        self._next, self._skipped_bytes = None, 0
        return page


def _one_session_each(pages: Iterable[Page]) -> Iterator[Page]:
    """Cut pages so that none holds rows of two sessions."""
    for page in pages:
        starts = [place for place, n in enumerate(page.batch.numbers or []) if n == 1 and place > 0]
        for start, stop in zip([0, *starts], [*starts, page.count], strict=True):
            yield Page(page.batch.at(range(start, stop)), page.bytes if start == 0 else 0)


SUFFIXES: Final = {
    "jsonl": ".jsonl",
    "jsonl.zst": ".jsonl.zst",
    "jsonl.gz": ".jsonl.gz",
    "parquet": ".parquet",
    "md": ".md",
}
"""Formats of the files in a folder."""


def is_folder(output: str | Path, partition_by: str | None) -> bool:
    """Return whether an output is meant as a folder."""
    return partition_by is not None or str(output).endswith("/") or os.path.isdir(output)  # noqa: PTH112  # Path.is_dir raises for long names


@dataclass(frozen=True, slots=True)
class FolderLayout:
    """Folder, format and division of an export.

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
    """Source, selection and options of an export."""

    source: Source
    selection: Selection
    asked: dict[str, Any]
    """The selection before ``7d`` became a time: what has to be the same when an export goes on."""
    watch: Callable[[Iterator[Page]], Iterator[Page]]
    """Passes pages on, and may stop the reading by raising."""
    once: ReadOnce

    def read(self, selection: Selection, resume: Position | None) -> Iterator[Page]:
        """Read rows behind a position."""
        return self.watch(self.once.watch(self.source.pages(selection, resume)))


def export_folder(
    task: Task, layout: FolderLayout, progress: Progress, *, overwrite: bool
) -> tuple[Totals, list[ExportPart]]:
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
        if staged.folder.is_symlink():
            raise OutputError(
                f"{staged.folder} is a symbolic link; nothing was written.", hint=[("remove", "the link")]
            )
        done = _fill(task, staged, progress)
        _swap(staged.folder, target)
    except OSError as error:
        raise translate(error, target) from None
    else:
        return done


def _fill(task: Task, layout: FolderLayout, progress: Progress) -> tuple[Totals, list[ExportPart]]:
    about = {
        "source": task.source.title,
        "names": asdict(task.source.names),
        "asked": task.asked,
        "file_format": layout.kind,
        "partition_by": layout.by,
    }
    layout.folder.mkdir(mode=0o700, exist_ok=True)
    journal = ExportJournal(layout.folder, about, {"selection": asdict(task.selection)})
    totals = Totals(sum(part.rows for part in journal.parts), sum(part.sessions for part in journal.parts))
    if journal.parts:
        progress.note(f"going on: {plural(len(journal.parts), 'finished part')}, {plural(totals.rows, 'message')} kept")
    with closing(journal):
        try:
            _write_all(task, layout, journal, totals, progress)
        except RowMovedError:  # nobody knows which part holds the older copy of the row
            journal.discard()
            raise
        journal.finish({"rows": totals.rows})
    return totals, journal.parts


def _write_all(task: Task, layout: FolderLayout, journal: ExportJournal, totals: Totals, progress: Progress) -> None:
    """Write the parts that are missing, and add them to the totals."""
    selection = _settled(journal, layout.folder)
    if task.source.live and layout.kind != "md":  # Markdown holds no ids, and nothing reads it back
        for part in journal.parts:
            for page in MessageFile(layout.folder / part.path, task.source.names).stored():
                task.once.add(page)
    for portion in portions(task.source, task.read, selection, layout.by, list(journal.parts)):
        done = _write(task.source, layout, portion, journal, progress)
        totals.rows += done.rows
        totals.sessions += done.sessions
        totals.read_bytes += done.read_bytes


def _settled(journal: ExportJournal, folder: Path) -> Selection:
    """Return the selection as it was settled when the export began."""
    try:
        return stored_selection(journal.settled["selection"])
    except (KeyError, TypeError, AttributeError):
        raise Damaged(f"{folder / JOURNAL} is not a journal of this tool; delete that file to start over.") from None


def _swap(staged: Path, target: Path) -> None:
    """Put a complete export into the place of another one."""
    old = target.with_name(f".{target.name}.old")
    target.rename(old)
    staged.rename(target)
    remove_export(old)


def _bring_back(target: Path) -> None:
    """Undo a swap that was cut in two by a kill."""
    old = target.with_name(f".{target.name}.old")
    if not is_real_folder(old):
        return
    if not target.exists():
        old.rename(target)
    elif is_export(old):
        remove_export(old)


def _write(
    source: Source, layout: FolderLayout, portion: Portion, journal: ExportJournal, progress: Progress
) -> Totals:
    path = below(layout.folder, f"{portion.name}{SUFFIXES[layout.kind]}")
    path.parent.mkdir(mode=0o700, exist_ok=True)
    last = _Last()
    with (
        new_file(path, overwrite=True) as stream,
        closing(make_writer(layout.kind.partition(".")[0], stream, source.names, source.title)) as writer,
    ):
        totals = run(last.watch(portion.pages), writer, progress)
    place = position_record(last.page) if last.page else None
    journal.add(path, totals, label=portion.label, session=portion.session, last=place)
    return totals


class _Last:
    """The last page with rows that was written."""

    page: Page | None = None

    def watch(self, pages: Iterator[Page]) -> Iterator[Page]:
        """Pass pages on."""
        for page in pages:
            if page.count:
                self.page = page
            yield page
