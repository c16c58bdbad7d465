"""``diff``: sessions on one side only, extended, reordered, changed; by rows and by history; live, files, archives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sync_tool as cm
from running import ROOT, Sandbox, convex_msgs
from sync_tool.commands.diff.compare import merge_join
from sync_tool.encoding.canonical import canonical, dumps
from sync_tool.errors import UsageError
from sync_tool.rows.digests import DigestSum, HistoryDigest, content_bytes, message_digest, row_digest
from syncing import message, sync
from values import DOCUMENTS

SAMPLE = ROOT / "sample_data" / "messages.jsonl"

Line = tuple[str, str]


def write(path: Path, *lines: Line, ids: bool = True, shift: float = 0.0) -> Path:
    """Write rows (session and text) as a file; times rise by the order of the lines."""
    with path.open("w") as file:
        for number, (session, text) in enumerate(lines):
            system = {"_id": f"id{session}{text}", "_creationTime": 1000.5 + number + shift} if ids else {}
            file.write(json.dumps({**system, "sessionId": session, "message": message(text)}) + "\n")
    return path


def compared(here: Path, there: Path, **keywords: Any) -> dict[str, str]:
    """Return the status of every session that is not the same."""
    with cm.open(here) as left, cm.open(there) as right:
        return {found.session: found.status for found in cm.diff(left, right, **keywords).sessions}


HERE = [("a", "1"), ("a", "2"), ("b", "1"), ("c", "1"), ("c", "2"), ("d", "1"), ("d", "2"), ("e", "1")]
THERE = [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2"), ("c", "1"), ("c", "X"), ("d", "2"), ("d", "1"), ("f", "1")]
STATUSES = {"b": "extended", "c": "changed", "d": "reordered", "e": "only_here", "f": "only_there"}


def test_every_kind_of_difference_is_told_apart(tmp_path: Path) -> None:
    """Order and content alone: the five kinds, with counts and the first message that differs."""
    here, there = write(tmp_path / "a.jsonl", *HERE), write(tmp_path / "b.jsonl", *THERE, shift=7.0)
    assert compared(here, there, by="history") == STATUSES
    with cm.open(here) as left, cm.open(there) as right:
        report = cm.diff(left, right, by="history")
    assert (report.same, report.rows_here, report.rows_there, report.exit_code) == (1, 8, 9, 4)
    found = {session.session: session for session in report.sessions}
    assert (found["b"].at, found["b"].longer, found["b"].messages[0].there) == (2, "there", "human: 2")
    assert (found["c"].at, found["c"].messages[0].here, found["c"].messages[0].there) == (2, "human: 2", "human: X")
    assert found["d"].at == 1


def test_histories_are_compared_in_todays_form(tmp_path: Path) -> None:
    """By history an old form is the same as what an import makes of it, and other words in it still are others."""
    old = [{"type": "human", "text": "hi"}, {"type": "chat", "data": {"content": "noted", "role": "critic"}}]
    today = [
        {"type": "human", "data": {"content": "hi"}},
        {"type": "generic", "data": {"content": "noted", "role": "critic"}},
    ]
    for name, messages in (("old", old), ("new", today), ("other", [today[0], old[0]])):
        lines = (json.dumps({"sessionId": "a", "message": one}) + "\n" for one in messages)
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    opened = {name: cm.open(tmp_path / f"{name}.jsonl") for name in ("old", "new", "other")}
    assert cm.diff(opened["old"], opened["new"]).exit_code == 0
    other = cm.diff(opened["old"], opened["other"])
    assert (other.changed, other.sessions[0].at) == (1, 2)


def test_times_count_between_copies_of_one_origin(tmp_path: Path) -> None:
    """The same history with other times is the same by history, and not by rows."""
    here, there = write(tmp_path / "a.jsonl", *HERE), write(tmp_path / "b.jsonl", *HERE, shift=7.0)
    assert compared(here, there, by="history") == {}
    assert set(compared(here, there, by="rows")) == set("abcde")
    assert set(compared(here, there)) == set("abcde")  # the ids say that they are copies
    bare = write(tmp_path / "c.jsonl", *HERE, ids=False)
    assert compared(here, bare) == {}


def test_by_rows_each_message_is_found(tmp_path: Path) -> None:
    """A message that is missing in the middle makes one difference, not one for each that follows."""
    lines = [("s", str(number)) for number in range(20)]
    here = write(tmp_path / "a.jsonl", *lines)
    there = tmp_path / "b.jsonl"
    kept = [line for line in here.read_text().splitlines() if '"ids7"' not in line]
    there.write_text("\n".join(kept).replace('"content": "12"', '"content": "edited"') + "\n")
    with cm.open(here) as left, cm.open(there) as right:
        (session,) = cm.diff(left, right, by="rows").sessions
    assert [(found.status, found.n, found.here, found.there) for found in session.messages] == [
        ("only_here", 8, "human: 7", None),
        ("changed", 13, "human: 12", "human: edited"),
    ]


def test_only_what_is_asked_for_counts(tmp_path: Path) -> None:
    """--only lists and judges that kind alone; the lines say where and by how much."""
    write(tmp_path / "a.jsonl", *HERE)
    write(tmp_path / "b.jsonl", *THERE, shift=7.0)
    done = convex_msgs("diff", "a.jsonl", "b.jsonl", "--by", "history", "--messages", cwd=tmp_path)
    assert (done.code, done.out.decode().splitlines()) == (
        4,
        [
            "b  goes on there: 1 message more behind message 1",
            "  + 2  human: 2",
            "c  differs at message 2 of 2",
            "  - 2  human: 2",
            "  + 2  human: X",
            "d  the same 2 messages in another order, from message 1 on",
            "  - 1  human: 1",
            "  + 1  human: 2",
            "  - 2  human: 2",
            "  + 2  human: 1",
            "e  only in A: 1 message",
            "f  only in B: 1 message",
            "1 session equal · 1 only here · 1 only there · 1 extended · 1 changed · 1 reordered [exit 4]",
        ],
    )
    done = convex_msgs("diff", "a.jsonl", "b.jsonl", "--by", "history", "--only", "changed", cwd=tmp_path)
    assert done.out.decode().splitlines()[0] == "c  differs at message 2 of 2"
    done = convex_msgs(
        "diff", "a.jsonl", "b.jsonl", "--by", "history", "-s", "b", "--only", "changed", "-q", cwd=tmp_path
    )
    assert (done.code, done.out) == (0, b"")
    with pytest.raises(UsageError, match="is not a choice"), cm.open(SAMPLE) as sample:
        cm.diff(sample, sample, only=["nothing"])  # type: ignore[list-item]


def test_an_archive_a_file_and_the_deployment_are_the_same(sandbox: Sandbox, tmp_path: Path) -> None:
    """Archive against live, live against file, archive against itself: exit 0, in either order."""
    sync(sandbox, tmp_path / "chat")
    live = f"@{sandbox.env_file}"
    for here, there in (("chat", live), (live, str(SAMPLE)), (str(SAMPLE), "chat"), ("chat", "chat")):
        done = convex_msgs("diff", here, there, "--json", cwd=tmp_path)
        report = json.loads(done.out)
        assert (done.code, report["same"], report["sessions"], report["rows_there"]) == (0, 48, [], 2_407)
        assert report["by"] == "rows"


def test_hostile_ids_are_harmless(tmp_path: Path) -> None:
    """Control characters of ids and texts are escaped in the lines."""
    write(tmp_path / "a.jsonl", ("x\x1b[2J", "1"), ("y", "bell\x07"))
    write(tmp_path / "b.jsonl", ("y", "other"))
    done = convex_msgs("diff", "a.jsonl", "b.jsonl", "--messages", "--by", "history", cwd=tmp_path)
    assert done.code == 4
    assert b"\x1b" not in done.out
    assert b"\x07" not in done.out


@given(st.lists(DOCUMENTS, max_size=5))
def test_history_digests_know_order_and_content_alone(documents: list[dict[str, Any]]) -> None:
    """The digest of documents is that of their canonical bytes without ids and times, and order counts."""
    one, two = HistoryDigest(), HistoryDigest()
    for number, document in enumerate(documents):
        bare = {name: value for name, value in document.items() if name not in ("_id", "_creationTime")}
        one.add(message_digest(dumps(bare)))
        two.add(message_digest(content_bytes(dumps({**bare, "_id": str(number), "_creationTime": float(number)}))))
    assert one.hex == two.hex
    contents = [content_bytes(dumps(document)) for document in documents]
    back = HistoryDigest()
    for content in reversed(contents):
        back.add(message_digest(content))
    assert (back.hex == one.hex) == (contents == contents[::-1])


@given(st.lists(st.binary(max_size=8), max_size=8))
def test_sums_of_digests_count_repeats(rows: list[bytes]) -> None:
    """Added in any order, at once, and taken away again; and a row that is there twice is not none."""
    there, back = DigestSum(), DigestSum()
    for data in rows:
        there.add(row_digest(data))
    for data in reversed(rows):
        back.add(row_digest(data))
    assert there == back
    back = DigestSum()
    back.add_all([row_digest(data) for data in rows])
    assert there == back
    if rows:
        twice = DigestSum()
        twice.add(row_digest(rows[0]))
        twice.add(row_digest(rows[0]))
        assert twice.total != 0
        assert back - twice + twice == back
        assert there != back - twice


@given(DOCUMENTS, st.sampled_from([None, 1, 2]))
def test_any_spelling_becomes_canonical(document: dict[str, Any], indent: int | None) -> None:
    """Rows as a deployment or a program spells them come to the same bytes as the slow way."""
    exact = dumps(document)
    assert canonical(exact) == exact
    spelled = json.dumps(json.loads(exact), indent=indent).encode()
    assert canonical(spelled) == exact


def test_a_session_that_neither_side_holds_is_refused(tmp_path: Path) -> None:
    """A slip in an id is not answered with "0 different"; a session of one side only is a difference as before."""
    here, there = write(tmp_path / "a.jsonl", ("cust-42", "x")), write(tmp_path / "b.jsonl", ("cust-4", "x"))
    with pytest.raises(UsageError, match="'cust42'"):
        compared(here, there, sessions=["cust42"])
    assert compared(here, there, sessions=["cust-42"]) == {"cust-42": "only_here"}
    assert compared(here, there, sessions=["cust-42"], before="1970-01-01") == {}


@given(here=st.sets(st.integers(0, 9)), there=st.sets(st.integers(0, 9)))
def test_a_merge_join_pairs_equal_keys(here: set[int], there: set[int]) -> None:
    """Every key of either side comes once, in order, beside its equal if there is one."""
    found = list(
        merge_join([(key,) for key in sorted(here)], [(key,) for key in sorted(there)], key=lambda item: item[0])
    )
    expected = [((key,) if key in here else None, (key,) if key in there else None) for key in sorted(here | there)]
    assert found == expected
