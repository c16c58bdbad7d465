"""``append``: what it writes, in which order, and that a call writes all of its good batches or nothing."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from sync_tool.encoding.ids import decode_id
from sync_tool.errors import FunctionFailed

from .backends import Can
from .table import Table, refusal


def test_rows_are_kept_in_the_order_given(table: Table) -> None:
    """Rows of one batch have strictly increasing times, one row per document, ids in the same order."""
    session = table.session()
    texts = [f"message {number}" for number in range(500)]
    ids = table.append(session, texts)
    rows = table.stored(session)
    assert [row["_id"] for row in rows] == ids
    assert [row["message"]["data"]["content"] for row in rows] == texts
    assert all(one["_creationTime"] < two["_creationTime"] for one, two in pairwise(rows))
    assert len(set(ids)) == 500


def test_later_calls_sort_behind_earlier_ones(table: Table) -> None:
    """Calls made one after another extend the session at its end."""
    session = table.session()
    ids = [document for number in range(20) for document in table.append(session, [f"{number}a", f"{number}b"])]
    assert table.ids(session) == ids
    times = [row["_creationTime"] for row in table.stored(session)]
    assert times == sorted(set(times))


def test_batches_of_one_call_keep_their_order_too(table: Table) -> None:
    """Results stand in the order of the batches, and each session has its own rows in order."""
    sessions = [table.session(name) for name in ("b", "a", "\U0001f600")]
    batches = [table.batch(session, [f"{session} {number}" for number in range(5)]) for session in sessions]
    results = table.append_batches(*batches)
    for result, batch in zip(results, batches, strict=True):
        assert result == {"ids": table.ids(batch["sessionId"])}
        stored = table.stored(batch["sessionId"])
        assert [{"sessionId": row["sessionId"], "message": row["message"]} for row in stored] == batch["documents"]


def test_nothing_to_append(table: Table) -> None:
    """No batch gives no result, and a batch without documents gives no ids and makes no session."""
    assert table.append_batches() == []
    session = table.session()
    assert table.append_batches(table.batch(session, [])) == [{"ids": []}]
    assert table.append_batches(table.batch(session, [], expectLastId=None)) == [{"ids": []}]
    assert table.query("page", sessionId=session, limit=1)["rows"] == []


@pytest.mark.needs(Can.OPEN_SCHEMA)
def test_documents_are_stored_whole(table: Table) -> None:
    """Fields that LangChain does not know are stored like all others, and rows need no `message`."""
    session = table.session()
    documents: list[dict[str, Any]] = [
        {"sessionId": session, "userId": "u1", "topic": {"tags": ["a", 1, 2.0, None]}, "message": "flat"},
        {"sessionId": session, "type": "human", "text": "as old LangChain wrote it"},
        {"sessionId": session},
    ]
    table.append_batches({"sessionId": session, "documents": documents})
    stored = [{name: row[name] for name in row if not name.startswith("_")} for row in table.stored(session)]
    assert stored == documents


@pytest.mark.parametrize("field", ["_id", "_creationTime"])
@pytest.mark.parametrize("value", [None, 1.0, "text"])
def test_system_fields_are_refused(table: Table, field: str, value: Any) -> None:
    """Convex alone sets `_id` and `_creationTime`: a document that brings one is refused with `system_field`."""
    good, bad = table.session(), table.session()
    document = {**table.message(bad, "2"), field: value}
    batch = {"sessionId": bad, "documents": [table.message(bad, "1"), document]}
    assert refusal(lambda: table.append_batches(table.batch(good, ["1"]), batch))["code"] == "system_field"
    assert table.stored(good) == table.stored(bad) == []


@pytest.mark.parametrize("kind", ["another", "prefix", "missing", "null", "number"])
def test_documents_of_another_session_are_refused(table: Table, kind: str) -> None:
    """A document must carry the session id of its batch, else `wrong_session`; nothing of the call is written."""
    good, bad = table.session(), table.session()
    wrong = {"another": good, "prefix": bad + " ", "null": None, "number": 1.0}
    document = table.message(bad, "2")
    document.pop("sessionId")
    if kind in wrong:
        document["sessionId"] = wrong[kind]
    batch = {"sessionId": bad, "documents": [table.message(bad, "1"), document]}
    assert refusal(lambda: table.append_batches(table.batch(good, ["1"]), batch))["code"] == "wrong_session"
    assert table.stored(good) == table.stored(bad) == []


@pytest.mark.parametrize("document", [None, "text", 1.0, [], {}])
def test_what_is_no_message_is_refused(table: Table, document: Any) -> None:
    """Something that is no object has no session id either: `wrong_session`."""
    session = table.session()
    batch = {"sessionId": session, "documents": [document]}
    assert refusal(lambda: table.append_batches(batch))["code"] == "wrong_session"


def test_a_session_comes_once_in_a_call(table: Table) -> None:
    """Two batches for one session are refused with `double_session`, whatever they expect."""
    session, other = table.session(), table.session()
    batches = [table.batch(session, ["1"]), table.batch(other, ["2"]), table.batch(session, ["3"], expectLastId="x")]
    assert refusal(lambda: table.append_batches(*batches))["code"] == "double_session"
    assert refusal(lambda: table.append_batches(batches[0], table.batch(session, [])))["code"] == "double_session"
    assert table.stored(session) == table.stored(other) == []


def test_sessions_are_told_apart_by_every_character(table: Table) -> None:
    """Ids that look alike or differ in normal form, case or a trailing zero character are different sessions."""
    names = ["e\u0301", "\u00e9", "E\u0301", "e", "e\x00", " e", "e ", "\U0001f600", "\U0001f601"]
    sessions = [table.session(name) for name in names]
    table.append_batches(*(table.batch(session, [session]) for session in sessions))
    for session in sessions:
        assert [row["message"]["data"]["content"] for row in table.stored(session)] == [session]


def test_long_session_ids_are_told_apart(table: Table) -> None:
    """Ids of 5,000 characters that differ in the last one only are two sessions, in their order."""
    one, two = table.session("x" * 5000 + "a"), table.session("x" * 5000 + "b")
    ids = [table.append(session, ["1", "2"]) for session in (two, one)]
    assert [table.ids(two), table.ids(one)] == ids
    found = table.query("sessions", after=table.prefix, limit=2)["sessions"]
    assert found == [{"sessionId": one}, {"sessionId": two}]
    assert [row["_id"] for row in table.rows(limit=1, **table.own())] == ids[1] + ids[0]


@pytest.mark.parametrize("session", [None, 1.0, 1, ["s"], True])
def test_only_text_names_a_session(table: Table, session: Any) -> None:
    """`append` and `erase` take a text as session id; the argument's validator refuses the rest."""
    batch = {"sessionId": session, "documents": [{"sessionId": session}]}
    for call in (lambda: table.append_batches(batch), lambda: table.erase(session)):
        with pytest.raises(FunctionFailed) as caught:
            call()
        assert caught.value.data is None


@pytest.mark.needs(Can.DOCUMENT_LIMITS)
@pytest.mark.parametrize("kind", ["too large", "too deep", "bad field"])
def test_a_document_that_convex_refuses_undoes_the_call(table: Table, kind: str) -> None:
    """When the last document breaks a limit of Convex, the ones written before it are gone too."""
    good, bad = table.session(), table.session()
    deep: Any = "deep"
    for _ in range(16):
        deep = [deep]
    content = {"too large": "x" * (1 << 20), "too deep": deep, "bad field": {"caf\u00e9": 1.0}}[kind]
    batch = {"sessionId": bad, "documents": [table.message(bad, "1"), table.message(bad, content)]}
    with pytest.raises(FunctionFailed) as caught:
        table.append_batches(table.batch(good, ["1"]), batch)
    assert caught.value.data is None
    assert table.stored(good) == table.stored(bad) == []


@pytest.mark.needs(Can.DOCUMENT_IDS)
def test_ids_are_documents_ids(table: Table) -> None:
    """New ids have a valid checksum and all name the same table."""
    ids = table.append(table.session(), map(str, range(50)))
    assert len({decode_id(name).table_number for name in ids}) == 1
    assert ids != sorted(ids)
