"""An archive as a source of messages, in its state after any of its runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Final

from sync_tool.archive.index import Index, open_for_reading
from sync_tool.archive.layout import Layout, run_time
from sync_tool.archive.parts import read_part
from sync_tool.archive.sealed_files import Manifest, Run, read_chain, read_manifest
from sync_tool.errors import Damaged, Differs, UsageError
from sync_tool.rows.batch import Page
from sync_tool.rows.digests import DigestSum, row_digest
from sync_tool.rows.model import Names
from sync_tool.rows.reading import RowReader
from sync_tool.rows.stored import StoredRows
from sync_tool.text import plural

_ROWS_A_PAGE: Final = 1000
_DATE: Final = re.compile(r"^\d{4}-\d\d-\d\d$")
# Bytes, to estimate the room that sorting takes.
_TYPICAL_ROW: Final = 500


class ArchiveRows(StoredRows):
    """The rows of an archive after its newest run, or an earlier one.

    Reading checks that the rows have the number and digest that the run's file states.

    Args:
        path: the archive's folder.
        as_of: a run's name; a date (its last run that day or before); an ISO time (the last run begun before).

    Raises:
        NoArchive: there is none.
        Differs: no run is complete yet.
        UsageError: no run so early.
        Damaged: the manifest or a run's file is damaged.
    """

    def __init__(self, path: Path, as_of: str | datetime | None = None) -> None:
        self.path = path
        self.layout = Layout(path)
        self.layout.require()
        self.manifest: Manifest = read_manifest(self.layout)
        names = self.layout.run_names()
        if not names:
            raise Differs(f"{path} holds no complete run yet.", hint=[("finish it", "the same `sync` again")])
        self.chain = read_chain(self.layout, names[: find_run(names, as_of) + 1])  # damage after it does not matter
        self._index: Index | None = None

    @property
    def title(self) -> str:
        """The folder's name with the run."""
        return f"{self.path.resolve().name}/ {self.run.run}"

    @property
    def method(self) -> str:
        """A sentence about how it is read."""
        return f"reading {plural(len(self.chain), 'run')} of the archive {self.path}, of each row the newest record"

    @property
    def names(self) -> Names:
        """The names in the manifest."""
        return self.manifest.names

    @property
    def run(self) -> Run:
        """The run after which the rows are read."""
        return self.chain[-1][0]

    @property
    def partial(self) -> bool:
        """True if only selected rows are in the archive."""
        return not self.manifest.selection.everything

    def count(self) -> int | None:
        """Return the number of rows."""
        return self.run.totals.rows

    def unpacked_bytes(self) -> int:
        """Return an estimate of the rows' bytes."""
        return self.run.totals.rows * _TYPICAL_ROW

    def close(self) -> None:
        """Close the index."""
        if self._index is not None:
            self._index.close()
            self._index = None

    def stored(self) -> Iterator[Page]:
        """Yield the rows in the order in which they were recorded.

        Raises:
            Damaged: a part is damaged, or the rows differ from the run's file.
        """
        if self._index is None:
            self._index = open_for_reading(self.layout, self.chain, self.names)
        found = DigestSum()
        reader = RowReader(self.names)
        records: list[bytes] = []
        for record in self._newest(self._index):
            found.add(row_digest(record))
            records.append(record)
            if len(records) == _ROWS_A_PAGE:
                yield reader.stored_page(records)
                records = []
        totals = self.run.totals
        if found != DigestSum(int(totals.digest, 16), totals.rows):
            raise Damaged(
                f"{self.path}: the rows are not those that {self.run.run} recorded.",
                hint=[("what is damaged?", "convex-msgs verify"), ("or the index is", f"delete {self.layout.cache}")],
            )
        if records:
            yield reader.stored_page(records)

    @cached_property
    def _in_order(self) -> bool:  # known without looking
        return self.run.totals.rows <= 1

    def _newest(self, index: Index) -> Iterator[bytes]:
        """Yield the newest record of each row, by the numbers in the index."""
        wanted = index.existing(self.run.run)
        number, (next_wanted, _) = 0, next(wanted, (0, b""))
        for run, _ in self.chain:
            for part in run.parts:
                for record in read_part(self.layout.root / part.path, part):
                    number += 1
                    if number == next_wanted:
                        yield record
                        next_wanted, _ = next(wanted, (0, b""))


def find_run(runs: list[str], as_of: str | datetime | None) -> int:
    """Return the index in `runs` (names, oldest first, at least one) of the wanted run.

    Raises:
        UsageError: there is none.
    """
    if as_of is None:
        return len(runs) - 1
    fits = _fits(as_of)
    found = [place for place, run in enumerate(runs) if fits(run)]
    if not found:
        what = f"no run of {as_of} or before" if fits.is_time else f"no run {as_of!r}"
        raise UsageError(
            f"{what} in this archive.",
            hint=[
                ("there are", f"{runs[0]} to {runs[-1]} (all: convex-msgs runs ARCHIVE)"),
                ("give", "the name of a run, a date (2026-08-21), or a time (2026-08-21T04:00)"),
            ],
        )
    return found[-1]


class _fits:  # noqa: N801  # used as a function
    """Decides which runs are not after the wanted one."""

    def __init__(self, as_of: str | datetime) -> None:
        self._text = as_of.strip() if isinstance(as_of, str) else ""
        self._date = bool(_DATE.match(self._text))
        self._moment = as_of if isinstance(as_of, datetime) else None
        if self._moment is None and not self._date:
            self._moment = _moment(self._text)
        if self._moment is not None and self._moment.tzinfo is None:
            self._moment = self._moment.replace(tzinfo=UTC)

    @property
    def is_time(self) -> bool:
        """True for a date or a time, False for a name."""
        return self._date or self._moment is not None

    def __call__(self, run: str) -> bool:
        if self._date:
            return run[:10] <= self._text
        return run == self._text if self._moment is None else run_time(run) <= self._moment


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
