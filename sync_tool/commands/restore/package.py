"""Writes the zip of a restore, and checks every row for faults that would stop the import."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Final, cast

from sync_tool.encoding.ids import decode_id
from sync_tool.errors import Exit, UsageError
from sync_tool.files.zip import ZipWriter
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Names, Row, Selection
from sync_tool.rows.ports import Progress, Source, run
from sync_tool.rows.temporary import open_temporary_file, temporary_errors
from sync_tool.text import plural

_MAX_TIME: Final = float(2**53)


@dataclass(frozen=True, slots=True)
class Package:
    """The upload of a table."""

    file: BinaryIO
    bytes: int
    digest: str
    """sha256 of the bytes, which the same rows always give."""
    rows: int
    sessions: int
    table_number: int | None
    """The table number that all ids carry; None without rows."""


@contextmanager
def packed(source: Source, selection: Selection, names: Names, progress: Progress) -> Iterator[Package]:
    """Write the selected rows of `source` into a temporary zip, which is deleted after the block.

    Args:
        source: rows with their ids and times.
        selection: the rows to write.
        names: the target's names.
        progress: shows every page.

    Raises:
        UsageError: a row without ``_id`` or ``_creationTime``, or ids of different tables; names the row.
        OutputError: no room in the temporary folder.
    """
    with open_temporary_file() as file:
        with temporary_errors():
            package = _pack(source.pages(selection), names, file, progress)
        yield package


def _pack(pages: Iterator[Page], names: Names, file: BinaryIO, progress: Progress) -> Package:
    check = _Check()
    with closing(ZipWriter(file, names)) as writer:
        totals = run(check.pages(pages), writer, progress)
    file.flush()
    size = file.tell()
    file.seek(0)
    digest = hashlib.file_digest(cast("Any", file), "sha256").hexdigest()
    return Package(file, size, digest, totals.rows, totals.sessions, check.table_number)


class _Check:
    """Checks ids and times of passing rows."""

    def __init__(self) -> None:
        self.table_number: int | None = None

    def pages(self, pages: Iterator[Page]) -> Iterator[Page]:
        for page in pages:
            for row in page.rows:
                self._row(row)
            yield page

    def _row(self, row: Row) -> None:
        time = row.value.get("_creationTime")
        if not row.id or type(time) is not float or not 0.0 < time < _MAX_TIME:
            what = "_id" if not row.id else "_creationTime"
            raise UsageError(
                f"message {row.n} of session {row.session!r} has no {what} that a deployment gives.",
                hint=[("", "restore puts back whole rows, as `export` or `npx convex export` wrote them")],
            )
        try:
            number = decode_id(row.id).table_number
        except ValueError as error:
            raise UsageError(f"message {row.n} of session {row.session!r}: {error}.") from None
        if self.table_number not in (None, number):
            raise UsageError(
                f"message {row.n} of session {row.session!r}: its _id is of table number {number}, "
                f"those before it are of {self.table_number}.",
                hint=[("", "rows of two tables do not go into one: restore the source of each by itself")],
            )
        self.table_number = number


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """The plan of a restore, with the deployment's own counts."""

    target: str
    table: str
    existing: int
    """Rows that the table holds now."""
    deletes: int
    writes: int

    def __str__(self) -> str:
        how = "replaced" if self.deletes else "filled"
        gone = f"delete {self.deletes:,}, " if self.deletes else ""
        return (
            f"target  {self.target}, {self.table} holds {plural(self.existing, 'row')}\n"
            f"plan    table {how} in one step: {gone}write {self.writes:,} with their own _id and _creationTime"
        )


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """The result of a restore; the object that ``--json`` prints."""

    source: str
    target: str
    table: str
    dry_run: bool
    """True if nothing was changed, only planned."""
    joined: bool
    """True if an earlier, interrupted call had started the import."""
    rows: int
    """Rows written; with `dry_run`, those that would be."""
    deleted: int
    rows_after: int | None
    """Rows in the table now by the deployment's statistics; None without them."""
    uploaded_bytes: int
    import_id: str
    started: datetime
    ended: datetime
    seconds: float

    @property
    def exit_code(self) -> Exit:
        """0, or 4 if the table holds fewer rows than were written."""
        missing = not self.dry_run and self.rows_after is not None and self.rows_after < self.rows
        return Exit.DIFFERS if missing else Exit.DONE
