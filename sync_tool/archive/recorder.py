"""Records a run: writes new, changed and deleted rows into parts, made durable step by step.

A step finishes the part, commits the index and replaces ``state.json``. So the state may lag behind the data but never
leads it; data after the last step is deleted after a kill, and read again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from sync_tool.archive.index import Entry, Index, IndexCounts, SessionHashes
from sync_tool.archive.layout import Layout, remove_parts
from sync_tool.archive.parts import PartWriter, deletion, finished_part, read_part
from sync_tool.archive.sealed_files import ArchivePart, OpenRun, Pass, PassPosition, Run, State
from sync_tool.errors import Damaged
from sync_tool.rows.batch import Page
from sync_tool.rows.digests import row_digest
from sync_tool.rows.model import Row

# Bytes of rows, before compression, that are read or written between two steps.
STEP_BYTES: Final = 32 << 20

_BATCH_ROWS: Final = 1000
_BATCH_BYTES: Final = 4 << 20


class Recorder:
    """One run under way.

    Args:
        layout: of the locked archive.
        index: agrees with `state`.
        state: the durable state; its open run is continued.
        before: the newest complete run.
        keep: returns True for the rows that the archive holds; None for all.
        step_bytes: as `STEP_BYTES`.

    Raises:
        Damaged: a part of the open run has changed.
    """

    def __init__(
        self,
        layout: Layout,
        index: Index,
        state: State,
        before: Run | None,
        *,
        keep: Callable[[Row], bool] | None,
        step_bytes: int = STEP_BYTES,
    ) -> None:
        if state.open_run is None:
            raise ValueError("no run is open")
        self._layout = layout
        self._index = index
        self._before = before
        self._keep = keep
        self._step_bytes = step_bytes
        self._hashes = SessionHashes()
        self._part: PartWriter | None = None
        self._parts = open_parts(layout, state.open_run)
        self._state = state
        self.open: OpenRun = state.open_run
        self._read = 0
        index.begin()

    @property
    def before(self) -> Run | None:
        """The newest complete run."""
        return self._before

    def rows(self) -> int:
        """Return the number of rows now."""
        return self._index.rows_now()

    def begin_full(self) -> int:
        """Begin a full pass, and return its `Pass.since`."""
        self._index.forget_seen()
        return self._index.seq

    def take(self, page: Page, gone: Sequence[bool] = (), *, full: bool) -> None:
        """Record rows in their present state, in the order of their changes.

        Args:
            page: rows in canonical form.
            gone: True for rows that were deleted, of which only the id counts; empty if there are none.
            full: in a full pass, unchanged rows are marked as seen.
        """
        ids, sessions, records = _columns(page)
        if True in gone:
            records = [None if left else record for record, left in zip(records, gone, strict=True)]
        if self._keep is not None:
            kept = map(self._keep, page.rows)
            records = [record if keep else None for record, keep in zip(records, kept, strict=True)]
        most = 1 + len(ids) * min(_BATCH_BYTES, self._step_bytes) // max(page.bytes, 1)
        for batch in _distinct(ids, min(_BATCH_ROWS, most)):
            self._take(ids[batch], sessions[batch], records[batch], full=full)

    def delete_unseen(self, since: int) -> None:
        """End a full pass: record rows that it did not see as deleted."""
        for ids in self._index.unseen(since):
            self._write([Entry(name, 0, None) for name in ids], [deletion(name) for name in ids])

    def reached(self, progress: Pass, read: int) -> None:
        """Count `read` bytes, and make the progress durable when a step is due."""
        self._read += read
        if self._read >= self._step_bytes:
            self.step(progress)

    def step(self, progress: Pass) -> None:
        """Make all records and the progress durable."""
        self._finish_part()
        self.open = replace(
            self.open,
            parts=len(self._parts),
            records=self._index.seq - self._base,
            chain=chain_of(self._parts),
            steps=self.open.steps + 1,
            progress=progress,
        )
        self._index.keep(self.open.run)
        self._state = replace(self._state, open_run=self.open)
        self._state.write(self._layout)
        self._read = 0
        self._index.begin()

    def settle(self) -> IndexCounts:
        """Finish the last part and count the changes; `complete` or `discard` follows."""
        self._finish_part()
        counts = self._index.settle(self._before)
        size = (self._before.totals.bytes if self._before else 0) + sum(part.bytes for part in self._parts)
        return replace(counts, totals=replace(counts.totals, bytes=size))

    def complete(
        self, counts: IndexCounts, position: PassPosition, *, way: str, full: bool, consistent: str | None
    ) -> Run:
        """Write the run's file, which makes it complete, and the position of the next run."""
        run = Run(
            run=self.open.run,
            before=self._state.run,
            before_sha256=self._state.run_sha256,
            deployment=self.open.deployment,
            way=way,
            full=full,
            started=self.open.started,
            ended=datetime.now(UTC).isoformat(),
            consistent=consistent,
            new=counts.new,
            changed=counts.changed,
            deleted=counts.deleted,
            totals=counts.totals,
            position=position,
            parts=tuple(self._parts),
        )
        seal = run.write(self._layout)
        self._index.apply(run.run, seal, counts)
        State(run.run, seal, position).write(self._layout)
        return run

    def discard(self) -> None:
        """Remove the run."""
        self.close()
        self._index.undo()
        drop_open(self._layout, self._index, self._state, self._before)

    def close(self) -> None:
        """Remove the unfinished part; the records of the last step stay."""
        if self._part is not None:
            self._part.discard()
            self._part = None

    @property
    def _base(self) -> int:
        return self._index.last_of(self._before.run if self._before else None)

    def _take(self, ids: list[str], sessions: list[Any], records: list[bytes | None], *, full: bool) -> None:
        """Record rows of different ids; None stands for a deleted one."""
        known = self._index.newest(ids)
        hashes = self._hashes.of_all(sessions)
        if not known and None not in records:  # as in a first pass: all are new
            new: list[Any] = records
            self._write(list(map(Entry, ids, hashes, map(row_digest, new))), new, known)
            return
        digests = [None if record is None else row_digest(record) for record in records]
        entries: list[Entry] = []
        lines: list[bytes] = []
        seen: list[str] = []
        for name, session, digest, record in zip(ids, hashes, digests, records, strict=True):
            if known.get(name) != digest:
                entries.append(Entry(name, 0 if digest is None else session, digest))
                lines.append(deletion(name) if record is None else record)
            elif digest is not None:
                seen.append(name)
        if full and seen:
            self._index.see(seen, self.open.steps + 1)
        self._write(entries, lines, known)

    def _write(self, entries: list[Entry], records: list[bytes], known: Collection[str] | None = None) -> None:
        if not records:
            return
        if self._part is None:
            self._part = PartWriter(self._layout, self.open.run, len(self._parts) + 1)
        self._part.write(records)
        self._index.add(entries, known)
        if self._part.bytes >= self._step_bytes:
            self._finish_part()

    def _finish_part(self) -> None:
        if self._part is not None:
            self._parts.append(self._part.finish())
            self._part = None


def _columns(page: Page) -> tuple[list[str], list[Any], list[bytes | None]]:
    """Return ids, sessions and JSON texts of rows."""
    return page.batch.ids, page.batch.sessions, [*page.batch.texts()]


def _distinct(ids: list[str], most: int) -> Iterator[slice]:
    """Divide rows into batches of at most `most`, none of which repeats an id."""
    start = 0
    while start < len(ids):
        stop = min(start + most, len(ids))
        while len(set(ids[start:stop])) < stop - start:
            stop = start + (stop - start) // 2  # one alone is distinct
        yield slice(start, stop)
        start = stop


def open_parts(layout: Layout, open_run: OpenRun) -> list[ArchivePart]:
    """Return the durable parts of an open run, and delete all others.

    Raises:
        Damaged: a durable part has changed.
    """
    parts = read_open_parts(layout, open_run)
    remove_parts(layout.parts / open_run.run, {layout.root / part.path for part in parts})
    return parts


def read_open_parts(layout: Layout, open_run: OpenRun) -> list[ArchivePart]:
    """Return the durable parts of an open run.

    Raises:
        Damaged: a durable part has changed.
    """
    parts = []
    for number in range(1, open_run.parts + 1):
        path = layout.part(open_run.run, number)
        parts.append(finished_part(layout, path, sum(1 for _ in read_part(path))))
    if chain_of(parts) != open_run.chain or sum(part.records for part in parts) != open_run.records:
        raise Damaged(f"{layout.parts / open_run.run} is damaged: its parts are not what state.json says.")
    return parts


def chain_of(parts: Iterable[ArchivePart]) -> str:
    """Return the sha256 of the concatenated sha256 of parts."""
    return sha256("".join(part.sha256 for part in parts).encode()).hexdigest()


def drop_open(layout: Layout, index: Index, state: State, before: Run | None) -> State:
    """Delete an open run, and return the state without it."""
    left = replace(state, open_run=None)
    left.write(layout)
    if state.open_run is not None:
        remove_parts(layout.parts / state.open_run.run)
    index.begin()
    index.roll_back(index.last_of(before.run if before else None), 0)
    index.keep(None)
    return left
