"""A conversation with everything in it that LangChain stores, and how it is compared."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    message_to_dict,
)

from sync_tool.messages.records import Record
from sync_tool.stores.addresses import Address, read_address, spell_out
from sync_tool.stores.jsonfiles import JsonFiles
from sync_tool.stores.opening import open_store
from sync_tool.stores.store import Store

CONVERSATION: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage("Hi! I'm Jim. 🙂 Zażółć \u202e\x1b[31m", name="jim", id="m-1"),
    AIMessage(
        "",
        id="run-1",
        tool_calls=[{"name": "get_weather", "args": {"city": "Oslo", "days": 3}, "id": "call_1"}],
        usage_metadata={"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
        response_metadata={"model_name": "gpt-4o", "tokens": 12345678901},
    ),
    ToolMessage("rain", tool_call_id="call_1", status="error"),
    HumanMessage([{"type": "text", "text": "and this?"}, {"type": "image_url", "image_url": {"url": "data:,x"}}]),
    ChatMessage("noted", role="critic"),
    AIMessage("Jim.", additional_kwargs={"refusal": None, "nested": {"a": [1, True, None, "x"]}}),
]
SESSIONS = {"cust-1": CONVERSATION, "Cust-1": CONVERSATION[:2], "team a/chat 1 é": list(reversed(CONVERSATION))}
"""Ids that differ in case only, and odd ones."""


def stored(messages: list[BaseMessage]) -> list[dict[str, Any]]:
    """Return messages as Python's LangChain stores them."""
    return [message_to_dict(message) for message in messages]


def rows(store: Store) -> list[dict[str, Any]]:
    """Return the rows that a store yields, all of them without a fault."""
    records = list(store.records())
    assert [record for record in records if record.fault] == []
    return [row_of(record) for record in records]


def row_of(record: Record) -> dict[str, Any]:
    """Return the row of a record."""
    row: dict[str, Any] = msgspec.json.decode(record.raw)
    return row


def sessions_of(store: Store) -> dict[str, list[dict[str, Any]]]:
    """Return the messages of each session; a session that came in two pieces is an error."""
    found: dict[str, list[dict[str, Any]]] = {}
    for session, group in groupby(rows(store), key=lambda row: row["sessionId"]):
        assert session not in found, f"{session} is torn apart"
        found[session] = [row["message"] for row in group]
    return found


def opened(address: str, environment: dict[str, str] | None = None) -> Store:
    """Open the store that an address names."""
    text, _ = spell_out(address, environment)
    return open_store(address, environment).store if "://" in text else JsonFiles(Path(text))


def parsed(address: str) -> Address:
    """Take an address apart that must be one."""
    found = read_address(address)
    assert found is not None
    return found


@contextmanager
def quietly() -> Iterator[None]:
    """Let LangChain's packages warn about themselves: that they are old, and what they import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
