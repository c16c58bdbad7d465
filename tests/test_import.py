"""``import``: what is planned, what each policy does, what is taken from where, and that nothing is sent twice."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sync_tool as cm
from faults.plan import Plan
from faults.proxying import running_proxy
from importing import NOON, Target, history, lines, message, new_session, row, write
from running import Sandbox, convex_msgs, running_sandbox
from sync_tool.commands.options import OnConflict
from sync_tool.messages.rules import LEVELS

pytestmark = pytest.mark.usefixtures("own_folder")

POLICIES: tuple[OnConflict, ...] = ("error", "skip", "replace")
ABC = ["a", "b", "c"]


def counts(report: cm.ImportReport) -> dict[str, int]:
    """Return how many sessions are what in the plan, without zeros."""
    names = ("new", "up_to_date", "ahead", "extend", "conflict", "replace", "held")
    return {name: getattr(report.plan, name) for name in names if getattr(report.plan, name)}


@pytest.mark.parametrize(
    ("there", "plan", "code", "after"),
    [
        ([], {"new": 1}, 0, ABC),
        (["a"], {"extend": 1}, 0, ABC),
        (["a", "b"], {"extend": 1}, 0, ABC),
        (ABC, {"up_to_date": 1}, 0, ABC),
        ([*ABC, "d"], {"up_to_date": 1, "ahead": 1}, 0, [*ABC, "d"]),
        (["a", "x"], {"conflict": 1}, 3, ["a", "x"]),
        (["x"], {"conflict": 1}, 3, ["x"]),
        (["b", "a", "c"], {"conflict": 1}, 3, ["b", "a", "c"]),
        (["a", "b", "x", "c"], {"conflict": 1}, 3, ["a", "b", "x", "c"]),
    ],
)
def test_a_session_is_what_the_histories_say(
    target: Target, there: list[str], plan: dict[str, int], code: int, after: list[str]
) -> None:
    """New, extended, up to date, ahead or in conflict; what is there already keeps its ids."""
    session = new_session()
    ids = target.append(session, *there) if there else []
    source = write(Path("a.jsonl"), history(session, ABC))
    report = target.put(source)
    assert (counts(report), report.exit_code) == (plan, code)
    assert target.texts(session) == after
    assert target.ids(session)[: len(ids)] == ids
    assert report.sent_rows == len(after) - len(there)
    assert (report.new, report.extended) == (report.plan.new, report.plan.extend)


def test_the_conflict_says_where_histories_part(target: Target) -> None:
    """The library raises `Conflict` after all others were written; report, message and number of the message."""
    conflicting, fresh = new_session("a"), new_session("b")
    target.append(conflicting, "a", "b", "x")
    source = write(Path("a.jsonl"), [*history(conflicting, ABC), *history(fresh, ABC)])
    with target.connected() as there, pytest.raises(cm.Conflict, match="message 3") as caught:
        cm.import_(source, there)
    report = caught.value.report
    assert [(one.session, one.message) for one in report.conflicts] == [(conflicting, 3)]
    assert target.texts(fresh) == ABC
    assert "on_conflict='skip'" in caught.value.hint


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("journal", [True, False])
def test_the_same_file_twice_sends_nothing(
    target: Target, policy: OnConflict, journal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under every policy, with and without the notes of the first run, and whatever was there before."""
    fresh, begun, whole, other = (new_session(name) for name in "abcd")
    target.append(begun, "a")
    target.append(whole, *ABC)
    target.append(other, "x")
    rows = [one for session in (fresh, begun, whole, other) for one in history(session, ABC)]
    source = write(Path("a.jsonl"), rows)
    target.put(source, on_conflict=policy, yes=True)
    sessions = (fresh, begun, whole, other)
    ids = [target.ids(session) for session in sessions]
    assert [target.texts(session) for session in sessions] == [ABC, ABC, ABC, ABC if policy == "replace" else ["x"]]
    if not journal:
        monkeypatch.setenv("XDG_STATE_HOME", str(Path("elsewhere").absolute()))
    again = target.put(source, on_conflict=policy, yes=True)
    assert (again.sent_rows, again.plan.send_rows, again.new, again.extended, again.replaced) == (0, 0, 0, 0, 0)
    assert again.plan.up_to_date == (4 if policy == "replace" else 3)
    assert again.exit_code == (3 if policy == "error" else 0)
    assert [target.ids(session) for session in sessions] == ids


def test_what_came_behind_is_seen_in_spite_of_the_notes(target: Target) -> None:
    """The notes of an earlier import count only while the last row is the one of then."""
    session = new_session()
    source = write(Path("a.jsonl"), history(session, ABC))
    target.put(source)
    target.append(session, "from the app")
    assert counts(target.put(source)) == {"up_to_date": 1, "ahead": 1}
    longer = write(Path("b.jsonl"), history(session, [*ABC, "d"]))
    assert counts(target.put(longer)) == {"conflict": 1}
    assert target.texts(session) == [*ABC, "from the app"]


def test_the_notes_carry_a_longer_file_on(target: Target) -> None:
    """A file that grew is extended from the notes alone, also after the notes were damaged."""
    session = new_session()
    target.put(write(Path("a.jsonl"), history(session, ABC)))
    assert counts(target.put(write(Path("a.jsonl"), history(session, [*ABC, "d"])))) == {"extend": 1}
    (note,) = Path("state/convex-msgs").iterdir()
    note.write_bytes(b"no database" * 100)
    assert counts(target.put(write(Path("a.jsonl"), history(session, [*ABC, "d", "e"])))) == {"extend": 1}
    assert target.texts(session) == [*ABC, "d", "e"]
    assert counts(target.put(write(Path("a.jsonl"), history(session, ["a", "x"])))) == {"conflict": 1}


def test_a_dry_run_writes_nothing(target: Target) -> None:
    """The plan is the same, nothing is sent, erased, saved or quarantined, and the code is 0."""
    fresh, other, bad = (new_session(name) for name in "abc")
    target.append(other, "x")
    source = write(Path("a.jsonl"), [*history(fresh, ABC), *history(other, ABC), row(bad, "a"), {"sessionId": bad}])
    report = target.put(source, dry_run=True, on_conflict="replace", quarantine="q.jsonl")
    assert counts(report) == {"new": 2, "replace": 1, "held": 1}
    assert (report.exit_code, report.sent_rows, report.new, report.replaced) == (0, 0, 0, 0)
    assert (report.quarantine, report.saved) == (None, None)
    assert target.texts(fresh) == []
    assert target.texts(other) == ["x"]
    assert sorted(path.name for path in Path().iterdir()) == ["a.jsonl", "state"]


def test_replacing_needs_a_yes_and_saves_first(target: Target) -> None:
    """Without `yes` nothing happens; with it the old rows, ids and times included, are in a file."""
    session = new_session()
    target.append(session, "x", "y")
    old = target.rows(session)
    source = write(Path("a.jsonl"), history(session, ABC))
    with pytest.raises(cm.UsageError, match="--yes"):
        target.put(source, on_conflict="replace")
    assert target.rows(session) == old
    report = target.put(source, on_conflict="replace", yes=True)
    assert (report.exit_code, report.replaced, report.sent_rows) == (0, 1, 3)
    assert target.texts(session) == ABC
    assert lines(report.saved) == old
    assert re.fullmatch(r"replaced(-.+)?\.jsonl", report.saved or "")
    target.append(session, "z")
    named = target.put(write(Path("b.jsonl"), history(session, ["q"])), on_conflict="replace", yes=True,
                       save_replaced="old.jsonl")  # fmt: skip
    assert [one["message"]["data"]["content"] for one in lines(named.saved)] == [*ABC, "z"]
    assert target.texts(session) == ["q"]


def test_nobody_is_asked_where_nothing_is_replaced(target: Target) -> None:
    """`replace` is a policy: without a conflict there is nothing to agree to."""
    session = new_session()
    source = write(Path("a.jsonl"), history(session, ABC))
    assert target.put(source, on_conflict="replace").exit_code == 0
    assert target.texts(session) == ABC


def test_a_session_with_a_bad_message_is_not_replaced(target: Target) -> None:
    """Half of a history is no replacement for another one: the session stays as it is."""
    session = new_session()
    target.append(session, "x")
    source = write(Path("a.jsonl"), [*history(session, ["a"]), row(session, "b", NOON + 1500.0, extra=float("nan"))])
    report = target.put(source, on_conflict="replace", yes=True)
    assert (counts(report), report.exit_code) == ({"conflict": 1, "held": 1}, 3)
    assert target.texts(session) == ["x"]


@pytest.mark.parametrize("mutation", [0, 1, 2])
@pytest.mark.parametrize("fault", ["reset-before", "reset-after"])
def test_replacing_that_is_cut_off_reaches_the_same_end(target: Target, mutation: int, fault: str) -> None:
    """Cut while erasing, between two sessions or while sending, then the same command: replaced, old rows saved."""
    one, two = new_session("a"), new_session("b")
    old = {session: [f"old {n}" for n in range(3)] for session in (one, two)}
    for session, texts in old.items():
        target.append(session, *texts)
    source = write(Path("a.jsonl"), [*history(one, ABC), *history(two, ABC)])
    keywords: dict[str, Any] = {"on_conflict": "replace", "yes": True, "save_replaced": "old.jsonl", "attempts": 1}
    with running_proxy(target.sandbox.url) as undisturbed:
        target.put(source, url=undisturbed.url, dry_run=True, **keywords)
        request = len(undisturbed.events())
    # then the rows of both are read to be saved, erased one after the other, and sent together
    with running_proxy(target.sandbox.url, Plan(((request + 3 + mutation, fault),))) as proxy:
        with pytest.raises(cm.Unreachable):
            target.put(source, url=proxy.url, **keywords)
        (met,) = [event for event in proxy.events() if event.fault]
        assert met.path == "/api/mutation"
    again = target.put(source, **keywords)
    assert again.exit_code == 0
    assert [target.texts(one), target.texts(two)] == [ABC, ABC]
    saved = [one["message"]["data"]["content"] for one in lines("old.jsonl")]
    assert saved == old[one] + old[two]
    assert target.put(source, **keywords).sent_rows == 0


def test_a_session_spread_over_files_and_formats(target: Target) -> None:
    """JSONL, zst, Parquet, zip and a folder, in any order: rows come together by time."""
    session = new_session()
    texts = [str(number) for number in range(10)]
    rows = [one | {"_id": f"row{number}"} for number, one in enumerate(history(session, texts))]
    write(Path("a.jsonl"), rows[4:6])
    for name, part in (("b.jsonl.zst", rows[0:2]), ("c.parquet", rows[8:]), ("d.zip", rows[2:4]), ("e", rows[6:8])):
        with cm.open(write(Path("part.jsonl"), part)) as opened:
            folder = {"format": "jsonl", "partition_by": "none"} if name == "e" else {}
            cm.export(opened, name, **folder)
    report = target.put("c.parquet", "a.jsonl", "e", "d.zip", "b.jsonl.zst")
    assert (report.exit_code, len(report.plan.sources)) == (0, 5)
    assert target.texts(session) == texts


def test_standard_input_is_a_source(target: Target, tmp_path: Path) -> None:
    """`-` reads JSONL; beside it files."""
    session = new_session()
    write(Path("a.jsonl"), history(session, ["a"]))
    piped = write(Path("b.jsonl"), history(session, ["b", "c"], NOON + 5000.0)).read_bytes()
    to = f"@{target.sandbox.env_file}"
    done = convex_msgs("import", "a.jsonl", "-", "--to", to, "--json", cwd=tmp_path, stdin=piped)
    assert done.code == 0, done.err
    assert json.loads(done.out)["plan"]["sources"] == ["a.jsonl", "stdin"]
    assert target.texts(session) == ABC


def test_rows_without_time_keep_the_order_of_the_file(target: Target) -> None:
    """Without times: line by line; with one time: line by line; between timed rows: behind their neighbour."""
    timeless, tied, mixed = (new_session(name) for name in "abc")
    texts = [str(number) for number in range(30)]
    rows = [row(timeless, text) for text in texts] + [row(tied, text, NOON) for text in texts]
    rows += [row(mixed, "2", NOON + 2.0), row(mixed, "3"), row(mixed, "4"), row(mixed, "1", NOON + 1.0)]
    report = target.put(write(Path("a.jsonl"), rows))
    assert not report.plan.has_times
    assert target.texts(timeless) == target.texts(tied) == texts
    assert target.texts(mixed) == ["1", "2", "3", "4"]


def test_ties_with_ids_go_by_id(target: Target) -> None:
    """Rows of one time stand as the deployment that they came from has them: by id."""
    session = new_session()
    rows = [row(session, str(number), NOON, f"id{number}") for number in range(9)]
    random.Random(5).shuffle(rows)
    target.put(write(Path("a.jsonl"), rows))
    assert target.texts(session) == [str(number) for number in range(9)]


def test_a_row_that_comes_twice_counts_once(target: Target) -> None:
    """Equal `_id` and equal content, in one file or two, in any notation."""
    session = new_session()
    rows = [one | {"_id": f"{session}{number}"} for number, one in enumerate(history(session, ABC))]
    one = write(Path("a.jsonl"), rows)
    two = write(Path("b.jsonl"), [json.dumps(one, indent=None, sort_keys=True).encode() for one in rows[::-1]])
    report = target.put(one, two, one)
    assert (report.plan.messages, report.sent_rows) == (3, 3)
    assert target.texts(session) == ABC


@pytest.mark.parametrize("change", [{"message": message("other")}, {"_creationTime": NOON + 9.0}])
def test_one_id_with_two_contents_is_refused(target: Target, change: dict[str, Any]) -> None:
    """Nothing is written, and both places are named."""
    session = new_session()
    rows = [one | {"_id": f"{session}{number}"} for number, one in enumerate(history(session, ABC))]
    write(Path("a.jsonl"), rows)
    write(Path("b.jsonl"), [rows[0], rows[1] | change])
    with pytest.raises(cm.UsageError, match=r"a\.jsonl:2 .*b\.jsonl:2"):
        target.put("a.jsonl", "b.jsonl")
    assert target.texts(session) == []


def test_selections(target: Target) -> None:
    """By id, glob, exclusion and times; whole sessions by activity."""
    prefix = new_session("p")
    rows = [one for name in ("a", "b", "c") for one in history(f"{prefix}{name}", ABC)]
    rows += history(f"{prefix}old", ABC, NOON - 1e9)
    source = write(Path("a.jsonl"), rows)

    def planned(**selection: Any) -> tuple[int, int]:
        plan = target.put(source, dry_run=True, **selection).plan
        return plan.sessions, plan.messages

    assert planned() == (4, 12)
    assert planned(sessions=[f"{prefix}a", f"{prefix}c"]) == (2, 6)
    assert planned(match=[f"{prefix}?"]) == (3, 9)
    assert planned(match=[f"{prefix}?"], exclude=["*b"]) == (2, 6)
    assert planned(after="2025-06-15T15:06:41Z") == (3, 6)
    assert planned(before="2025-06-15T15:06:41Z") == (4, 6)
    assert planned(active_after="2025-06-15T15:06:42Z") == (3, 9)
    assert planned(match=["nothing*"]) == (0, 0)
    assert planned(sessions=[f"{prefix}old"], after="2025-06-15T15:06:41Z") == (0, 0)


def test_an_unknown_session_is_named_with_the_nearest(target: Target) -> None:
    """Exit 2 and nothing written, though the file has others that were asked for."""
    prefix = new_session("cust")
    names = [f"{prefix}-{number}" for number in (4, 42, 421, 7)]
    source = write(Path("a.jsonl"), [one for name in names for one in history(name, ["a"])])
    with pytest.raises(cm.UsageError, match="no session") as caught:
        target.put(source, sessions=[names[0], f"{prefix}42"])
    assert all(name in caught.value.message for name in names[:3])
    assert target.texts(names[0]) == []


def test_a_selection_leaves_the_rest_for_later(target: Target) -> None:
    """One session now, the others with the next run."""
    one, two = new_session("a"), new_session("b")
    source = write(Path("a.jsonl"), [*history(one, ABC), *history(two, ABC)])
    assert target.put(source, sessions=[two]).sent_rows == 3
    assert target.texts(one) == []
    assert counts(target.put(source)) == {"new": 1, "up_to_date": 1}


OLD_FORMS = (
    ({"type": "human", "text": "flat"}, "flat-text"),
    ({"type": "ai", "content": "beside"}, "flat-fields"),
    ({"type": "AIMessageChunk", "data": {"content": "chunk", "tool_call_chunks": []}}, "chunk"),
    ({"type": "chat", "data": {"content": "free", "role": "narrator"}}, "role-type"),
)


def test_old_forms_are_rewritten_and_counted(target: Target) -> None:
    """Each comes in as `{type, data}`; the report counts by rewrite; the same file again sends nothing."""
    session = new_session()
    rows = [{"sessionId": session, "message": old} for old, _ in OLD_FORMS]
    source = write(Path("a.jsonl"), rows)
    report = target.put(source)
    assert (report.exit_code, report.plan.rewritten) == (0, {name: 1 for _, name in sorted(OLD_FORMS, key=_second)})
    assert target.texts(session) == ["flat", "beside", "chunk", "free"]
    assert [one["message"]["type"] for one in target.rows(session)] == ["human", "ai", "ai", "generic"]
    assert target.put(source).sent_rows == 0


def test_no_rewrite_sets_old_forms_aside(target: Target) -> None:
    """With rewrite=False each is refused, and says which rewrite would help."""
    sessions = [new_session() for _ in OLD_FORMS]
    rows = [{"sessionId": session, "message": old} for session, (old, _) in zip(sessions, OLD_FORMS, strict=True)]
    report = target.put(write(Path("a.jsonl"), rows), rewrite=False)
    assert (report.exit_code, report.bad_rows, report.sent_rows) == (3, 4, 0)
    assert [target.texts(session) for session in sessions] == [[]] * 4


def _second(pair: tuple[object, str]) -> str:
    return pair[1]


def test_old_rows_there_are_the_same_as_new_ones(target: Target) -> None:
    """A table that holds the old form already has the message: importing its own export changes nothing."""
    session = new_session()
    documents = [{"message": {"type": "human", "text": text}} for text in ABC]
    target.box.append(session, *documents)
    rows = [{"sessionId": session, **document} for document in documents]
    assert counts(target.put(write(Path("a.jsonl"), rows))) == {"up_to_date": 1}
    assert counts(target.put(write(Path("b.jsonl"), [*rows, row(session, "d")]))) == {"extend": 1}


def test_the_language_decides_what_a_free_role_is_called(target: Target) -> None:
    """`python` makes chat of generic."""
    session = new_session()
    source = write(Path("a.jsonl"), [{"sessionId": session, "message": message("x", "generic", role="r")}])
    assert target.put(source, language="python").plan.rewritten == {"role-type": 1}
    assert target.rows(session)[0]["message"]["type"] == "chat"


def test_the_level_is_asked_of_every_message(target: Target) -> None:
    """A message of level langchain fails at documented, and one that nothing loads fails at loadable."""
    wide, loose = new_session("a"), new_session("b")
    rows = [row(wide, "x"), {"sessionId": loose, "message": message("x", "tool")}]
    source = write(Path("a.jsonl"), rows)
    assert {level: target.put(source, level=level, dry_run=True).plan.bad_rows for level in LEVELS} == {
        "documented": 2,
        "langchain": 0,
        "loadable": 1,
    }


@pytest.mark.parametrize(("keyword", "value"), [("level", "seed"), ("language", "perl"), ("on_conflict", "merge")])
def test_unknown_words_are_refused_with_the_known(target: Target, keyword: str, value: str) -> None:
    """A level, language or policy that is none: exit 2 and a list."""
    with pytest.raises(cm.UsageError, match=value) as caught:
        target.put("a.jsonl", **{keyword: value})
    assert caught.value.hint.startswith("choices")


def test_a_file_is_no_target() -> None:
    """Messages are written into deployments."""
    write(Path("a.jsonl"), [])
    with cm.open("a.jsonl") as opened, pytest.raises(cm.UsageError, match="import writes into a deployment"):
        cm.import_("a.jsonl", opened)


def test_without_functions_it_says_how_to_get_them(tmp_path: Path, bare_sandbox: Sandbox) -> None:
    """Writing needs `convexMsgs`: exit 6 names `init`, and restore as what needs nothing."""
    write(Path("a.jsonl"), [row("s", "x")])
    done = convex_msgs("import", "a.jsonl", "--to", f"@{bare_sandbox.env_file}", "--yes", cwd=tmp_path)
    assert done.code == 6
    assert "convex-msgs init" in done.err
    assert "convex-msgs restore" in done.err


def test_the_deployments_own_schema_is_kept(tmp_path: Path) -> None:
    """If the deployment takes the four documented fields only, others are quarantined before anything is sent."""
    with running_sandbox(tmp_path, "--schema", "documented") as running:
        target = Target(running)
        good, bad = new_session("good"), new_session("bad")
        rows = [{"sessionId": good, "message": {"type": "human", "data": {"content": "x"}}}, row(bad, "y")]
        report = target.put(write(Path("a.jsonl"), rows))
        assert (report.plan.schema_level, report.exit_code, report.sent_rows) == ("documented", 3, 1)
        (line,) = lines(report.quarantine)
        assert [fault["rule"] for fault in line["faults"]] == ["target-schema"]
        assert line["faults"][0]["path"].startswith("$.message.data")
        assert target.texts(good) == ["x"]


def test_names_of_both_sides_may_differ(tmp_path: Path, target: Target) -> None:
    """Sources with LangChain's names into a table with its own, and from there, as Parquet, back."""
    session = new_session()
    flags = ("--table", "chats", "--index", "byThread", "--session-field", "thread")
    with running_sandbox(tmp_path, *flags) as running:
        other = Target(running, cm.Names("chats", "byThread", "thread"))
        source = write(Path("a.jsonl"), [one | {"userId": "u1"} for one in history(session, ABC)])
        report = other.put(source, names=cm.Names())
        assert report.sent_rows == 3
        assert {(one["thread"], one["userId"]) for one in other.rows(session)} == {(session, "u1")}
        assert other.put(source, names=cm.Names()).sent_rows == 0
        with other.connected() as there:
            cm.export(there, "b.parquet")
        assert target.put("b.parquet").sent_rows == 3
        assert target.texts(session) == ABC
        both = write(Path("c.jsonl"), [one | {"thread": "mine"} for one in history(new_session(), ABC)])
        refused = other.put(both, names=cm.Names())
        assert (refused.exit_code, refused.sent_rows) == (3, 0)


def test_production_asks(tmp_path: Path) -> None:
    """Writing into a prod deployment needs a yes: by flag, or by an answer; a dry run needs none."""
    with running_sandbox(tmp_path, "--type", "prod", "--name", "tall-forest-123") as running:
        target = Target(running)
        session = new_session()
        source = write(Path("a.jsonl"), history(session, ABC))
        with pytest.raises(cm.UsageError, match=r"tall-forest-123.*--yes"):
            target.put(source)
        done = convex_msgs("import", "a.jsonl", "--to", f"@{running.env_file}", cwd=tmp_path)
        assert (done.code, "needs --yes; nothing was written" in done.err) == (2, True)
        with pytest.raises(cm.UsageError, match="not confirmed; nothing was written"):
            target.put(source, decide=lambda plan: plan.send_rows != 3)
        assert target.put(source, dry_run=True).exit_code == 0
        assert target.texts(session) == []
        assert target.put(source, decide=lambda plan: plan.send_rows == 3).sent_rows == 3
        assert target.put(source).exit_code == 0  # nothing to write, nothing to ask


def test_comparing_reads_both_sides_again(target: Target) -> None:
    """Equal, ahead, held and different sessions are counted after the import."""
    equal, ahead, held, different = (new_session(name) for name in "abcd")
    target.append(ahead, *ABC, "d")
    target.append(different, "x")
    rows = [one for session in (equal, ahead, held, different) for one in history(session, ABC)]
    rows += [{"sessionId": held, "_creationTime": NOON + 9e6}]
    report = target.put(write(Path("a.jsonl"), rows), compare=True)
    assert report.compared is not None
    found = report.compared
    assert (found.equal, found.ahead, found.held, found.different) == (1, 1, 1, 1)
    assert target.put("a.jsonl", compare=True, dry_run=True).compared is None


def test_the_report_is_what_json_prints(target: Target, tmp_path: Path) -> None:
    """`--json`: the report object on stdout, exit code included, and nothing else there."""
    session = new_session()
    write(Path("a.jsonl"), history(session, ABC))
    done = convex_msgs("import", "a.jsonl", "--to", f"@{target.sandbox.env_file}", "--json", cwd=tmp_path)
    report = json.loads(done.out)
    assert (done.code, report["exit_code"], report["sent_rows"], report["new"]) == (0, 0, 3, 1)
    assert report["plan"]["send_rows"] == 3
    assert report["plan"]["bytes"] == report["sent_bytes"] > 100


def test_another_deployment_is_a_source(tmp_path: Path, target: Target, sandbox: Sandbox) -> None:
    """Some sessions of a deployment into another: the same messages in the same order."""
    with cm.connect(sandbox.url, key=sandbox.key) as origin:
        report = target.put(origin, sessions=["cust-88", "cust-17"], compare=True)
        assert report.compared is not None
        assert (report.exit_code, report.compared.equal) == (0, 2)
        assert target.put(origin, sessions=["cust-88"], after="2100-01-01").sent_rows == 0
        with pytest.raises(cm.UsageError, match="'cust-nobody'"):
            target.put(origin, sessions=["cust-nobody"])
    theirs = Target(sandbox).rows("cust-17")
    assert [one["message"] for one in target.rows("cust-17")] == [one["message"] for one in theirs]


TEXTS = st.lists(st.sampled_from(["a", "b", "", "ä\u2028", "long " * 30]), max_size=6)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    histories=st.lists(st.tuples(TEXTS, TEXTS, st.booleans()), min_size=1, max_size=4),
    policy=st.sampled_from(POLICIES),
    seed=st.integers(0, 999),
)
def test_any_histories_end_as_promised(
    target: Target, histories: list[tuple[list[str], list[str], bool]], policy: OnConflict, seed: int
) -> None:
    """Whatever both sides hold, and in whatever order rows come: what the policy says, and then nothing more."""
    expected: dict[str, list[str]] = {}
    conflicts = 0
    rows = []
    for number, (source, there, prefix) in enumerate(histories):
        session = new_session(f"h{number}")
        there = source[: len(there)] if prefix else there  # noqa: PLW2901
        if there:
            target.append(session, *there)
        rows += [one | {"_id": f"{session}{n}"} for n, one in enumerate(history(session, source))]
        shorter = min(len(source), len(there))
        parted = source[:shorter] != there[:shorter]
        conflicts += parted
        longer = source if len(source) > len(there) else there
        expected[session] = (source if policy == "replace" else there) if parted else longer
    random.Random(seed).shuffle(rows)
    write(Path("a.jsonl"), rows)
    report = target.put("a.jsonl", on_conflict=policy, yes=True)
    assert report.exit_code == (3 if conflicts and policy == "error" else 0)
    assert {session: target.texts(session) for session in expected} == expected
    again = target.put("a.jsonl", on_conflict=policy, yes=True)
    assert again.sent_rows == 0
    assert {session: target.texts(session) for session in expected} == expected
