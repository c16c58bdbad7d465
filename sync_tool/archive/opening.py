"""Opens an archive for a run, and repairs the state in which an interrupted run left it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sync_tool.archive.index import Index, bring_to, open_cache, remove_cache, sqlite_errors
from sync_tool.archive.layout import Layout, is_run, make_folder, make_root, remove_parts
from sync_tool.archive.recorder import drop_open
from sync_tool.archive.sealed_files import (
    Manifest,
    Run,
    State,
    read_chain,
    read_manifest,
    read_run,
    read_state,
    rebuilt,
    settle,
)
from sync_tool.errors import Damaged

Note = Callable[[str], None]


@dataclass(slots=True)
class Opened:
    """A locked archive, with an index that agrees with its state."""

    layout: Layout
    manifest: Manifest
    state: State
    before: Run | None
    """The newest complete run."""
    index: Index

    def drop_open(self) -> None:
        """Delete the records of an interrupted run."""
        self.state = drop_open(self.layout, self.index, self.state, self.before)


def create(layout: Layout, manifest: Manifest) -> None:
    """Create the folders of a new archive, and its manifest last.

    Raises:
        OutputError: its parent folder is missing, or it cannot be written.
    """
    make_root(layout.root)
    _make_folders(layout)
    State().write(layout)
    manifest.write(layout)


def _make_folders(layout: Layout) -> None:
    for folder in (layout.parts, layout.runs):
        make_folder(folder)


@contextmanager
def opened_archive(layout: Layout, note: Note) -> Iterator[Opened]:
    """Open a locked archive.

    Raises:
        Damaged: its state names a run that is not there, or a file is damaged.
        OutputError: its index cannot be written.
    """
    layout.check_folders()
    manifest = read_manifest(layout)
    _make_folders(layout)  # copies into buckets and repositories lose empty folders
    state, before = _state(layout, note)
    _remove_strays(layout, state)
    index = open_cache(layout)
    try:
        with sqlite_errors(layout.cache):
            index = _in_step(layout, manifest, index, state, before, note)
            found = Opened(layout, manifest, state, before, index)
            _resume(found, note)
            yield found
    finally:
        index.close()


def _state(layout: Layout, note: Note) -> tuple[State, Run | None]:
    try:
        state = read_state(layout)
    except Damaged as error:
        if layout.state.exists() or layout.run_names():
            note(f"{error.message} It is written again from the runs.")
        state = rebuilt(layout)
    state = settle(layout, state)
    if state.run is None:
        return state, None
    before, seal = read_run(layout, state.run)
    if seal != state.run_sha256:
        raise Damaged(f"{layout.run(state.run)} is not the run that state.json names: its sha256 is another.")
    return state, before


def _remove_strays(layout: Layout, state: State) -> None:
    """Remove unfinished files, and parts of interrupted runs that cannot be resumed."""
    for file in layout.runs.glob(".*.json.part"):
        if is_run(file.name[1 : -len(".json.part")]):
            file.unlink()
    known = {*layout.run_names(), *([state.open_run.run] if state.open_run else [])}
    for folder in layout.parts.iterdir() if layout.parts.is_dir() else ():
        if is_run(folder.name) and folder.name not in known:
            remove_parts(folder)


def _in_step(layout: Layout, manifest: Manifest, index: Index, state: State, before: Run | None, note: Note) -> Index:
    """Apply missing runs to the index, or build a new one if it does not fit."""
    applied = index.applied()
    newest = [(state.run, state.run_sha256)] if before else []
    if applied[-1:] == newest:
        return index
    chain = read_chain(layout)
    if applied != [(run.run, seal) for run, seal in chain[: len(applied)]]:
        note("the index of the archive does not fit its runs; it is built again.")
        index.close()
        remove_cache(layout)
        index = open_cache(layout)
        applied = []
    index.begin()
    index.roll_back(index.last_of(applied[-1][0] if applied else None), 0)
    index.keep(None)
    bring_to(index, layout, chain, manifest.names)
    return index


def _resume(found: Opened, note: Note) -> None:
    """Roll the index back to the last durable step of the open run; without that index, delete the run."""
    index, open_run = found.index, found.state.open_run
    base = index.last_of(found.state.run)
    if open_run is None:
        if index.seq != base or index.open_run is not None:
            _roll_back(index, base, 0, None)
        return
    if index.open_run == open_run.run and index.seq >= base + open_run.records:
        _roll_back(index, base + open_run.records, open_run.steps, open_run.run)
        return
    note(f"run {open_run.run} was interrupted and cannot be resumed (its index is lost); it starts over.")
    found.drop_open()


def _roll_back(index: Index, seq: int, step: int, open_run: str | None) -> None:
    index.begin()
    index.roll_back(seq, step)
    index.keep(open_run)
