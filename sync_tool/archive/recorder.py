"""Recording a run: rows come in; what is new, changed or gone goes into parts, step by step durable.

A step is: finish the part, keep the index, replace ``state.json``. So the state may lag behind the data and never
leads it; what lies behind it after a kill is thrown away, and read again.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from sync_tool.archive.index import Counts, Entry, Index
from sync_tool.archive.indexing import SessionHashes
from sync_tool.archive.layout import Layout, remove_folder
from sync_tool.archive.records import PartWriter, deletion, part_of, read_records
from sync_tool.archive.runs import Part, Position, Run
from sync_tool.archive.state import OpenRun, Pass, State
from sync_tool.digests import row_digest
from sync_tool.errors import Damaged
from sync_tool.model import Row

STEP_BYTES: Final = 32 << 20
"""How many bytes of rows, before compression, are read or written between two steps."""

_BATCH_ROWS: Final = 1000
_BATCH_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Gone:
    """A row that does not exist any more."""

    id: str


class Recorder:
    """One run under way.

    Args:
        layout: of the archive, which is locked.
        index: in step with `state`.
        state: what is durable; its open run goes on.
        before: the newest complete run.
        keep: decides which rows are in the archive at all.
        step_bytes: as `STEP_BYTES`.

    Raises:
        Damaged: a part of the open run is not what it was.
    """

    def __init__(
        self,
        layout: Layout,
        index: Index,
        state: State,
        before: Run | None,
        *,
        keep: Callable[[Row], bool],
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
        """Return how many rows there are now."""
        return self._index.rows_now()

    def begin_full(self) -> int:
        """Begin a full pass, and return what its `Pass.since` is."""
        self._index.forget_seen()
        return self._index.seq

    def take(self, items: Iterable[Row | Gone], *, full: bool) -> None:
        """Take rows as they are now, and what is gone, in the order in which that became so.

        Args:
            items: rows in canonical spelling.
            full: a full pass is under way: rows that are as they were are marked as seen.
        """
        batch: dict[str, Row | None] = {}
        size, most = 0, min(_BATCH_BYTES, self._step_bytes)
        for item in items:
            if item.id in batch or len(batch) == _BATCH_ROWS or size >= most:
                self._take(batch, full=full)
                batch, size = {}, 0
            row = item if isinstance(item, Row) and self._keep(item) else None
            batch[item.id] = row
            size += len(row.raw) if row is not None else 0
        self._take(batch, full=full)

    def delete_unseen(self, since: int) -> None:
        """End a full pass: what was recorded before it and not seen in it is gone."""
        for ids in self._index.unseen(since):
            self._write([Entry(name, 0, None) for name in ids], [deletion(name) for name in ids])

    def reached(self, progress: Pass, read: int) -> None:
        """Note how far the reading is, `read` more bytes; make it durable when a step is due."""
        self._read += read
        if self._read >= self._step_bytes:
            self.step(progress)

    def step(self, progress: Pass) -> None:
        """Make everything so far durable, and how far the reading is."""
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

    def settle(self) -> Counts:
        """Finish the last part and count what the run has changed; `complete` or `discard` follows."""
        self._finish_part()
        counts = self._index.settle(self._before)
        size = (self._before.totals.bytes if self._before else 0) + sum(part.bytes for part in self._parts)
        return replace(counts, totals=replace(counts.totals, bytes=size))

    def complete(self, counts: Counts, position: Position, *, way: str, full: bool, consistent: str | None) -> Run:
        """Write the run's file, which makes it complete, and say where the next one goes on."""
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
        """Leave nothing of the run."""
        self.close()
        self._index.undo()
        drop_open(self._layout, self._index, self._state, self._before)

    def close(self) -> None:
        """Let go of the part that is being written; what the last step has kept stays."""
        if self._part is not None:
            self._part.abandon()
            self._part = None

    @property
    def _base(self) -> int:
        return self._index.last_of(self._before.run if self._before else None)

    def _take(self, batch: dict[str, Row | None], *, full: bool) -> None:
        known = self._index.newest(list(batch))
        entries: list[Entry] = []
        records: list[bytes] = []
        seen: list[str] = []
        for name, row in batch.items():
            if row is None:
                if name in known:
                    entries.append(Entry(name, 0, None))
                    records.append(deletion(name))
                continue
            digest = row_digest(row.raw)
            if known.get(name) == digest:
                seen.append(name)
            else:
                entries.append(Entry(name, self._hashes.of(row.session), digest))
                records.append(row.raw)
        if full and seen:
            self._index.see(seen, self.open.steps + 1)
        self._write(entries, records, known)

    def _write(self, entries: list[Entry], records: list[bytes], known: Container[str] | None = None) -> None:
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


def open_parts(layout: Layout, open_run: OpenRun) -> list[Part]:
    """Return the parts of an open run that count, and delete those that do not.

    Raises:
        Damaged: they are not what they were when they were made durable.
    """
    parts = read_open_parts(layout, open_run)
    counted = {layout.root / part.path for part in parts}
    folder = layout.parts / open_run.run
    for path in folder.iterdir() if folder.is_dir() else ():
        if path not in counted:
            path.unlink()
    return parts


def read_open_parts(layout: Layout, open_run: OpenRun) -> list[Part]:
    """Return the parts of an open run that count.

    Raises:
        Damaged: they are not what they were when they were made durable.
    """
    parts = []
    for number in range(1, open_run.parts + 1):
        path = layout.part(open_run.run, number)
        parts.append(part_of(layout, path, sum(1 for _ in read_records(path))))
    if chain_of(parts) != open_run.chain or sum(part.records for part in parts) != open_run.records:
        raise Damaged(f"{layout.parts / open_run.run} is damaged: its parts are not what state.json says.")
    return parts


def chain_of(parts: Iterable[Part]) -> str:
    """Return the sha256 over the sha256 of parts, one after the other."""
    return sha256("".join(part.sha256 for part in parts).encode()).hexdigest()


def drop_open(layout: Layout, index: Index, state: State, before: Run | None) -> State:
    """Throw away an open run, and return the state without it."""
    left = replace(state, open_run=None)
    left.write(layout)
    if state.open_run is not None:
        remove_folder(layout.parts / state.open_run.run)
    index.begin()
    index.roll_back(index.last_of(before.run if before else None), 0)
    index.keep(None)
    return left
