"""Checks every file of an archive: its own digest, and whether the files belong together."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from sync_tool.archive.index import Index, IndexCounts, entries_of, sqlite_errors
from sync_tool.archive.layout import Layout, unreadable
from sync_tool.archive.recorder import read_open_parts
from sync_tool.archive.sealed_files import (
    ArchivePart,
    Run,
    State,
    check_link,
    proof_files,
    read_manifest,
    read_proof,
    read_run,
    read_state,
)
from sync_tool.errors import Damaged
from sync_tool.rows.model import Names
from sync_tool.text import plural

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the parts: of every `of` parts in a row the one of this number, from 1."""

    number: int = 1
    of: int = 1

    def holds(self, place: int) -> bool:
        """Return True for a part of this share; parts count from 0 over the whole archive."""
        return place % self.of == self.number - 1


@dataclass(slots=True)
class Findings:
    """Results of a check."""

    damaged: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    chain: list[tuple[Run, str]] = field(default_factory=list)
    """The runs with intact files, with their seals."""
    files: int = 0
    """Number of intact files."""
    good: str | None = None
    """The newest run that is intact together with all runs before it."""
    inside: bool = False
    """True if the records were read and their counts and digests equal those of the runs' files."""


class Check:
    """Checks one archive.

    Args:
        layout: of the archive.
        quick: check the small files and the sizes of the parts, but do not read the parts.
        share: of the parts to read.
        step: called with every part before it is read.
    """

    def __init__(self, layout: Layout, *, quick: bool, share: Share, step: Callable[[ArchivePart], None]) -> None:
        self._layout = layout
        self._quick = quick
        self._share = share
        self._step = step
        self._names: Names | None = None
        self.found = Findings()

    def run(self) -> Findings:
        """Check everything.

        Raises:
            OutputError: no room for a temporary index.
            UsageError: this user may not read a file.
        """
        state = self._try(lambda: read_state(self._layout))  # before the runs: one may be completed meanwhile
        manifest = self._try(lambda: read_manifest(self._layout))
        self._names = manifest.names if manifest else None
        sound = self._read_chain()
        if state is not None:
            self._check_state(state)
        elif sound:
            self.found.notes.append("state.json holds nothing that the runs do not: the next `sync` makes it again")
        for path in proof_files(self._layout):
            self._try(partial(read_proof, path))
        with closing(Index(None)) as index, sqlite_errors("the temporary folder"):
            self._check_parts(index, 0 if manifest is None else sound)
        self._note_strays(state)
        return self.found

    def _try(self, look: Callable[[], T]) -> T | None:
        """Read a file, and count it as intact or damaged."""
        try:
            result = look()
        except Damaged as error:
            self.found.damaged.append(error.message)
            return None
        self.found.files += 1
        return result

    def _read_chain(self) -> int:
        """Read the runs' files; return how many of the first ones are intact, each after the other."""
        before: str | None = None
        linked, sound = True, 0
        found_before = len(self.found.damaged)
        for name in self._layout.run_names():
            found = self._try(partial(read_run, self._layout, name))
            if found is None:
                linked = False  # the next run's predecessor is unknown
                continue
            try:
                if linked:
                    check_link(self._layout, found[0], before)
            except Damaged as error:
                self.found.damaged.append(error.message)
            self.found.chain.append(found)
            before, linked = found[1], True
            if len(self.found.damaged) == found_before:
                sound += 1
        return sound

    def _check_state(self, state: State) -> None:
        names = self._layout.run_names()
        known = {run.run: seal for run, seal in self.found.chain}
        if state.run is not None and state.run not in names:
            self.found.damaged.append(f"{self._layout.run(state.run)} is missing; state.json names it.")
        elif state.run in known and known[state.run] != state.run_sha256:
            self.found.damaged.append(f"{self._layout.run(state.run)} is not the run that state.json names.")
        if state.open_run is None or state.open_run.run in names:
            return
        self.found.notes.append(
            f"run {state.open_run.run} is under way, or was interrupted: the next `sync` resumes it"
        )
        if self._quick:
            return
        try:
            self.found.files += len(read_open_parts(self._layout, state.open_run))
        except Damaged as error:
            if read_state(self._layout) == state:  # else another run has continued meanwhile
                self.found.damaged.append(error.message)

    def _check_parts(self, index: Index, sound: int) -> None:
        """Read the parts, and compare counts and digests while nothing is missing.

        Only the first `sound` runs count: a run after a damaged one has no known predecessor.
        """
        whole = True
        counting = not self._quick and self._share == Share()
        place, before = 0, None
        for number, (run, seal) in enumerate(self.found.chain):
            whole, counting = whole and number < sound, counting and number < sound
            index.begin()
            for part in run.parts:
                good = self._check_part(part, index if counting else None, inside=self._share.holds(place))
                whole, counting = whole and good, counting and good
                place += 1
            if counting:
                counting = whole = self._check_counts(run, seal, index, before)
            if whole:
                self.found.good = run.run
            before = run
        self.found.inside = counting

    def _check_part(self, part: ArchivePart, index: Index | None, *, inside: bool) -> bool:
        path = self._layout.root / part.path
        try:
            size = path.lstat().st_size
        except FileNotFoundError:
            self.found.damaged.append(f"{path} is missing.")
            return False
        except PermissionError:
            raise unreadable(path) from None
        if size != part.bytes:
            self.found.damaged.append(f"{path} is damaged: it has {size:,} bytes, its run says {part.bytes:,}.")
            return False
        if not inside or self._quick:
            self.found.files += 1
            return True
        self._step(part)
        return self._try(lambda: self._read_part(part, index)) is not None

    def _read_part(self, part: ArchivePart, index: Index | None) -> int:
        records = 0
        for entries in entries_of(self._layout, part, self._names or Names()):
            records += len(entries)
            if index is not None:
                index.add(entries)
        return records

    def _check_counts(self, run: Run, seal: str, index: Index, before: Run | None) -> bool:
        counts = index.settle(before)
        index.apply(run.run, seal, counts)
        totals = replace(counts.totals, bytes=run.totals.bytes)
        if IndexCounts(run.new, run.changed, run.deleted, run.totals) == replace(counts, totals=totals):
            return True
        self.found.damaged.append(
            f"{self._layout.run(run.run)} says {plural(run.totals.rows, 'row')}, its parts come to "
            f"{plural(counts.totals.rows, 'row')} or to other ones."
        )
        return False

    def _note_strays(self, state: State | None) -> None:
        known = {self._layout.root / part.path for run, _ in self.found.chain for part in run.parts}
        known |= {self._layout.run(name) for name in self._layout.run_names()}
        if state is not None and state.open_run is not None:
            known |= set(self._layout.part_files(state.open_run.run))
        strays = self._layout.stray(known)
        if strays and not self.found.damaged:
            them = "it" if len(strays) == 1 else "them"
            self.found.notes.append(
                f"{plural(len(strays), 'file')} of no run, such as {strays[0]}: the next `sync` removes {them}"
            )
