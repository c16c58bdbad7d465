"""Selections read from a deployment through each reader: always exactly what the sample data holds."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sync_tool as cm
from running import ROOT, Sandbox, deployment_of, running_sandbox
from sync_tool.deployment import reading
from sync_tool.deployment.ranges import KeyRange, TimeRange
from sync_tool.deployment.system import SystemReader
from sync_tool.encoding.canonical import dumps
from sync_tool.errors import FunctionFailed, UsageError

SAMPLE = ROOT / "sample_data" / "messages.jsonl"
ROWS = list(cm.open(SAMPLE).messages())
SESSIONS = list(dict.fromkeys(row.session for row in ROWS))
TIMES = sorted(row.time for row in ROWS)


@pytest.fixture(params=["functions", "system", "functions, cut", "system, cut", "file"])
def history(request: pytest.FixtureRequest, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[cm.History]:
    """The same messages five ways: through each reader, in one piece and cut into many, and from a file."""
    via, _, cut = request.param.partition(", ")
    if via == "file":
        yield cm.open(SAMPLE)
        return
    if cut:
        monkeypatch.setattr(reading, "_ROWS_A_CHUNK", 40)
    with cm.connect(sandbox.url, key=sandbox.key, via=via) as connected:
        yield connected


def ids(rows: Any) -> list[str]:
    """Return the ids of rows in their order."""
    return [row.id for row in rows]


def test_everything_is_read_in_session_order(history: cm.History) -> None:
    """All rows, byte for byte, in the order of the index."""
    assert [row.raw for row in history.messages()] == [row.raw for row in ROWS]


def test_rows_know_their_place(history: cm.History) -> None:
    """n counts within the session; type and text are those of the message."""
    found = list(history.messages(session="cust-42"))
    assert [row.n for row in found] == list(range(1, 413))
    assert (found[0].type, found[0].text) == ("human", "Hi! I'm Jim.")


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sessions=st.lists(st.sampled_from([session for session in SESSIONS if isinstance(session, str)]), max_size=3),
    window=st.lists(st.sampled_from(TIMES) | st.floats(TIMES[0], TIMES[-1]), min_size=2, max_size=2, unique=True),
    use_after=st.booleans(),
    use_before=st.booleans(),
    match=st.sampled_from([(), ("cust-*",), ("*1*", "team*"), ("cust-4?",), ("[ct]*",), ("",)]),
    exclude=st.sampled_from([(), ("*-42",), ("langchain*", "c*")]),
)
def test_any_selection_is_what_it_says(
    history: cm.History,
    sessions: list[str],
    window: list[float],
    use_after: bool,
    use_before: bool,
    match: tuple[str, ...],
    exclude: tuple[str, ...],
) -> None:
    """Sessions, patterns, exclusions and time windows, in any combination, give exactly the rows they describe."""
    after = min(window) if use_after else None
    before = max(window) if use_before else None
    if sessions:
        match = ()
    expected = [
        row.id
        for row in ROWS
        if (not sessions or row.session in sessions)
        and (not match or (isinstance(row.session, str) and any(fnmatchcase(row.session, glob) for glob in match)))
        and not (isinstance(row.session, str) and any(fnmatchcase(row.session, glob) for glob in exclude))
        and (after is None or row.time >= after)
        and (before is None or row.time < before)
    ]
    chosen = history.messages(sessions=sessions, match=match, exclude=exclude, after=after, before=before)
    assert ids(chosen) == expected


def test_active_after_takes_whole_sessions(history: cm.History) -> None:
    """A session with one message late enough comes with all its messages, any other not at all."""
    since = TIMES[-200]
    active = {row.session for row in ROWS if row.time >= since}
    assert ids(history.messages(active_after=since)) == [row.id for row in ROWS if row.session in active]


def test_sessions_are_listed_with_first_and_last(history: cm.History) -> None:
    """Every session once, in order, with the times of its first and last message."""
    listed = history.sessions()
    assert [info.session for info in listed] == SESSIONS
    for info in listed:
        own = [row.time for row in ROWS if row.session == info.session]
        assert (info.first, info.last) == (own[0], own[-1])


def test_counts_are_counts(history: cm.History) -> None:
    """--count gives each session's number of messages."""
    assert sum(info.count or 0 for info in history.sessions(count=True)) == len(ROWS)
    (jim,) = history.sessions(sessions=["cust-42"], count=True)
    assert jim.count == 412


def test_sessions_can_be_selected(history: cm.History) -> None:
    """Listing takes the same selection as reading."""
    assert [info.session for info in history.sessions(match=["cust-4*"])] == ["cust-4", "cust-42", "cust-421"]
    assert [info.session for info in history.sessions(sessions=["cust-42"])] == ["cust-42"]


def test_recent_sessions_are_the_newest_with_the_last_human_words(history: cm.History) -> None:
    """Newest first; the words are those of the last human message of each session."""
    newest: dict[Any, float] = {}
    for row in ROWS:
        newest[row.session] = row.time
    expected = sorted(newest, key=lambda session: newest[session], reverse=True)[:6]
    found = history.sessions(recent=6)
    assert [info.session for info in found] == expected
    for info in found:
        words = [row.text for row in ROWS if row.session == info.session and row.type == "human"]
        assert info.words == (words[-1] if words else None)


def test_an_unknown_session_names_the_nearest(history: cm.History) -> None:
    """The three ids most like it are named, and a pattern."""
    with pytest.raises(UsageError, match=r"'cust42'.*'cust-4', 'cust-42', 'cust-421'") as caught:
        list(history.messages(session="cust42"))
    assert caught.value.hint == "a pattern?  --match 'cust*'          nothing was written."


@pytest.mark.parametrize("via", ["functions", "system"])
def test_a_table_that_is_not_there_is_named(sandbox: Sandbox, via: Any) -> None:
    """A wrong --table says which tables there are."""
    with pytest.raises(UsageError, match="'chats'") as caught:
        list(cm.connect(sandbox.url, key=sandbox.key, via=via, names=cm.Names("chats")).messages())
    assert "messages" in caught.value.hint


@pytest.mark.parametrize("names", [cm.Names(index="byUser"), cm.Names(session_field="userId")])
def test_an_index_that_is_not_there_is_named(sandbox: Sandbox, names: cm.Names) -> None:
    """A wrong --index, or one on other fields, says which one would do and how to add it."""
    with pytest.raises(UsageError, match="index") as caught:
        list(cm.connect(sandbox.url, key=sandbox.key, names=names).messages())
    assert "convex/schema.ts" in caught.value.hint


def test_other_names_work_throughout(tmp_path: Path) -> None:
    """A table, index and session field of one's own are read through both readers."""
    row = {"_creationTime": 1785578520000.5, "_id": "j57000820c20a1g7104gm2rc1n8jsdxb", "userId": "u 1"}
    line = dumps({**row, "message": {"type": "human", "data": {"content": "a"}}}).decode()
    (tmp_path / "rows.jsonl").write_text(line + "\n")
    flags = (
        "--table",
        "chats",
        "--index",
        "byUser",
        "--session-field",
        "userId",
        "--load",
        str(tmp_path / "rows.jsonl"),
    )
    names = cm.Names("chats", "byUser", "userId")
    with running_sandbox(tmp_path, *flags) as own:
        for via in ("functions", "system"):
            with cm.connect(own.url, key=own.key, via=via, names=names) as connected:  # type: ignore[arg-type]
                (found,) = connected.messages(session="u 1")
                assert found.raw.decode() == line


@pytest.mark.parametrize("flags", [("--slow-rows", "100"), ("--slow-rows", "7", "--type", "prod")])
@pytest.mark.parametrize("via", ["functions", "system"])
def test_a_page_that_is_refused_shrinks(tmp_path: Path, flags: tuple[str, ...], via: Any) -> None:
    """A deployment too slow for 1,000 rows a call is read in smaller pages, also when it only says "Server Error"."""
    with (
        running_sandbox(tmp_path, "--sample-data", *flags) as slow,
        cm.connect(slow.url, key=slow.key, via=via) as connected,
    ):
        assert ids(connected.messages()) == ids(ROWS)


@pytest.mark.parametrize("via", ["functions", "system"])
def test_pieces_hold_every_row_once(sandbox: Sandbox, via: Any) -> None:
    """Wherever a table or a prefix of it is cut, the pieces together are its rows in order; and there are many."""
    door = deployment_of(cm.connect(sandbox.url, key=sandbox.key, via=via)).reader
    for where in (KeyRange(), KeyRange(first="cust-", stop="cust."), KeyRange(first="h", stop="i")):
        expected = [
            row.id
            for row in ROWS
            if where.first is None or (isinstance(row.session, str) and where.first <= row.session < (where.stop or ""))
        ]
        pieces = door.chunks(where, 200)
        assert [row.id for piece in pieces for page in door.pages(piece) for row in page.rows] == expected
        assert len(pieces) > (1 if via == "functions" or where.first != "h" else 0)


@pytest.mark.parametrize("via", ["functions", "system"])
def test_readers_in_threads_shrink_together(tmp_path: Path, via: Any) -> None:
    """If a call may return only two rows, several readers that share a page size still finish."""
    (tmp_path / "rows.jsonl").write_bytes(b"".join(row.raw + b"\n" for row in ROWS[:300]))
    with (
        running_sandbox(tmp_path, "--load", str(tmp_path / "rows.jsonl"), "--slow-rows", "2") as slow,
        pytest.MonkeyPatch.context() as patch,
        cm.connect(slow.url, key=slow.key, via=via) as connected,
    ):
        patch.setattr(reading, "_ROWS_A_CHUNK", 40)
        assert ids(connected.messages(match=["*"])) == [row.id for row in ROWS[:300] if isinstance(row.session, str)]


@pytest.mark.parametrize("where", [KeyRange(), TimeRange(after=TIMES[300])], ids=["sessions", "times"])
@pytest.mark.parametrize("data", [{"isConvexSystemError": True, "paginationError": "InvalidCursor"}, None], ids=str)
def test_a_cursor_that_dies_is_no_gap(sandbox: Sandbox, where: Any, data: Any) -> None:
    """When the system reader's cursor dies in the middle, said or redacted, reading goes on by key or by time."""
    client = deployment_of(cm.connect(sandbox.url, key=sandbox.key)).client
    door = SystemReader(client, cm.Names(), 100)
    real = door._ask
    calls = 0

    def ask(index: str, clauses: Any, cursor: str | None, newest_first: bool, rows: int) -> Any:
        nonlocal calls
        calls += 1
        if cursor is not None and calls > 4:  # the pass is as good as over; only a new one helps
            calls = 0 if rows == 1 or data else calls
            raise FunctionFailed("Server Error", data=data)
        return real(index, clauses, cursor, newest_first, rows)

    door._ask = ask  # type: ignore[method-assign]
    if isinstance(where, KeyRange):
        assert [row.id for page in door.pages(where) for row in page.rows] == ids(ROWS)
    else:
        expected = sorted((row.time, row.id) for row in ROWS if row.time >= TIMES[300])
        assert [(row.time, row.id) for page in door.by_time(where) for row in page.rows] == expected
