"""MongoDB collections, written by LangChain's own classes. The server is mongomock, in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import mongomock
import pytest
from bson import Decimal128, Int64, ObjectId

from stores.conversation import SESSIONS, parsed, quietly, row_of, rows, sessions_of, stored
from stores.javascript import write
from sync_tool.errors import Refused, Unreachable, UsageError
from sync_tool.stores.mongodb import MongoMessages, mongo_errors

ADDRESS = parsed("mongodb://mongo-1:27017/chat_history")


@pytest.fixture
def collection() -> Iterator[Any]:
    """An empty collection called as LangChain calls it."""
    with quietly(), mongomock.MongoClient() as client:
        yield client["chat_history"]["message_store"]


def fill(collection: Any) -> None:
    """Write the conversation with Python's class, sessions in turns."""
    with quietly():
        from langchain_mongodb import MongoDBChatMessageHistory

        class Client(mongomock.MongoClient):
            def append_metadata(self, *_: Any) -> None: ...

        client = Client(_store=collection.database.client._store)
        histories = {session: MongoDBChatMessageHistory(None, session, client=client) for session in SESSIONS}
        for number in range(max(map(len, SESSIONS.values()))):
            for session, messages in SESSIONS.items():
                histories[session].add_messages(messages[number : number + 1])


def test_documents_of_python(collection: Any) -> None:
    """One document a message, each with the time in its id."""
    started = int(time.time()) * 1000
    fill(collection)
    store = MongoMessages(ADDRESS, collection)
    assert sessions_of(store) == {session: stored(messages) for session, messages in SESSIONS.items()}
    assert all(started <= row["_creationTime"] <= time.time() * 1000 for row in rows(store))
    facts = store.facts()
    assert facts.summary == "3 sessions (Python dialect, one document a message, in order of _id)"
    assert (facts.messages, facts.times, facts.lost) == (len(rows(store)), True, ())
    assert store.title == "mongodb mongo-1:27017/chat_history, collection message_store"


def test_documents_of_javascript(collection: Any) -> None:
    """One document a session, as the JavaScript class builds it, messages in the order of its array."""
    found = write("mongodb")
    collection.insert_many(found["documents"])
    collection.insert_one({"other": 1})
    store = MongoMessages(ADDRESS, collection)
    assert sessions_of(store) == found["written"]
    facts = store.facts()
    assert facts.summary == "3 sessions (JavaScript dialect, one document a session)"
    assert facts.notes == ("1 document skipped: without messages",)


def test_values_that_json_does_not_have(collection: Any) -> None:
    """Long integers, decimals, ids, bytes and dates become what JSON or Convex has for them."""
    values = {"long": Int64(2**40), "id": ObjectId("0123456789abcdef01234567"), "bytes": b"abc", "none": None}
    collection.insert_one({"sessionId": ObjectId("a" * 24), "messages": [{"type": "x", "data": values}, 1.5]})
    found = rows(MongoMessages(ADDRESS, collection))
    data = {"long": 2**40, "id": "0123456789abcdef01234567", "bytes": {"$bytes": "YWJj"}, "none": None}
    assert [row["message"] for row in found] == [{"type": "x", "data": data}, 1.5]
    assert {row["sessionId"] for row in found} == {"a" * 24}
    assert Decimal128("1.5")


def test_broken_documents_do_not_stop_the_others(collection: Any) -> None:
    """A history that is no JSON or no array has a fault and its session."""
    good = '{"type": "human", "data": {"content": "hi"}}'
    for history in (good, "{", good):
        collection.insert_one({"SessionId": "a", "History": history})
    collection.insert_one({"SessionId": "b", "History": 7})
    records = list(MongoMessages(ADDRESS, collection).records())
    assert [record.fault.rule if record.fault else None for record in records] == [None, "not-json", None, None]
    assert [row_of(record)["sessionId"] for record in records] == ["a", "a", "a", "b"]
    collection.drop()
    collection.insert_many([{"sessionId": "a", "messages": "x"}, {"sessionId": "b", "messages": [{"type": "human"}]}])
    records = list(MongoMessages(ADDRESS, collection).records())
    assert [record.fault.rule if record.fault else None for record in records] == ["unreadable", None]


def test_a_collection_of_something_else(collection: Any) -> None:
    """Exit code 2 where no document has either layout."""
    collection.insert_one({"sessionId": "a", "text": "hi"})
    with pytest.raises(UsageError, match="holds no chat history of LangChain"):
        MongoMessages(ADDRESS, collection)


def test_a_server_that_is_not_there() -> None:
    """No answer is exit code 5; the real client was asked, with a bound on its patience."""
    address = parsed("mongodb://127.0.0.1:1/chat?serverSelectionTimeoutMS=1")
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        MongoMessages(address)


def test_a_refusal_is_told_in_the_servers_words() -> None:
    """A user without rights is exit code 6 with the server's text and code."""
    from pymongo.errors import OperationFailure

    details = {"errmsg": "not authorized on chat to execute command", "code": 13}
    with pytest.raises(Refused, match="chat") as raised, mongo_errors("mongodb x"):
        raise OperationFailure("not authorized", 13, details)
    assert raised.value.code == "13"
    assert "env:NAME" in raised.value.hint
