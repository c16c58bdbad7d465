"""``sync`` killed and disturbed in small numbers; ``python -m faults.endurance sync`` does the same in the hundreds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import sync_tool as cm
from faults.endurance import endure
from faults.killing import KILLED, Life, Moment, kill_once
from faults.syncing import SyncSubject
from sync_tool.archive.layout import Layout
from sync_tool.archive.sealed_files import read_state
from syncing import DOORS

KILLS = 9
PLANS = 6


@pytest.fixture(scope="module")
def subject() -> Iterator[SyncSubject]:
    """Syncs by each way into new archives and into ones that are behind."""
    with SyncSubject() as entered:
        yield entered


def test_random_kills_lose_and_double_nothing(subject: SyncSubject) -> None:
    """After kills by time, request and step the archive is whole, and run again it equals the table."""
    total = endure(subject, kills=KILLS, faults=0, seed=4, jobs=2, say=print)
    assert total.kills >= KILLS


def test_random_faults_lose_and_double_nothing(subject: SyncSubject) -> None:
    """Behind a faulty network a sync ends with 0 and equals the table, or with 5 and goes on next time."""
    total = endure(subject, kills=0, faults=PLANS, seed=4, jobs=2, say=print)
    assert total.fault_runs >= PLANS


@pytest.mark.parametrize("door", DOORS)
def test_a_run_that_was_cut_off_is_gone_on_with(subject: SyncSubject, tmp_path: Path, door: str) -> None:
    """Killed half way in a first run the archive has an open run; the next call ends that run, and reads no more."""
    case = subject.named(door, "first", tmp_path)
    layout = Layout(case.archive)
    assert kill_once(case.tool, Moment("step", case.life.steps // 2), case.life).code == KILLED
    open_run = read_state(layout).open_run
    assert open_run is not None
    assert open_run.parts > 3
    again = subject.requests_of(case)
    case.check(0)
    assert layout.run_names() == [open_run.run]
    assert again <= case.life.requests - (door != "system")  # whose pages are so large that there are three of them


def test_a_damaged_open_run_begins_again(subject: SyncSubject, tmp_path: Path) -> None:
    """A part of a run that was cut off is damaged: verify says so, and the next call does not build on it."""
    case = subject.named("functions", "first", tmp_path)
    kill_once(case.tool, Moment("step", case.life.steps // 2), case.life)
    open_run = read_state(Layout(case.archive)).open_run
    assert open_run is not None
    part = Layout(case.archive).part(open_run.run, 2)
    part.write_bytes(part.read_bytes()[:-1])
    assert cm.verify(case.archive).exit_code == 7
    assert case.tool.run() == 0
    assert "starts over" in case.tool.words
    case.check(0)


def test_a_kill_at_every_late_step_of_a_first_run(subject: SyncSubject, tmp_path: Path) -> None:
    """Before each of the last changes to files that a run makes: whole after the kill, and equal after the next run."""
    steps = subject.named("stream", "first", tmp_path / "life").life.steps
    for step in range(steps - 3, steps + 1):
        case = subject.named("stream", "first", tmp_path / str(step))
        ending = kill_once(case.tool, Moment("step", step), Life(1.0, 1, 1))
        assert ending.code in (KILLED, 0)
        case.check(ending.code)
        case.check(case.tool.run())


def test_moments_reach_every_kind(subject: SyncSubject, tmp_path: Path) -> None:
    """The subject draws every way, and every situation."""
    chance = random.Random(1)
    labels = {subject.case(chance, tmp_path / str(number)).label for number in range(60)}
    assert len(labels) == 9
