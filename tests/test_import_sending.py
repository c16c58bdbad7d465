"""How ``import`` sends: calls of what size, what is refused, who else writes, and answers that never came."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina

import sync_tool as cm
from faults.plan import Plan
from faults.proxying import running_proxy
from importing import NOON, Target, history, lines, new_session, row, write
from running import deployment_of, running_sandbox
from sandbox.importing import post, status, upload, zipped
from sync_tool.commands.import_ import run as import_
from sync_tool.commands.import_.sending import MAX_BYTES, MAX_ROWS
from sync_tool.deployment.functions import AppendBatch, Appended, FunctionsWriter, Moved
from sync_tool.encoding.validators import ANY

Results = list[Appended | Moved]
YEAR_2100 = 4_102_444_800_000.0


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A deployment that takes the four documented fields only."""
    with running_sandbox(tmp_path_factory.mktemp("strict"), "--schema", "documented") as running:
        yield Target(running)


@pytest.fixture(autouse=True)
def home(own_folder: None) -> Iterator[None]:
    """A folder and a journal of its own for each test; nothing waits between attempts."""
    with stamina.set_testing(True, attempts=6, cap=True):
        yield


class Calls:
    """Watches the appends of an import, and lets something happen just before or after one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[list[AppendBatch]] = []
        self.before: dict[int, Callable[[], None]] = {}
        original = FunctionsWriter.append

        def append(door: FunctionsWriter, batches: list[AppendBatch]) -> Results:
            self.made.append(list(batches))
            self.before.pop(len(self.made), lambda: None)()
            return original(door, batches)

        monkeypatch.setattr(FunctionsWriter, "append", append)

    @property
    def rows(self) -> list[int]:
        """How many rows each call had."""
        return [sum(len(batch.documents) for batch in call) for call in self.made]

    @property
    def sizes(self) -> list[int]:
        """How many bytes each call had."""
        return [sum(len(document) for batch in call for document in batch.documents) for call in self.made]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The appends that are made; they still go to the deployment."""
    return Calls(monkeypatch)


def numbered(count: int) -> list[str]:
    """Return as many texts."""
    return [f"text {number}" for number in range(count)]


def documented(session: str, text: Any, **data: Any) -> dict[str, Any]:
    """Return a row with documented fields, and others."""
    return {"sessionId": session, "message": {"type": "human", "data": {"content": text, **data}}}


def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the deployment be the only one that knows its schema, as if it had changed a moment ago."""
    monkeypatch.setattr(import_, "from_json", lambda _: ANY)


def test_small_sessions_go_together(target: Target, calls: Calls) -> None:
    """300 sessions of three messages are two calls, each session whole in one of them."""
    sessions = sorted(new_session("small") for _ in range(300))
    source = write(Path("a.jsonl"), [one for session in sessions for one in history(session, numbered(3))])
    assert target.put(source).sent_rows == 900
    assert sorted(calls.rows) == [402, 498]
    assert {len(batch.documents) for call in calls.made for batch in call} == {3}


def test_a_long_session_goes_in_calls_of_500(target: Target, calls: Calls) -> None:
    """Each call names the last row of the one before; the first expects an empty session."""
    session = new_session()
    assert target.put(write(Path("a.jsonl"), history(session, numbered(1203)))).sent_rows == 1203
    assert calls.rows == [MAX_ROWS, MAX_ROWS, 203]
    ids = target.ids(session)
    assert [call[0].expect_last for call in calls.made] == [None, ids[499], ids[999]]
    assert target.texts(session) == numbered(1203)


def test_a_call_is_at_most_2_mib(target: Target, calls: Calls) -> None:
    """By bytes, too; one message may be up to what Convex takes."""
    session = new_session()
    texts = [str(number) * 900_000 for number in range(5)] + numbered(3)
    assert target.put(write(Path("a.jsonl"), history(session, texts))).sent_rows == 8
    assert max(calls.sizes) <= MAX_BYTES
    assert calls.rows == [2, 2, 4]
    assert target.texts(session) == texts


def test_what_the_deployment_refuses_is_found_by_halves(
    strict: Target, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message in a thousand: quarantined with the deployment's words; its session stops, others continue."""
    unchecked(monkeypatch)
    good, bad, last = new_session("a"), new_session("b"), new_session("c")
    rows = [documented(good, text) for text in numbered(200)]
    rows += [documented(bad, text, **({"id": "x"} if text == "text 57" else {})) for text in numbered(100)]
    rows += [documented(last, text) for text in numbered(150)]
    report = strict.put(write(Path("a.jsonl"), rows))
    assert (report.exit_code, report.bad_rows, report.held_rows, report.new) == (3, 1, 42, 3)
    assert [strict.texts(session) for session in (good, bad, last)] == [numbered(200), numbered(57), numbered(150)]
    first, *held = lines(report.quarantine)
    assert (first["line"], first["faults"][0]["rule"], len(held)) == (258, "refused", 42)
    assert "extra field" in first["faults"][0]["found"]
    assert first["record"] == rows[257]
    assert len(calls.made) < 60
    del first["record"]["message"]["data"]["id"]
    fixes = write(Path("f.jsonl"), [first, *held])
    assert strict.put("a.jsonl", fixes=[fixes]).exit_code == 0
    assert strict.texts(bad) == numbered(100)


def test_a_refusal_with_skip_bad_is_passed_over(strict: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session goes on behind it; "record": null in the quarantine file makes that the history."""
    unchecked(monkeypatch)
    session = new_session()
    rows = [documented(session, text, **({"id": "x"} if text in ("text 0", "text 7") else {})) for text in numbered(20)]
    source = write(Path("a.jsonl"), rows)
    kept = [text for text in numbered(20) if text not in ("text 0", "text 7")]
    report = strict.put(source, skip_bad=True)
    assert (report.exit_code, report.bad_rows, report.held_rows, report.sent_rows) == (3, 2, 0, 18)
    assert strict.texts(session) == kept
    again = strict.put(source, skip_bad=True)  # what was refused is not in the target: to the plan it is missing
    assert (again.exit_code, again.sent_rows, again.plan.conflict) == (3, 0, 1)
    left_out = write(Path("f.jsonl"), [line | {"record": None} for line in lines(report.quarantine)])
    assert strict.put(source, fixes=[left_out]).plan.up_to_date == 1
    assert strict.texts(session) == kept


def test_a_refused_first_message_leaves_the_session_out(strict: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it was written, so it does not count as new."""
    unchecked(monkeypatch)
    session = new_session()
    rows = [documented(session, "x", id="x"), documented(session, "y")]
    report = strict.put(write(Path("a.jsonl"), rows))
    assert (report.new, report.sent_rows, report.bad_rows, report.held_rows) == (0, 0, 1, 1)


def test_a_tail_in_the_future_leaves_its_session(target: Target, tmp_path: Path, calls: Calls) -> None:
    """New rows would sort before the old tail: that session is left and named, the others in its call are written."""
    with running_sandbox(tmp_path) as running:
        other = Target(running)
        future, before, after = "m-future", "a-before", "z-after"
        tail = json.dumps(row(future, "text 0", YEAR_2100)).encode() + b"\n"
        import_id = upload(other.box, zipped(messages=tail), mode="replace")
        status(other.box, import_id)
        post(other.box, "/api/perform_import", {"importId": import_id})
        status(other.box, import_id)
        rows = [one for session in (before, future, after) for one in history(session, numbered(3))]
        report = other.put(write(Path("a.jsonl"), rows))
        assert report.exit_code == 3
        ((session, reason, at),) = [(one.session, one.reason, one.message) for one in report.conflicts]
        assert (session, at) == (future, 2)
        assert "dated in the future" in reason
        assert (report.new, report.extended, report.sent_rows) == (2, 0, 6)
        assert (other.texts(before), other.texts(after)) == (numbered(3), numbered(3))
        assert other.texts(future) == ["text 0"]
        assert len(calls.made) == 2
        assert other.put("a.jsonl", on_conflict="skip").exit_code == 3  # no conflict of histories


@pytest.mark.parametrize("moment", [1, 2, 3])
def test_an_app_that_writes_meanwhile_is_noticed(target: Target, calls: Calls, moment: int) -> None:
    """The session is left where it is and named; no row is lost, doubled or put behind the app's."""
    live, quiet = new_session("live"), new_session("quiet")
    rows = [*history(live, numbered(1200)), *history(quiet, numbered(10))]
    calls.before[moment] = lambda: target.append(live, "from the app") and None
    with target.connected(concurrency=1) as there, pytest.raises(cm.Conflict) as caught:
        cm.import_(write(Path("a.jsonl"), rows), there)
    report = caught.value.report
    written = (moment - 1) * MAX_ROWS
    assert target.texts(live) == [*numbered(written), "from the app"]
    assert target.texts(quiet) == numbered(10)
    assert [(one.session, one.message) for one in report.conflicts] == [(live, written + 1)]
    assert "changed while it was imported" in report.conflicts[0].reason
    assert (report.sent_rows, report.new, report.exit_code) == (written + 10, 1, 3)
    again = target.put("a.jsonl")
    assert (again.sent_rows, again.plan.conflict) == (0, 1)


def test_an_app_that_erases_meanwhile_is_noticed(target: Target, calls: Calls) -> None:
    """A session that was cleared does not restart in the middle."""
    session = new_session()

    def erase() -> None:
        target.box.call("mutation", "convexMsgs:erase", {"sessionId": session, "limit": 4000})

    calls.before[2] = erase
    report = target.put(write(Path("a.jsonl"), history(session, numbered(700))))
    assert (report.exit_code, target.texts(session)) == (3, [])
    assert target.put("a.jsonl").sent_rows == 700


FAULTS = ("reset-before", "reset-after", "500-after", "502-after", "truncated",
          "empty", "429", "429-retry-after", "503-OptimisticConcurrencyControlFailure", "503-CommitterFullError",
          "408-after")  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_lost_answer_never_doubles(target: Target, fault: str) -> None:
    """Every call's answer is spoiled once, before or after the commit: all rows once, in order, exit 0."""
    session, small = new_session("long"), new_session("small")
    source = write(Path("a.jsonl"), [*history(session, numbered(1200)), *history(small, numbered(5))])
    with running_proxy(target.sandbox.url) as undisturbed:
        target.put(source, url=undisturbed.url, dry_run=True)
        first = len(undisturbed.events()) + 1
    plan = Plan(tuple((first + step, fault) for step in range(0, 24, 3)))
    with running_proxy(target.sandbox.url, plan) as proxy:
        report = target.put(source, url=proxy.url)
        assert any(event.fault for event in proxy.events() if event.path == "/api/mutation")
    assert (report.exit_code, report.sent_rows, report.conflicts) == (0, 1205, ())
    assert (target.texts(session), target.texts(small)) == (numbered(1200), numbered(5))
    assert target.put(source).sent_rows == 0


@pytest.mark.parametrize(
    ("call", "fault"), [(0, "reset-after"), (1, "reset-before"), (1, "reset-after"), (2, "reset-after")]
)
def test_giving_up_and_going_on(target: Target, call: int, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to a call is lost and nobody tries again: exit 5; the same command goes on, without notes too."""
    session = new_session()
    source = write(Path("a.jsonl"), history(session, numbered(1200)))
    with running_proxy(target.sandbox.url) as undisturbed:
        target.put(source, url=undisturbed.url, dry_run=True)
        first = len(undisturbed.events()) + 1
    with (
        running_proxy(target.sandbox.url, Plan(((first + call, fault),))) as proxy,
        stamina.set_testing(True),
        pytest.raises(cm.Unreachable),
    ):
        target.put(source, url=proxy.url, attempts=1)
    there = (call + fault.endswith("after")) * MAX_ROWS
    assert target.texts(session) == numbered(min(there, 1200))
    if call == 1:
        monkeypatch.setenv("XDG_STATE_HOME", str(Path("elsewhere").absolute()))
    report = target.put(source)
    assert (report.exit_code, report.sent_rows) == (0, 1200 - min(there, 1200))
    assert target.texts(session) == numbered(1200)


def test_an_earlier_larger_call_may_commit_late(target: Target, calls: Calls) -> None:
    """More rows are there than the call had that was answered last: they are recognised, and none is sent again."""
    session = new_session()
    source = write(Path("a.jsonl"), history(session, numbered(900)))
    with target.connected() as there:
        documents = [json.dumps({"sessionId": session, "message": one["message"]}).encode() for one in
                     history(session, numbered(700))]  # fmt: skip
        late = [AppendBatch(session, documents, None)]
        door = deployment_of(there).writer(None)
        calls.before[1] = lambda: FunctionsWriter.append(door, late) and None
        report = cm.import_(source, there)
    assert (report.exit_code, report.conflicts) == (0, ())
    assert target.texts(session) == numbered(900)


def test_too_many_writes_are_waited_for(tmp_path: Path) -> None:
    """A deployment that takes so many bytes a second answers 429: calls are repeated until everything is there."""
    with running_sandbox(tmp_path, "--write-rate", "300000") as running:
        target = Target(running)
        sessions = [new_session() for _ in range(4)]
        texts = [f"{number} " + "x" * 1000 for number in range(60)]
        source = write(Path("a.jsonl"), [one for session in sessions for one in history(session, texts)])
        stamina.set_testing(False)
        report = target.put(source, attempts=12)
        assert (report.exit_code, report.sent_rows) == (0, 240)
        assert [target.texts(session) for session in sessions] == [texts] * 4


def test_the_rate_is_kept(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan says how long the rate makes it take, and the sender waits for as long."""
    from sync_tool.deployment import rates as gate

    waited: list[float] = []
    monkeypatch.setattr(gate.time, "sleep", waited.append)
    session = new_session()
    source = write(Path("a.jsonl"), history(session, ["x" * 10_000] * 100))
    with target.connected(bytes_per_second=250_000.0) as there:
        report = cm.import_(source, there)
    assert report.plan.bytes_per_second == 250_000
    assert report.plan.seconds == pytest.approx(report.sent_bytes / 250_000)
    assert sum(waited) == pytest.approx(report.plan.seconds, abs=1.0)


def test_progress_is_told_of_every_row(target: Target) -> None:
    """Staged rows first, then rows that were sent, with a total."""

    class Told:
        def __init__(self) -> None:
            self.begun: list[int | None] = []
            self.rows: list[int] = []

        def begin(self, title: str, total: int | None) -> None:
            assert title
            self.begun.append(total)
            self.rows.append(0)

        def advance(self, rows: int, size: int) -> None:
            assert size >= 0
            self.rows[-1] += rows

        def note(self, text: str) -> None:
            assert text

        def detail(self, text: str) -> None:
            assert text

    told = Told()
    source = write(Path("a.jsonl"), history(new_session(), numbered(1100), NOON))
    assert target.put(source, progress=told).exit_code == 0
    assert (told.begun, told.rows) == ([None, 1100], [1100, 1100])
