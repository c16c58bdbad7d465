"""Imports killed, cut off and talked into, in small numbers; ``python -m faults.endurance import`` runs hundreds."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import stamina

import sync_tool as cm
from faults.endurance import endure
from faults.histories import Wanted, World, make_world
from faults.importing import ImportSubject
from faults.killing import KILLED, Violation
from faults.plan import FAULTS, Plan
from faults.proxying import running_proxy
from faults.reaching import Message, Table, Writer
from running import Sandbox, running_sandbox
from sync_tool.deployment.rates import Patience

KILLS = 4
PLANS = 4
AN_EXTENSION = 4
"""A seed that gives an import without --on-conflict replace, the long session there in part."""
AFTER = tuple(name for name, fault in FAULTS.items() if fault.reaches and fault.how not in ("cut-socket", "drip"))
"""The faults at which the deployment has done what it was asked, and nobody hears of it."""
SMALL = (520,)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One deployment for all tests of this file."""
    with running_sandbox(tmp_path_factory.mktemp("shared")) as running:
        yield running


@pytest.fixture
def sandbox(shared: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """The deployment, emptied afterwards; what an import notes about it stays in the test's own folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield shared
    table = Table(shared)
    table.clear(table.sessions())


def test_random_kills_of_an_import_lose_and_double_nothing() -> None:
    """Killed by time, request and step, and run again: every session holds exactly its history."""
    total = endure(ImportSubject(longest=SMALL), kills=KILLS, faults=0, seed=5, jobs=2, say=print)
    assert total.kills >= KILLS


def test_random_faults_of_an_import_lose_and_double_nothing() -> None:
    """Behind a bad network every run leaves beginnings of the histories, and the last one all of them."""
    total = endure(ImportSubject(longest=SMALL), kills=0, faults=PLANS, seed=5, jobs=2, say=print)
    assert total.fault_runs >= PLANS


def test_somebody_else_talks_meanwhile() -> None:
    """With kills and faults, what another client writes into a session stays, and the session is named."""
    total = endure(ImportSubject(live=True, longest=SMALL), kills=1, faults=1, seed=5, jobs=2, say=print)
    assert total.kills >= 1


def written(world: World, folder: Path) -> list[Path]:
    """Write the files of a world and return them."""
    for name, content in world.files.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in world.files]


def messages(table: Table) -> dict[str, list[Message]]:
    """Return what the table holds, by session."""
    return {name: [row.message for row in rows] for name, rows in table.sessions().items()}


@pytest.mark.parametrize("name", AFTER)
def test_an_import_gets_over_each_lost_answer(tmp_path: Path, sandbox: Sandbox, name: str) -> None:
    """One run brings everything once, though every second answer is lost after the deployment did as told."""
    world = make_world(random.Random(name), Wanted(replace=True, longest=1100))
    table = Table(sandbox)
    for session, history in world.histories.items():
        table.append(session, history.before)
    stalls = name.startswith("stall")
    waits = 0.5 if stalls else 30.0
    plan = Plan(tuple((number, name) for number in range(1, 200, 6 if stalls else 2)))
    with (
        running_proxy(sandbox.url, plan) as proxy,
        stamina.set_testing(True, attempts=6, cap=True),
        # One call at a time: then no call can meet every fault there is, whatever the machine is busy with.
        cm.connect(proxy.url, key=sandbox.key, patience=Patience(read=waits, concurrency=1)) as target,
    ):
        saved = tmp_path / "saved.jsonl"
        report = cm.import_(written(world, tmp_path), target, on_conflict="replace", yes=True, save_replaced=saved)
        lost = {event.path for event in proxy.events() if event.fault}
    assert report.exit_code == 0
    assert "/api/mutation" in lost
    assert messages(table) == {session: history.after for session, history in world.histories.items()}


def test_whoever_talks_while_a_session_is_replaced_is_not_lost(tmp_path: Path, sandbox: Sandbox) -> None:
    """A message from before the rows are saved is in the file, a later one stays, and none is doubled."""
    table = Table(sandbox)
    old = [{"type": "human", "data": {"content": f"old {number}"}} for number in range(900)]
    new = [{"type": "ai", "data": {"content": f"new {number}"}} for number in range(1700)]
    table.append("talk", old)
    lines = [json.dumps({"sessionId": "talk", "message": message}) for message in new]
    (tmp_path / "new.jsonl").write_text("\n".join(lines))
    writer = Writer(table, "talk", random.Random(1), 100, 0.02)
    saved = tmp_path / "saved.jsonl"
    with cm.connect(sandbox.url, key=sandbox.key) as target, writer:
        report = cm.import_(tmp_path / "new.jsonl", target, on_conflict="replace", yes=True, save_replaced=saved)
    kept = [json.loads(line)["message"] for line in saved.read_bytes().splitlines()]
    there = messages(table).get("talk", [])
    ours = [message for message in there if not Writer.is_mine(message)]
    assert [message for message in kept + there if Writer.is_mine(message)] == writer.said()
    assert [message for message in kept if not Writer.is_mine(message)] == old
    assert ours == new[: len(ours)]
    assert ours == new or report.conflicts[0].session == "talk"


def test_the_harness_sees_what_is_wrong(tmp_path: Path) -> None:
    """A message twice, one out of nowhere, a session gone: none gets past the check."""
    with closing(ImportSubject(longest=SMALL).case(random.Random(AN_EXTENSION), tmp_path)) as case:
        assert not case.wanted.replace
        case.tool.run()
        case.check(*case.tool.success)
        long = case.world.longest
        for said, name in (("out of order", long), ("out of nowhere", "nobody asked for it")):
            case.table.append(name, case.world.histories[long].after[:1] * 2)
            with pytest.raises(Violation, match=said):
                case.check(KILLED)
            case.table.clear([name])
        with pytest.raises(Violation, match="out of order"):
            case.check(KILLED)
