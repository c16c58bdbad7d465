"""Bad messages: their sessions stop, they are quarantined in a file, and repaired they take their old places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sync_tool as cm
from importing import Target, history, lines, message, new_session, row, write
from running import convex_msgs, running_sandbox

pytestmark = pytest.mark.usefixtures("own_folder")

BAD: dict[str, Any] = {"type": "human", "data": {"additional_kwargs": {}}}
"""A message without content."""
ABCDE = ["a", "b", "c", "d", "e"]


def stopped(session: str, *bad: int, **extra: Any) -> list[dict[str, Any]]:
    """Return five rows of a session of which some are bad."""
    rows = [one | {"_id": f"{session}{number}"} | extra for number, one in enumerate(history(session, ABCDE))]
    for number in bad:
        rows[number]["message"] = BAD
    return rows


def repair(path: str | Path | None, to: str, *, of: str = "", name: str = "fixed.jsonl") -> Path:
    """Write a quarantine file again with content in its bad messages (of one session)."""
    found = lines(path)
    for line in found:
        if "held" not in line and of in line.get("session", ""):
            line["record"]["message"]["data"]["content"] = to
    return write(Path(name), found)


def test_a_bad_message_stops_its_session_and_no_other(target: Target) -> None:
    """Messages before it go in, later ones wait, other sessions are whole; exit 3 and a file of the others."""
    bad, good = new_session("bad"), new_session("good")
    rows = [*stopped(bad, 2, 4), *history(good, ABCDE)]
    report = target.put(write(Path("a.jsonl"), rows))
    assert (target.texts(bad), target.texts(good)) == (["a", "b"], ABCDE)
    assert (report.exit_code, report.bad_rows, report.held_rows, report.quarantine) == (3, 2, 1, "quarantine.jsonl")
    assert (report.plan.bad_rows, report.plan.bad_sessions, report.plan.held, report.plan.messages) == (2, 1, 1, 8)
    first, held, last = lines("quarantine.jsonl")
    assert list(first) == ["file", "line", "of", "session", "faults", "record"]
    assert (first["file"], first["line"], first["session"], first["record"]) == ("a.jsonl", 3, bad, rows[2])
    (fault,) = first["faults"]
    assert fault == {
        "rule": "content-missing",
        "path": "$.message.data.content",
        "says": fault["says"],
        "found": fault["found"],
    }
    assert (held["line"], held["held"], "faults" in held, held["record"]) == (4, True, False, rows[3])
    assert (last["line"], last["record"]) == (5, rows[4])
    assert Path("quarantine.jsonl").stat().st_mode & 0o777 == 0o600


def test_repaired_messages_take_their_old_places(target: Target) -> None:
    """`--fixes` extends the session: order, count and everything else as if it had never been bad."""
    session = new_session()
    source = write(Path("a.jsonl"), stopped(session, 2, 4))
    fixes = repair(target.put(source).quarantine, "repaired")
    report = target.put(source, fixes=[fixes])
    assert (report.exit_code, report.extended, report.sent_rows, report.quarantine) == (0, 1, 3, None)
    assert target.texts(session) == ["a", "b", "repaired", "d", "repaired"]
    again = target.put(source, fixes=[fixes])
    assert (again.exit_code, again.sent_rows) == (0, 0)


def test_without_fixes_again_nothing_changes(target: Target) -> None:
    """After the repair, the file alone stops at the bad message again: the target has more, nothing is harmed."""
    session = new_session()
    source = write(Path("a.jsonl"), stopped(session, 2))
    target.put(source, fixes=[repair(target.put(source).quarantine, "repaired")])
    report = target.put(source)
    assert (report.sent_rows, report.plan.ahead, report.plan.held, report.exit_code) == (0, 1, 1, 3)
    assert target.texts(session) == ["a", "b", "repaired", "d", "e"]


def test_one_of_two_repaired_goes_up_to_the_next(target: Target) -> None:
    """Files of fixes add up: the second repairs what the first left."""
    session = new_session()
    source = write(Path("a.jsonl"), stopped(session, 1, 3))
    found = lines(target.put(source).quarantine)
    found[0]["record"]["message"] = message("B")
    one = write(Path("one.jsonl"), found)
    report = target.put(source, fixes=[one])
    assert (report.quarantine, target.texts(session)) == ("quarantine-2.jsonl", ["a", "B", "c"])
    two = repair(report.quarantine, "D", name="two.jsonl")
    assert target.put(source, fixes=[one, two]).exit_code == 0
    assert target.texts(session) == ["a", "B", "c", "D", "e"]


def test_record_null_leaves_the_message_out(target: Target) -> None:
    """The session goes on as if the line were not there."""
    session = new_session()
    source = write(Path("a.jsonl"), stopped(session, 2))
    found = lines(target.put(source).quarantine)
    found[0]["record"] = None
    report = target.put(source, fixes=[write(Path("f.jsonl"), found)])
    assert (report.exit_code, target.texts(session)) == (0, ["a", "b", "d", "e"])


def test_a_changed_file_is_refused(target: Target) -> None:
    """A repair is of one record: where another one stands on its line now, nothing is written."""
    session = new_session()
    rows = stopped(session, 2)
    fixes = repair(target.put(write(Path("a.jsonl"), rows)).quarantine, "repaired")
    write(Path("a.jsonl"), rows[1:])
    said = r"fixed\.jsonl:1 repairs another record than the one at a\.jsonl:3: that file has changed"
    with pytest.raises(cm.UsageError, match=said):
        target.put("a.jsonl", fixes=[fixes])
    assert target.texts(session) == ["a", "b"]


def test_a_repair_without_its_place_is_refused(target: Target) -> None:
    """Fixes of a file that is not imported, or is called otherwise, are a mistake."""
    session = new_session()
    fixes = repair(target.put(write(Path("a.jsonl"), stopped(session, 2))).quarantine, "repaired")
    write(Path("b.jsonl"), history(new_session(), ["x"]))
    with pytest.raises(cm.UsageError, match=r"fixed\.jsonl:1 .*a\.jsonl:3") as caught:
        target.put("b.jsonl", fixes=[fixes])
    assert "by the same names" in caught.value.hint


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b'{"file": "a.jsonl", "line": "1", "of": ""}', b'{"line": 1, "of": "", "record": {}}', b"\xff"],
)
def test_what_is_no_quarantine_file_is_refused(target: Target, content: bytes) -> None:
    """Exit 2 with file and line."""
    write(Path("a.jsonl"), [])
    write(Path("f.jsonl"), [content])
    with pytest.raises(cm.UsageError, match=r"f\.jsonl:1"):
        target.put("a.jsonl", fixes=["f.jsonl"])
    with pytest.raises(cm.UsageError, match=r"nowhere\.jsonl"):
        target.put("a.jsonl", fixes=["nowhere.jsonl"])


def test_unedited_fixes_set_the_same_aside_again(target: Target) -> None:
    """Nothing is repaired, nothing is sent, and no second file with the same lines appears."""
    session = new_session()
    source = write(Path("a.jsonl"), stopped(session, 2))
    quarantine = target.put(source).quarantine
    before = Path(str(quarantine)).read_bytes()
    again = target.put(source, fixes=[str(quarantine)])
    assert (again.exit_code, again.sent_rows, again.bad_rows, again.quarantine) == (3, 0, 1, quarantine)
    assert Path(str(quarantine)).read_bytes() == before
    assert [path.name for path in Path().glob("quarantine*")] == ["quarantine.jsonl"]


def test_a_bad_repair_is_set_aside_again_with_its_old_fingerprint(target: Target) -> None:
    """The next quarantine file says what is wrong now, and its lines still fit the file that is imported."""
    session = new_session()
    source = write(Path("a.jsonl"), stopped(session, 2))
    found = lines(target.put(source).quarantine)
    found[0]["record"]["message"] = {"type": 5, "data": {"content": "x"}}
    report = target.put(source, fixes=[write(Path("f.jsonl"), found)])
    (again, *_) = lines(report.quarantine)
    assert (report.quarantine, again["of"], again["line"]) == ("quarantine-2.jsonl", found[0]["of"], 3)
    assert again["faults"] != found[0]["faults"]
    again["record"]["message"] = message("at last")
    assert target.put(source, fixes=[write(Path("g.jsonl"), [again])]).exit_code == 0
    assert target.texts(session) == ["a", "b", "at last", "d", "e"]


def test_names_of_quarantine_files(target: Target) -> None:
    """The next free name by default; a name that was asked for is not written over, but may hold the same already."""
    rows = stopped(new_session(), 2)
    source = write(Path("a.jsonl"), rows)
    Path("quarantine.jsonl").write_text("mine")
    Path("quarantine-2.jsonl").mkdir()
    assert target.put(source).quarantine == "quarantine-3.jsonl"
    assert Path("quarantine.jsonl").read_text() == "mine"
    assert target.put(source, quarantine="q.jsonl").quarantine == "q.jsonl"
    assert target.put(source, quarantine="q.jsonl").quarantine == "q.jsonl"  # a cron job's second run
    fresh = new_session()
    other = write(Path("b.jsonl"), [*stopped(new_session(), 1), row(fresh, "x")])
    with pytest.raises(cm.OutputError, match=r"q\.jsonl"):
        target.put(other, quarantine="q.jsonl")
    assert target.texts(fresh) == []
    assert target.put(write(Path("c.jsonl"), [row(fresh, "x")]), quarantine="q.jsonl").exit_code == 0
    with pytest.raises(cm.OutputError):
        target.put(other, quarantine="quarantine-2.jsonl")


def test_skip_bad_goes_on_without_them(target: Target) -> None:
    """The rest of the session follows, the bad ones are in the file alone, and the code is 3."""
    session = new_session()
    source = write(Path("a.jsonl"), stopped(session, 0, 2))
    report = target.put(source, skip_bad=True)
    assert (report.exit_code, report.bad_rows, report.held_rows, report.plan.held) == (3, 2, 0, 0)
    assert target.texts(session) == ["b", "d", "e"]
    assert [line["line"] for line in lines(report.quarantine)] == [1, 3]
    assert target.put(source, skip_bad=True).sent_rows == 0


def test_a_session_that_begins_with_a_bad_message_waits_whole(target: Target) -> None:
    """Nothing of it is written; the plan says so."""
    session = new_session()
    report = target.put(write(Path("a.jsonl"), stopped(session, 0)))
    assert (report.sent_rows, report.bad_rows, report.held_rows) == (0, 1, 4)
    assert (report.plan.sessions, report.plan.new, report.plan.held) == (1, 0, 1)


def test_a_bad_message_stops_where_it_stands_in_time(target: Target) -> None:
    """Rows out of order: what is later waits, though it stands before in the file."""
    session = new_session()
    rows = stopped(session, 2)
    report = target.put(write(Path("a.jsonl"), [rows[4], rows[0], rows[2], rows[3], rows[1]]))
    assert target.texts(session) == ["a", "b"]
    assert [line["line"] for line in lines(report.quarantine)] == [3, 4, 1]


@pytest.mark.parametrize("time", [-5.0, 0.0, 2.0**53, 10**400, "soon", None])
def test_a_time_that_is_none_stops_where_it_stands(target: Target, time: Any) -> None:
    """A record with an impossible time is bad, stays in its place in the file, and is quarantined like any other."""
    session = new_session()
    rows = history(session, ABCDE)
    rows[2]["_creationTime"] = time
    report = target.put(write(Path("a.jsonl"), rows))
    assert (report.exit_code, report.bad_rows, report.held_rows) == (3, 1, 2)
    assert target.texts(session) == ["a", "b"]
    assert lines(report.quarantine)[0]["faults"][0]["rule"] == ("number-range" if time == 10**400 else "system-value")


def test_a_line_between_two_of_one_session_is_of_it(target: Target) -> None:
    """A line that nobody can read stops the session around it; `raw` shows it, and a record repairs it."""
    session = new_session()
    rows = [row(session, text) for text in ABCDE]
    source = write(Path("a.jsonl"), [*rows[:2], b"\x00garbage\xff", *rows[3:]])
    report = target.put(source)
    assert (report.bad_rows, report.held_rows, target.texts(session)) == (1, 2, ["a", "b"])
    first, *held = lines(report.quarantine)
    assert "record" not in first
    assert first["raw"] == "\x00garbage\\xff"
    fixes = write(Path("f.jsonl"), [first | {"record": row(session, "c")}, *held])
    assert target.put(source, fixes=[fixes]).exit_code == 0
    assert target.texts(session) == ABCDE


def test_the_session_of_a_torn_record_is_the_outermost(target: Target) -> None:
    """A torn line tells its session by its own field, not by one of the same name inside the message."""
    torn, inner = new_session("torn"), new_session("inner")
    start = json.dumps({"sessionId": torn, "message": {"type": "human", "data": {"sessionId": inner, "content": "x"}}})
    source = write(Path("a.jsonl"), [row(torn, "a"), start[:-3].encode(), row(inner, "b"), row(torn, "c")])
    report = target.put(source)
    assert (target.texts(torn), target.texts(inner)) == (["a"], ["b"])
    assert [line["session"] for line in lines(report.quarantine)] == [torn, torn]


def test_what_is_left_out_by_activity_is_not_set_aside(target: Target) -> None:
    """Bad messages of sessions that were not asked for are nobody's trouble."""
    old, new = new_session("old"), new_session("new")
    rows = [row(old, "x", 1000.0), {"sessionId": old, "_creationTime": 2000.0}, *history(new, ABCDE)]
    report = target.put(write(Path("a.jsonl"), rows), active_after="2025-06-01")
    assert (report.exit_code, report.bad_rows, report.plan.bad_rows, report.sent_rows) == (0, 0, 0, 5)
    assert target.put("a.jsonl", sessions=[new]).exit_code == 0


def test_a_file_given_twice_is_repaired_twice(target: Target) -> None:
    """The repair holds for each reading of its line: rows that come twice still count once."""
    session = new_session()
    source = write(Path("a.jsonl"), stopped(session, 2))
    fixes = repair(target.put(source).quarantine, "c")
    assert target.put(source, source, fixes=[fixes]).exit_code == 0
    assert target.texts(session) == ABCDE


@pytest.mark.parametrize("other_order", [False, True])
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("removed", [False, True])
def test_a_bad_row_of_two_files_is_repaired_once(
    target: Target, *, other_order: bool, swapped: bool, removed: bool
) -> None:
    """Two files hold the same bad row, also with its keys in another order: one repair is enough for both."""
    session = new_session()
    rows = stopped(session, 2)
    copies = [dict(reversed(one.items())) for one in rows] if other_order else rows
    sources = [write(Path("a.jsonl"), rows), write(Path("b.jsonl"), copies)]
    first = target.put(*sources)
    assert (first.bad_rows, first.held_rows, first.exit_code) == (1, 2, 3)
    assert [fault.records for fault in first.plan.faults] == [1]
    fixes = repair(first.quarantine, "repaired")
    if removed:
        found = lines(fixes)
        found[0]["record"] = None
        write(fixes, found)
    report = target.put(*(sources[::-1] if swapped else sources), fixes=[fixes])
    assert (report.exit_code, report.bad_rows, report.plan.faults) == (0, 0, ())
    assert target.texts(session) == (["a", "b", "d", "e"] if removed else ["a", "b", "repaired", "d", "e"])


def test_two_repairs_of_one_row_must_agree(target: Target) -> None:
    """The same bad row is repaired in two files, each time otherwise: refused, and both places are named."""
    session = new_session()
    fixes = []
    for name in ("a", "b"):
        source = write(Path(f"{name}.jsonl"), stopped(session, 2))
        report = target.put(source, quarantine=f"{name}-bad.jsonl")
        fixes.append(repair(report.quarantine, f"repaired {name}", name=f"{name}-fixed.jsonl"))
    with pytest.raises(cm.UsageError) as caught:
        target.put(Path("a.jsonl"), Path("b.jsonl"), fixes=fixes)
    assert "a.jsonl:3" in caught.value.message
    assert "b.jsonl:3" in caught.value.message


def test_repairs_with_renamed_sessions_and_fields(tmp_path: Path) -> None:
    """A quarantined message has its source's names, also if the target names session and field otherwise."""
    flags = ("--table", "chats", "--index", "byThread", "--session-field", "thread")
    with running_sandbox(tmp_path, *flags) as running:
        target = Target(running, cm.Names("chats", "byThread", "thread"))
        session = new_session()
        source = write(Path("a.jsonl"), stopped(session, 2))
        keywords: dict[str, Any] = {"names": cm.Names(), "rename": [f"{session}=new"]}
        report = target.put(source, **keywords)
        assert [line["record"]["sessionId"] for line in lines(report.quarantine)] == [session] * 3
        assert all("thread" not in line["record"] for line in lines(report.quarantine))
        fixes = repair(report.quarantine, "c")
        assert target.put(source, fixes=[fixes], **keywords).exit_code == 0
        assert target.texts("new") == ABCDE


def test_other_formats_are_repaired_by_row(target: Target) -> None:
    """In Parquet and zip a line is the row; repairs fit in the same way."""
    for name in ("a.parquet", "a.zip"):
        session = new_session()
        with cm.open(write(Path("a.jsonl"), stopped(session, 2))) as opened:
            cm.export(opened, name)
        report = target.put(name)
        assert [line["line"] for line in lines(report.quarantine)] == [3, 4, 5]
        assert target.put(name, fixes=[repair(report.quarantine, "c")]).exit_code == 0
        assert target.texts(session) == ABCDE
        Path(str(report.quarantine)).unlink()


def test_the_command_line_says_what_to_do(target: Target, tmp_path: Path) -> None:
    """File, numbers and the next command on stderr, exit 3; `-q` says one line."""
    session = new_session()
    write(Path("a.jsonl"), stopped(session, 2))
    to = ("--to", f"@{target.sandbox.env_file}")
    done = convex_msgs("import", "a.jsonl", *to, cwd=tmp_path)
    assert done.code == 3
    assert (
        "bad    1 message in 1 session refused (content-missing 1); that session stops before the bad message"
        in done.err
    )
    assert "1 bad message, and 2 messages that wait for it -> quarantine.jsonl" in done.err
    assert done.err.endswith("the same command with --fixes quarantine.jsonl [exit 3]\n")
    repair("quarantine.jsonl", "c")
    done = convex_msgs("import", "a.jsonl", *to, "--fixes", "fixed.jsonl", cwd=tmp_path)
    assert (done.code, "1 extended; 3 messages written" in done.err) == (0, True)
    assert target.texts(session) == ABCDE
    quiet = convex_msgs("import", "a.jsonl", *to, "-q", cwd=tmp_path)
    assert quiet.code == 3
    assert quiet.err == "1 bad message, and 2 messages that wait for it -> quarantine.jsonl [exit 3]\n"
