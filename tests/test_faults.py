"""Faults and kills in small numbers; ``python -m faults.endurance`` runs the same in the hundreds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest
import stamina

import sync_tool as cm
from faults.endurance import endure
from faults.killing import KILLED, Ending, Life, Moment, Tool, Violation, kill_once, kill_until_done, measure
from faults.plan import FAULTS, HARMLESS, HTTP_FAULTS, Plan
from faults.proxying import in_vain, running_proxy
from faults.subjects import DOORS, SELECTIONS, ExportSubject
from running import ROOT, Sandbox, running_sandbox
from sync_tool.deployment.rates import Patience
from sync_tool.errors import Unreachable

SAMPLE = ROOT / "sample_data" / "messages.jsonl"
STALLS = tuple(name for name in HTTP_FAULTS if name.startswith("stall"))
ALIKE = tuple(name for name in HTTP_FAULTS if name.startswith("503-"))[2:]
"""To a reader all 503 are the same; two of them are enough where each costs time."""
PLANS = 12
KILLS = 12


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A deployment that answers in pages of at most 400 rows, so that an export is a dozen requests."""
    with running_sandbox(tmp_path_factory.mktemp("paged"), "--sample-data", "--slow-rows", "400") as running:
        yield running


@pytest.fixture(scope="module")
def subject() -> Iterator[ExportSubject]:
    """Exports by both readers; the endurance runs have all formats and more selections."""
    with ExportSubject(("jsonl",), (SELECTIONS[0], SELECTIONS[4])) as entered:
        yield entered


def test_random_faults_lose_and_double_nothing(subject: ExportSubject) -> None:
    """A dozen runs with random plans over readers and selections: the whole file, or exit 5 and none."""
    total = endure(subject, kills=0, faults=PLANS, seed=11, jobs=2, say=print)
    assert total.fault_runs >= PLANS
    assert sum(number for name, number in total.counts.items() if name in {f"fault {kind}" for kind in FAULTS}) > PLANS


def test_random_kills_lose_and_double_nothing(subject: ExportSubject) -> None:
    """A dozen kills by time, request and step: the final file is absent or whole, and run again it is whole."""
    total = endure(subject, kills=KILLS, faults=0, seed=11, jobs=2, say=print)
    assert total.kills >= KILLS
    ways = {name.split()[2].strip(",") for name in total.counts if name.startswith("kill at")}
    assert ways == {"time", "request", "step"}


def exporting(deployment: Sandbox, folder: Path, *flags: str, file: str = "a.jsonl") -> Tool:
    """Return an export of everything into a folder of its own."""
    out = folder / "out"
    out.mkdir()
    fixed = ("export", "-o", file, "--env-file", str(deployment.env_file), *flags)
    return Tool(lambda url: (*fixed, "--url", url), deployment.url, out)


def files(tool: Tool) -> list[str]:
    """Return the names in the tool's folder."""
    return sorted(path.name for path in tool.cwd.iterdir())


@pytest.mark.parametrize("names", [HTTP_FAULTS[start::11] for start in range(11)], ids=" ".join)
def test_the_command_line_gets_over_each_fault(tmp_path: Path, deployment: Sandbox, names: tuple[str, ...]) -> None:
    """Faults at the first request, while connecting and at a page: exit 0 and the whole file, byte for byte."""
    tool = exporting(deployment, tmp_path, "--timeout", "0.5")
    met = [*zip((1, 4, 9), names, strict=False)]
    with running_proxy(tool.url, Plan(tuple(met))) as proxy:
        assert tool.run(proxy.url, FAULTS_NO_WAITS="1") == 0, tool.words
        assert [(event.number, event.fault) for event in proxy.events() if event.fault] == met
    assert (tool.cwd / "a.jsonl").read_bytes() == SAMPLE.read_bytes()
    assert files(tool) == ["a.jsonl"]


@pytest.mark.parametrize(("name", "via"), [*zip(HTTP_FAULTS, cycle(DOORS), strict=False)])
def test_the_library_gets_over_each_fault(deployment: Sandbox, name: str, via: str) -> None:
    """A reader gets every row once and in order, through either reader, whatever fault every third request meets."""
    plan = Plan(tuple((number, name) for number in range(1, 100, 8 if name in STALLS else 3)))
    with (
        running_proxy(deployment.url, plan) as proxy,
        stamina.set_testing(True, attempts=6, cap=True),
        cm.connect(proxy.url, key=deployment.key, via=via, patience=Patience(read=0.5)) as history,  # type: ignore[arg-type]
    ):
        assert [row.raw for row in history.messages()] == SAMPLE.read_bytes().splitlines()
        assert any(event.fault for event in proxy.events())


@pytest.mark.parametrize("name", [name for name in HTTP_FAULTS if name not in (*HARMLESS, *STALLS, *ALIKE)])
def test_a_fault_that_stays_ends_in_unreachable(deployment: Sandbox, name: str) -> None:
    """A reader that has begun and then meets only faults gives up after as many attempts as it was given."""
    with (
        running_proxy(deployment.url, Plan.of(f"6+:{name}")) as proxy,
        stamina.set_testing(True, attempts=4, cap=True),
        cm.connect(proxy.url, key=deployment.key, patience=Patience(attempts=4)) as history,
    ):
        with pytest.raises(Unreachable):
            list(history.messages())
        assert in_vain(proxy.events()) == 4


@pytest.mark.parametrize(
    ("name", "file"),
    [("reset-after", "a.jsonl"), ("truncated", "a.parquet"), ("garbage", "a.md"), ("stall-half", "a.jsonl.zst")],
)
def test_the_command_line_gives_up_with_5_and_no_file(
    tmp_path: Path, deployment: Sandbox, name: str, file: str
) -> None:
    """Faults that stay end in exit 5, one line, nothing in the folder; the same command then succeeds."""
    tool = exporting(deployment, tmp_path, "--timeout", "0.5", "--attempts", "2", file=file)
    with running_proxy(tool.url, Plan.of(f"8+:{name}")) as proxy:
        assert tool.run(proxy.url, FAULTS_NO_WAITS="1") == 5
        assert in_vain(proxy.events()) == 2
    assert tool.words.count("error: ") == 1
    assert files(tool) == []
    assert tool.run() == 0
    assert files(tool) == [file]


def test_a_kill_at_every_step_of_an_export(tmp_path: Path, deployment: Sandbox) -> None:
    """Between any two calls that others can see there is no file, or the whole one; the next run cleans up."""
    life = measure(exporting(deployment, tmp_path))
    stages: list[list[str]] = []
    for step in range(1, life.steps + 1):
        (tmp_path / str(step)).mkdir()
        tool = exporting(deployment, tmp_path / str(step))
        assert kill_once(tool, Moment("step", step), life).code == KILLED
        left = files(tool)
        if left == ["a.jsonl"]:
            assert (tool.cwd / "a.jsonl").read_bytes() == SAMPLE.read_bytes()
        elif left not in stages:
            assert tool.run() == 0
            assert files(tool) == ["a.jsonl"]
        stages += [left] if stages[-1:] != [left] else []
    assert stages == [[], [".a.jsonl.part"], ["a.jsonl"]]


CARELESS = """
import sys, urllib.request
with open("a.txt", "{mode}") as file:
    for number in range(5):
        urllib.request.urlopen(sys.argv[1] + "/version").read()
        file.write(f"line {{number}}\\n")
        file.flush()
"""
WHOLE = "".join(f"line {number}\n" for number in range(5))


@pytest.mark.parametrize(("mode", "said"), [("w", "half"), ("a", "doubled")])
def test_the_harness_sees_a_careless_command(tmp_path: Path, deployment: Sandbox, mode: str, said: str) -> None:
    """A command that writes under the final name, or that goes on where it was not, does not get through."""
    (tmp_path / "careless.py").write_text(CARELESS.format(mode=mode))
    out = tmp_path / "out"
    out.mkdir()
    file = out / "a.txt"
    tool = Tool(lambda url: (url,), deployment.url, out, {"PYTHONPATH": str(tmp_path)}, "careless")

    def check(code: int) -> None:
        text = file.read_text() if file.exists() else ""
        if mode == "w" and text not in ("", WHOLE):
            raise Violation("half a file")
        if code == 0 and text != WHOLE:
            raise Violation("doubled")

    with pytest.raises(Violation, match=rf"{said}.*\n  seed 7; killed at request 3 \(stall\) -> -9"):
        kill_until_done(
            tool,
            seed=7,
            life=Life(60.0, 5, 0),
            check=check,
            kills=1,
            draw=lambda *_: Moment("request", 3, "stall"),
        )


def test_moments_are_drawn_over_the_whole_life() -> None:
    """Times reach from the start to the end, every request and every step has its turn."""
    chance = random.Random(3)
    drawn = [Moment.draw(chance, Life(1.0, 6, 4)) for _ in range(1_000)]
    times = [moment.where for moment in drawn if moment.way == "time"]
    assert all(any(tenth / 10 <= time < (tenth + 1) / 10 for time in times) for tenth in range(10))
    assert {moment.where for moment in drawn if moment.way == "request"} == set(range(1, 7))
    assert {moment.where for moment in drawn if moment.way == "step"} == set(range(1, 5))


def test_a_command_that_ends_before_its_kill_is_not_counted_as_killed(tmp_path: Path, deployment: Sandbox) -> None:
    """A kill planned for a request or a step that never comes does not hang and tells the real exit code."""
    life = Life(60.0, 1, 1)
    tool = exporting(deployment, tmp_path, "--overwrite")
    for moment in (Moment("request", 999, "stall"), Moment("step", 999), Moment("time", 1.0)):
        ending = kill_once(tool, moment, life)
        assert (type(ending), ending.code) == (Ending, 0)
