"""``import --keep-times``: one atomic import into an empty table, every message with the time it was said at."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import sync_tool as cm
from faults.plan import Plan
from faults.proxying import running_proxy
from importing import NOON, Target, history, message, row, write
from running import convex_msgs, running_sandbox
from sync_tool.commands.import_ import keep_times as keeping
from sync_tool.deployment.snapshot import SnapshotWriter

ABC = ["a", "b", "c"]


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """An empty deployment of its own, and a folder to work in."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(folder)
    with running_sandbox(tmp_path) as running:
        yield Target(running)


def times(target: Target, session: str) -> list[float]:
    """Return the times of a session's rows."""
    return [one["_creationTime"] for one in target.rows(session)]


def put(target: Target, *sources: Any, **keywords: Any) -> cm.ImportReport:
    """Import with times kept."""
    return target.put(*sources, keep_times=True, **keywords)


def test_times_are_kept_and_ids_are_new(target: Target) -> None:
    """Rows in any order, of several files, with fields of the user's own; the same again writes nothing."""
    rows = [one | {"_id": f"old{number}", "userId": "u"} for number, one in enumerate(history("s", ABC))]
    write(Path("a.jsonl"), rows[1:])
    write(Path("b.jsonl"), [rows[0], row("t", "x", NOON + 0.125)])
    report = put(target, "a.jsonl", "b.jsonl", compare=True)
    assert (report.exit_code, report.sent_rows, report.new) == (0, 4, 2)
    assert report.compared is not None
    assert (report.compared.equal, report.compared.different) == (2, 0)
    assert (target.texts("s"), times(target, "s")) == (ABC, [one["_creationTime"] for one in rows])
    assert times(target, "t") == [NOON + 0.125]
    assert not {"old0", "old1", "old2"} & set(target.ids("s"))
    assert {one["userId"] for one in target.rows("s")} == {"u"}
    ids = target.ids("s")
    again = put(target, "a.jsonl", "b.jsonl")
    assert (again.exit_code, again.sent_rows, again.plan.up_to_date) == (0, 0, 2)
    assert target.ids("s") == ids


def test_of_one_time_the_later_gets_the_next_double(target: Target) -> None:
    """Ids are made anew, so the times themselves must keep the order."""
    texts = [str(number) for number in range(40)]
    rows = [row("s", text, NOON) for text in texts] + [row("s", "after", math.nextafter(NOON, math.inf))]
    rows += [row("t", text, NOON) for text in texts[:3]]
    assert put(target, write(Path("a.jsonl"), rows)).exit_code == 0
    found = times(target, "s")
    assert target.texts("s")[0] == "0"
    assert found[0] == NOON
    assert all(second == math.nextafter(first, math.inf) for first, second in itertools.pairwise(found))
    assert sorted(target.texts("s")) == sorted([*texts, "after"])
    assert [text for text in target.texts("s") if text != "after"] == texts
    assert times(target, "t")[0] == NOON
    assert target.put("a.jsonl").sent_rows == 0


def test_a_table_with_rows_is_refused(target: Target) -> None:
    """Exit 2 with the count, nothing written, also where the rows are of other sessions."""
    target.append("other", "x")
    source = write(Path("a.jsonl"), history("s", ABC))
    with pytest.raises(cm.UsageError, match="--keep-times"):
        put(target, source)
    assert target.texts("s") == []
    with pytest.raises(cm.UsageError, match="nothing to replace"):
        put(target, source, on_conflict="replace")


def test_a_message_without_time_is_refused(target: Target) -> None:
    """The first one is named by file and line; nothing is written."""
    source = write(Path("a.jsonl"), [*history("s", ABC), row("t", "x")])
    with pytest.raises(cm.UsageError, match=r"a\.jsonl:4 .*_creationTime"):
        put(target, source)
    assert target.texts("s") == []


def test_the_plan_says_it(target: Target, tmp_path: Path) -> None:
    """`--dry-run` on the command line: one atomic import, nothing there afterwards."""
    write(Path("a.jsonl"), history("s", ABC))
    to = ("--to", f"@{target.sandbox.env_file}")
    done = convex_msgs("import", "a.jsonl", *to, "--keep-times", "--dry-run", cwd=tmp_path / "work")
    assert done.code == 0, done.err
    assert "times  every message keeps its _creationTime: one atomic import, new _id" in done.err
    assert done.err.endswith("nothing was written.\n")
    assert target.texts("s") == []


def test_bad_messages_stop_their_sessions_here_too(target: Target) -> None:
    """Messages before them go in with their times, they and later ones are quarantined, exit 3."""
    rows = history("s", ABC)
    rows[1]["message"] = {"type": "human"}
    report = put(target, write(Path("a.jsonl"), [*rows, *history("t", ABC)]))
    assert (report.exit_code, report.bad_rows, report.held_rows, report.sent_rows) == (3, 1, 1, 4)
    assert (target.texts("s"), target.texts("t")) == (["a"], ABC)


def test_the_plan_warns_that_what_waits_cannot_keep_its_time(target: Target, tmp_path: Path) -> None:
    """After the import the table is not empty any more: the dry run says to repair first."""
    write(Path("a.jsonl"), [row("s", "a", NOON), row("s", 5, NOON + 1), row("s", "c", NOON + 2)])
    flags = ("--to", f"@{target.sandbox.env_file}", "--keep-times", "--dry-run")
    done = convex_msgs("import", "a.jsonl", *flags, cwd=Path.cwd())
    assert "cannot keep its own later: repair first" in done.err
    done = convex_msgs("import", "a.jsonl", *flags, "--skip-bad", cwd=Path.cwd())
    assert "repair first" not in done.err


def test_values_of_every_kind_arrive(target: Target) -> None:
    """Int64, bytes and odd floats go through the zip unchanged."""
    odd = {"i": {"$integer": "AQAAAAAAAAA="}, "b": {"$bytes": "AQI="}, "f": {"$float": "AAAAAAAA+H8="}, "z": -0.0}
    source = write(
        Path("a.jsonl"), [{"sessionId": "s", "_creationTime": NOON, "message": message("x", additional_kwargs=odd)}]
    )
    assert put(target, source, compare=True).exit_code == 0
    (found,) = target.rows("s")
    assert found["message"]["data"]["additional_kwargs"] == odd | {"z": {"$float": "AAAAAAAAAIA="}}
    assert target.put(source).sent_rows == 0


@pytest.mark.parametrize("step", range(0, 8, 2))
def test_cut_off_anywhere_and_called_again(target: Target, step: int) -> None:
    """All or nothing after the cut; the same call then ends with everything once, and its times."""
    texts = [str(number) for number in range(700)]
    source = write(Path("a.jsonl"), history("s", texts))
    with running_proxy(target.sandbox.url) as undisturbed:
        target.put(source, url=undisturbed.url, dry_run=True, keep_times=True)
        first = len(undisturbed.events()) + 1
    plan = Plan(stays=(first + step, "reset-after"))
    with running_proxy(target.sandbox.url, plan) as proxy, suppress(cm.Unreachable):
        put(target, source, url=proxy.url, attempts=1)
    assert target.texts("s") in ([], texts)
    assert put(target, source).exit_code == 0
    assert target.texts("s") == texts
    assert times(target, "s") == [NOON + 1000.0 * number for number in range(700)]


def test_an_import_that_is_still_written_is_awaited(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is looked at after the end of what an earlier call began: everything is there, nothing is sent."""
    texts = [str(number) for number in range(200)]
    source = write(Path("a.jsonl"), history("s", texts))
    original = keeping.KeepTimes.await_earlier

    def write_now(_: keeping.KeepTimes) -> None:
        monkeypatch.setattr(keeping.KeepTimes, "await_earlier", original)
        assert put(target, source).sent_rows == 200

    monkeypatch.setattr(keeping.KeepTimes, "await_earlier", write_now)
    report = put(target, source)
    assert (report.exit_code, report.sent_rows, report.plan.up_to_date) == (0, 0, 1)
    assert target.texts("s") == texts


def test_a_refused_import_writes_nothing(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that appears after the plan: the deployment refuses the whole import, and says why."""
    source = write(Path("a.jsonl"), history("s", ABC))
    original = SnapshotWriter.upload

    def upload(door: SnapshotWriter, *arguments: Any) -> str:
        target.append("live", "x")
        return original(door, *arguments)

    monkeypatch.setattr(SnapshotWriter, "upload", upload)
    with pytest.raises(cm.UsageError, match="did not take the rows: Table messages already exists"):
        put(target, source)
    assert (target.texts("s"), target.texts("live")) == ([], ["x"])
