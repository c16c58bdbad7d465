"""Rows as LangChain's messages: every form that LangChain ever wrote is read, and what none is, is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    ToolMessage,
)

import sync_tool as cm
from running import ROOT
from sync_tool.encoding.canonical import dumps
from sync_tool.langchain import document_of, message_of
from sync_tool.messages.check import explain
from sync_tool.messages.rules import faults_at
from sync_tool.rows.model import Names
from sync_tool.rows.reading import RowReader

WRITTEN = sorted((ROOT / "sample_data" / "langchain_rows").glob("*.jsonl"))
OPENAI_CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}

UNREADABLE = {
    "types-langchain-0.0": ["chat_empty_role"],
    "types-langchain-0.1-core-0.1.63": ["chat_empty_role"],
}
"""Sessions by file whose row no LangChain reads: it has no role."""


def read(message: Any) -> BaseMessage:
    """Return the message of a row that holds this."""
    return message_of(RowReader(Names()).row(json.dumps({"_id": "x1", "sessionId": "s", "message": message}).encode()))


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.stem)
def test_rows_that_langchain_wrote_are_read(path: Path) -> None:
    """Of every version's rows only those are refused that no LangChain could read back, and text is kept."""
    refused = []
    for line in path.read_bytes().splitlines():
        if b"lone_surrogate" in line:  # no deployment holds that
            continue
        row = RowReader(Names()).row(line)
        try:
            message = message_of(row)
        except cm.Damaged:
            refused.append(row.session)
            continue
        if isinstance(row.message["data"].get("content"), str):
            assert message.content == row.message["data"]["content"]
    assert refused == UNREADABLE.get(path.stem, [])


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"type": "human", "text": "Hi"}, HumanMessage("Hi")),
        ({"type": "ai", "content": "Hi", "additional_kwargs": {}}, AIMessage("Hi")),
        ({"type": "generic", "data": {"content": "Hi", "role": "r"}}, ChatMessage("Hi", role="r")),
        ({"type": "chat", "data": {"content": "Hi", "role": "r"}}, ChatMessage("Hi", role="r")),
        ({"type": "AIMessageChunk", "data": {"content": "Hi", "type": "AIMessageChunk", "tool_call_chunks": []}},
         AIMessage("Hi")),
        ({"type": "ai", "data": {"content": None, "additional_kwargs": {"tool_calls": [OPENAI_CALL]}}},
         AIMessage("", additional_kwargs={"tool_calls": [OPENAI_CALL]},
                   tool_calls=[{"name": "f", "args": {"a": 1}, "id": "c"}])),
        ({"type": "ai", "data": {"content_blocks": [{"type": "text", "text": "Hi"}]}},
         AIMessage([{"type": "text", "text": "Hi"}])),
        ({"type": "ai", "data": {"content": "", "tool_calls": [{"name": "f", "args": "{", "id": "c", "index": 0}]}},
         AIMessage("", invalid_tool_calls=[{"name": "f", "args": "{", "id": "c", "error": None}])),
        ({"type": "ai", "data": {"content": "", "usage_metadata": {"input_tokens": 3.0, "output_tokens": 4.0}}},
         AIMessage("", usage_metadata=USAGE)),
        ({"type": "tool", "data": {"content": "r", "tool_call_id": "c", "status": None, "artifact": None}},
         ToolMessage("r", tool_call_id="c")),
        ({"type": "function", "data": {"content": "r", "name": "f", "additional_kwargs": None}},
         FunctionMessage("r", name="f")),
        ({"lc": 1, "type": "constructor", "id": ["langchain_core", "messages", "HumanMessage"],
          "kwargs": {"content": "Hi"}}, HumanMessage("Hi")),
    ],
)  # fmt: skip
def test_every_form_is_read(stored: dict[str, Any], message: BaseMessage) -> None:
    """Old, flat, serialised and chunk forms, and JavaScript's ways of leaving things out."""
    assert read(stored) == message


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        ({"type": "bot", "data": {"content": "Hi"}}, "bot"),
        ({"type": "generic", "data": {"content": "Hi"}}, "role"),
        ({"type": "tool", "data": {"content": "Hi"}}, "tool_call_id"),
        ({"type": "human", "data": {"content": 7}}, "content"),
        ({"type": "human", "data": {}}, "content"),
        ({"role": "user", "content": "Hi"}, "type, data"),
        ("text", "type, data"),
    ],
)
def test_what_is_no_message_is_named(stored: Any, why: str) -> None:
    """The error names row and session, says why, and how to find all of them."""
    with pytest.raises(cm.Damaged, match=f"row 'x1' of session 's'.*{why}") as caught:
        read(stored)
    assert "convex-msgs validate" in caught.value.hint


@pytest.mark.parametrize(
    ("message", "stored"),
    [
        (HumanMessage("Hi"), {"type": "human", "data": {"content": "Hi", "additional_kwargs": {},
                                                         "response_metadata": {}}}),
        (AIMessageChunk(content="Hi", chunk_position="last"),
         {"type": "ai", "data": {"content": "Hi", "additional_kwargs": {}, "response_metadata": {}, "tool_calls": [],
                                 "invalid_tool_calls": []}}),
        (ChatMessageChunk(content="Hi", role="r"),
         {"type": "generic", "data": {"content": "Hi", "role": "r", "additional_kwargs": {},
                                      "response_metadata": {}}}),
        (ToolMessage("r", tool_call_id="c", artifact=(1, 2**60)),
         {"type": "tool", "data": {"content": "r", "tool_call_id": "c", "status": "success",
                                   "artifact": [1.0, 2**60], "additional_kwargs": {}, "response_metadata": {}}}),
        (HumanMessage("Hi", mood="good"),
         {"type": "human", "data": {"content": "Hi", "mood": "good", "additional_kwargs": {},
                                    "response_metadata": {}}}),
    ],
)  # fmt: skip
def test_what_is_written(message: BaseMessage, stored: dict[str, Any]) -> None:
    """Plain types, no nulls, numbers as JavaScript has them; and JavaScript could read it."""
    document = document_of(message, "s")
    assert document == {"sessionId": "s", "message": stored}
    found = [fault for fault in explain(dumps(document), Names(), "js")[0] if fault.rule != "unknown-field"]
    assert faults_at(tuple(found), "loadable") == ()


def test_a_removal_is_no_message() -> None:
    """LangGraph's removals of messages cannot be stored."""
    with pytest.raises(cm.UsageError, match="removal"):
        document_of(RemoveMessage(id="1"), "s")
