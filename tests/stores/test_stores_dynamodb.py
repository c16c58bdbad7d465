"""DynamoDB tables, written by LangChain's own classes over HTTP into moto's server."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from stores.conversation import SESSIONS, opened, quietly, row_of, sessions_of, stored
from stores.javascript import write
from sync_tool.errors import Refused, Unreachable, UsageError

ADDRESS = "dynamodb://eu-central-1/chats"


def make_table(*keys: str) -> Any:
    """Create the table `chats` with a partition key and perhaps a sort key."""
    resource = boto3.resource("dynamodb")
    return resource.create_table(
        TableName="chats",
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        BillingMode="PAY_PER_REQUEST",
    )


def python_class() -> Any:
    """Return LangChain's class."""
    with quietly():
        from langchain_community.chat_message_histories import DynamoDBChatMessageHistory
    return DynamoDBChatMessageHistory


def test_items_of_python(dynamodb_url: str) -> None:
    """Maps and numbers come back as LangChain stored them, session by session."""
    make_table("SessionId")
    for session, messages in SESSIONS.items():
        python_class()("chats", session, coerce_float_to_decimal=True).add_messages(messages)
    store = opened(ADDRESS)
    assert sessions_of(store) == {session: stored(messages) for session, messages in SESSIONS.items()}
    facts = store.facts()
    assert facts.summary == "3 items (Python dialect, oldest first)"
    assert "history_size" in facts.lost[1]
    assert store.title == "dynamodb eu-central-1, table chats"
    store.close()


def test_items_of_javascript(dynamodb_url: str) -> None:
    """Content, role and additional_kwargs come back; the rest is what that class never stored, and named."""
    make_table("id")
    written = write("dynamodb", endpoint=dynamodb_url, table="chats")["written"]
    store = opened(ADDRESS)
    kept = {
        session: [
            {"type": message["type"], "data": {name: message["data"][name] for name in message["data"] if name in KEPT}}
            for message in messages
        ]
        for session, messages in written.items()
    }
    assert sessions_of(store) == kept
    assert "tool_calls" in store.facts().lost[1]
    store.close()


KEPT = ("content", "role", "additional_kwargs")


def test_a_table_with_a_sort_key(dynamodb_url: str) -> None:
    """Sessions of one partition key stay apart by their sort key."""
    make_table("SessionId", "UserId")
    for user in ("u1", "u2"):
        key = {"SessionId": "s", "UserId": user}
        python_class()("chats", "s", key=key).add_messages(SESSIONS["Cust-1"])
    store = opened(ADDRESS)
    assert sessions_of(store) == {f"s/{user}": stored(SESSIONS["Cust-1"]) for user in ("u1", "u2")}
    assert store.facts().notes[1] == "session ids are SessionId/UserId: the table has a sort key"
    store.close()


def test_tables_of_many_pages(dynamodb_url: str) -> None:
    """A table larger than the page of 1 MB is read to its end."""
    table = make_table("SessionId")
    for number in range(12):
        message = {"type": "human", "data": {"content": "x" * 300_000}}
        table.put_item(Item={"SessionId": f"s{number}", "History": [message]})
    store = opened(ADDRESS)
    assert sorted(sessions_of(store)) == sorted(f"s{number}" for number in range(12))
    store.close()


def test_broken_items_do_not_stop_the_others(dynamodb_url: str) -> None:
    """An item that LangChain never writes has a fault and its session; items without messages are skipped."""
    table = make_table("SessionId")
    good = {"type": "human", "data": {"content": "hi", "n": 12345678901234567890}}
    table.put_item(Item={"SessionId": "a", "History": [good, {"type": "human", "data": {"x": b"1"}}, good]})
    table.put_item(Item={"SessionId": "b", "History": "text"})
    table.put_item(Item={"SessionId": "c", "messages": [{"type": "human", "text": "x", "additional_kwargs": "{"}]})
    table.put_item(Item={"SessionId": "d"})
    store = opened(ADDRESS)
    found: dict[str, list[str | None]] = {}
    for record in store.records():
        found.setdefault(row_of(record)["sessionId"], []).append(record.fault.rule if record.fault else None)
    assert found == {"a": [None, "unreadable", None], "b": ["unreadable"], "c": ["unreadable"]}
    store.close()


def test_a_table_that_is_not_there_or_not_named(dynamodb_url: str) -> None:
    """Exit code 2 says which."""
    with pytest.raises(UsageError, match="there is no such table"):
        opened(ADDRESS)
    with pytest.raises(UsageError, match="no table is named"):
        opened("dynamodb://eu-central-1")
    make_table("id").put_item(Item={"id": "a", "text": "hi"})
    with pytest.raises(UsageError, match="holds no chat history"):
        opened(ADDRESS)


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch, dynamodb_url: str) -> None:
    """No answer is exit code 5."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(Unreachable):
        opened(ADDRESS)


def test_without_credentials(monkeypatch: pytest.MonkeyPatch, dynamodb_url: str) -> None:
    """No credentials is exit code 6 and says where AWS's tools take them from."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "nothing")
    monkeypatch.setenv("AWS_CONFIG_FILE", "nothing")
    with pytest.raises(Refused) as raised:
        opened(ADDRESS)
    assert "AWS_PROFILE" in raised.value.hint
