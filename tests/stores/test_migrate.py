"""``migrate`` from every store and dialect into a sandbox: what LangChain reads there is what it reads here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from importing import Target
from stores.told import KINDS, Told, telling
from sync_tool.commands.import_.report import Comparison
from syncing import Notes

WHEN = "when messages were written"
EXPIRED = "sessions that had a time to live and expired"
UNDEFINED = "whether a field was undefined: it was stored as null"
BEYOND = "messages beyond history_size, and sessions that had a time to live and expired, where the app set those"
ALL_BUT = (
    "all but content, role, additional_kwargs: tool_calls, tool_call_id, name, id, response_metadata, usage_metadata"
)
NEWEST_FIRST = "newest first, reversed"
FACTS = {
    "files_of_python": ("3 sessions (Python dialect, oldest first)", [WHEN]),
    "file_of_javascript": ("3 sessions (JavaScript dialect, oldest first)", [WHEN]),
    "sqlite": ("3 sessions (Python dialect, in order of id)", [WHEN]),
    "postgres_of_python": ("3 sessions (Python dialect, in order of id)", [WHEN]),
    "langchain_postgres": ("3 sessions (Python dialect, in order of id)", []),
    "postgres_of_javascript": (
        "3 sessions (JavaScript dialect, flat, in order of id)",
        [WHEN, "a field of data called type: the message's own type took its place"],
    ),
    "redis_of_python": (f"3 lists (Python dialect, {NEWEST_FIRST})", [WHEN, EXPIRED]),
    "redis_of_javascript": (f"3 lists (JavaScript dialect, {NEWEST_FIRST})", [WHEN, EXPIRED]),
    "ioredis_of_javascript": (f"3 lists (JavaScript dialect, {NEWEST_FIRST})", [WHEN, EXPIRED]),
    "mongodb_of_python": ("3 sessions (Python dialect, one document a message, in order of _id)", []),
    "mongodb_of_javascript": ("3 sessions (JavaScript dialect, one document a session)", [WHEN, UNDEFINED]),
    "dynamodb_of_python": ("3 items (Python dialect, oldest first)", [WHEN, BEYOND]),
    "dynamodb_of_javascript": ("3 items (JavaScript dialect, oldest first)", [WHEN, ALL_BUT]),
}
"""Plan of each store, with the details that it had lost."""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each store and dialect."""
    name: str = request.param
    return name


@pytest.fixture
def told(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Told]:
    """The store, with a conversation in it."""
    with telling(kind, request, tmp_path) as found:
        yield found


def test_what_langchain_reads_is_the_same_there(kind: str, told: Told, target: Target) -> None:
    """Message by message and in order; again sends nothing; what is said later is appended; `diff` agrees."""
    notes = Notes()
    first = told.migrate(target, progress=notes)
    count = sum(map(len, told.read().values()))
    assert (first.exit_code, first.new, first.sent_rows, first.bad_rows) == (0, 3, count, 0)
    assert first.compared == Comparison(equal=3, ahead=0, held=0, different=0)
    summary, lost = FACTS[kind]
    timed = kind in ("langchain_postgres", "mongodb_of_python")
    assert notes.said[0].startswith("from   ")
    assert notes.said[0].endswith(f", {summary}")
    assert (list(first.plan.lost), first.plan.has_times) == (lost, timed)
    assert [line for line in notes.said if line.startswith("lost")] == (
        [f"lost   before this already: {' · '.join(lost)}"] if lost else []
    )
    assert "order  inside every session kept. Between sessions: not kept" in notes.said
    assert ("today's _creationTime. With an empty table: --keep-times" in notes.text) == timed
    assert (" has none)" in notes.text) == (not timed)

    again = told.migrate(target)
    assert (again.sent_rows, again.plan.up_to_date, again.exit_code) == (0, 3, 0)
    same = told.differences(target)
    assert (same.exit_code, same.same, same.by) == (0, 3, "history")

    told.say()
    behind = told.differences(target)
    assert (behind.exit_code, behind.extended, {found.longer for found in behind.sessions}) == (4, 3, {"here"})
    more = told.migrate(target)
    assert (more.extended, more.sent_rows, more.exit_code) == (3, count, 0)
    assert told.there(target) == told.read()
    assert told.differences(target).exit_code == 0


@pytest.mark.parametrize("kind", ["langchain_postgres", "mongodb_of_python"])
def test_times_of_a_store_are_kept(kind: str, told: Told, target: Target) -> None:
    """Into an empty table with keep_times each message has the time of the store, and its order."""
    report = told.migrate(target, keep_times=True)
    assert (report.exit_code, report.new, report.compared) == (0, 3, Comparison(3, 0, 0, 0))
    assert told.there(target) == told.read()
    with told.history() as source:
        rows = {session: [row.time for row in source.messages(session)] for session in told.read()}
    for session, times in rows.items():
        kept = [row["_creationTime"] for row in target.rows(session)]
        assert kept == sorted(set(kept))
        assert all(abs(one - other) < 1 for one, other in zip(kept, times, strict=True))
