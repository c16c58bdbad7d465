"""Every function takes an address, a path, or an open source, and refuses by kind what cannot do the work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sync_tool as cm
from conformance.conftest import SAMPLE
from running import Sandbox
from sync_tool.commands.opening import kind_of

READS: dict[str, Callable[[Any, Path], object]] = {
    "export": lambda place, folder: cm.export(place, folder / "a.jsonl", sessions="cust-4").rows,
    "diff": lambda place, _: cm.diff(place, SAMPLE, sessions=["cust-4"]).same,
    "validate": lambda place, _: cm.validate(place, sessions=["cust-4"]).rows,
}
ON_DEPLOYMENTS: dict[str, Callable[[Any, Path], object]] = {
    "import_": lambda place, _: cm.import_(SAMPLE, place, dry_run=True, sessions="cust-4").plan.send_rows,
    "restore": lambda place, _: cm.restore(SAMPLE, place, dry_run=True, sessions=["nobody"]),
    "sync": lambda place, folder: cm.sync(place, folder / "archive", create=True).rows,
    "doctor": lambda place, _: cm.doctor(place).exit_code,
    "tail": lambda place, _: next(cm.tail(place, "cust-4", last=1)),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what calls write in a folder of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.parametrize("name", READS)
def test_a_file_is_read_by_path_address_and_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A path, its text, a variable that holds it, and what `open` returned give the same."""
    monkeypatch.setenv("PLACE", str(SAMPLE))
    results = []
    for number, place in enumerate((SAMPLE, str(SAMPLE), "env:PLACE", cm.open(SAMPLE))):
        folder = tmp_path / str(number)
        folder.mkdir()
        results.append(READS[name](place, folder))
    assert len(set(results)) == 1
    assert results[0]


@pytest.mark.parametrize("name", READS)
def test_a_deployment_is_read_by_address_and_opened(tmp_path: Path, sandbox: Sandbox, name: str) -> None:
    """An env file and what `connect` returned give the same."""
    (tmp_path / "a").mkdir()
    with cm.connect(sandbox.url, key=sandbox.key) as history:
        assert READS[name](f"@{sandbox.env_file}", tmp_path) == READS[name](history, tmp_path / "a") != 0


@pytest.mark.parametrize("name", ["import_", "sync", "doctor", "tail"])
def test_a_deployment_is_worked_on_by_address(tmp_path: Path, sandbox: Sandbox, name: str) -> None:
    """Also what only deployments can do takes an address."""
    assert ON_DEPLOYMENTS[name](f"@{sandbox.env_file}", tmp_path) is not None


@pytest.mark.parametrize("place", [SAMPLE, str(SAMPLE), cm.open(SAMPLE), "redis://127.0.0.1:1", "-"], ids=str)
@pytest.mark.parametrize("name", ON_DEPLOYMENTS)
def test_a_place_of_another_kind_is_refused_unopened(tmp_path: Path, name: str, place: Any) -> None:
    """`NotSupported` comes before anything is read or connected to, with a hint."""
    with pytest.raises(cm.NotSupported) as caught:
        ON_DEPLOYMENTS[name](place, tmp_path)
    assert caught.value.hint
    assert caught.value.exit_code == cm.Exit.USAGE
    assert not (tmp_path / "archive").exists()


def test_files_only(tmp_path: Path, sandbox: Sandbox) -> None:
    """`convert` and `restore` do not read deployments; neither connects to find out."""
    for place in ("https://unreachable.invalid", cm.connect(sandbox.url, key=sandbox.key)):
        with pytest.raises(cm.NotSupported):
            cm.convert(place, tmp_path / "a.jsonl")
    with cm.connect(sandbox.url, key=sandbox.key) as history, pytest.raises(cm.NotSupported):
        cm.restore(history, history)


def test_what_was_opened_elsewhere_stays_open(tmp_path: Path) -> None:
    """A function closes what it opened itself, and nothing else."""

    class Closing(cm.History):
        closed = 0

        def close(self) -> None:
            """Count."""
            self.closed += 1

    source = Closing(cm.open(SAMPLE))
    cm.export(source, tmp_path / "a.jsonl")
    cm.convert(source, tmp_path / "b.jsonl")
    cm.diff(source, source)
    cm.validate(source)
    assert source.closed == 0


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("live", "deployment"),
        ("@.env", "deployment"),
        ("https://a.convex.cloud", "deployment"),
        ("redis://host", "store"),
        ("-", "stdin"),
        (".", "folder"),
        ("a.jsonl", "file"),
    ],
)
def test_an_address_has_one_kind(address: str, kind: str) -> None:
    """Each address is taken by exactly one opener, and nothing is connected to."""
    assert kind_of(address) == kind
