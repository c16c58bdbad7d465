"""The normal form: every dialect of LangChain's reads the same, nothing is too odd to read, and back is exact."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies_messages import NEARLY_ROWS
from sync_tool.messages.blocks import part_of
from sync_tool.messages.normal import normal, stored_of
from sync_tool.messages.openai import from_turn
from sync_tool.messages.parts import Citation, Data, Media, Message, Reasoning, Text, ToolCall, ToolResult, Usage
from sync_tool.rows.columns import flatten
from sync_tool.rows.model import Names
from sync_tool.text import text_of
from values import OBJECTS, TEXT, VALUES

ARGS = {"city": "Oslo", "days": 2.0}
PNG = Media("image", None, "QQ==", None, "image/png")
ARGS_TEXT = '{"city": "Oslo", "days": 2}'
CALL = ToolCall("c1", "weather", ARGS)
_FIELDS = st.sampled_from([
    "type", "data", "content", "text", "role", "lc", "id", "kwargs", "tool_calls", "args", "function", "name",
    "arguments", "image_url", "source", "url", "additional_kwargs", "function_call", "usage_metadata", "usage",
    "response_metadata", "reasoning", "summary", "input", "functionCall", "tool_call_id", "invalid_tool_calls",
    "content_blocks", "inlineData",
])  # fmt: skip
ODD = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-9, 9) | TEXT | st.binary(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_FIELDS, inner, max_size=4),
    max_leaves=20,
)
"""Any JSON, with the names of fields that the dialects look at."""


def said(kind: str, content: Any, **data: Any) -> dict[str, Any]:
    """Return a stored message."""
    return {"type": kind, "data": {"content": content, **data}}


KWARGS_CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": ARGS_TEXT}}
TOOL_USE = {"type": "tool_use", "id": "c1", "name": "weather", "input": ARGS}
CALLS: dict[str, dict[str, Any]] = {
    "JavaScript and Python": said("ai", "", tool_calls=[{"name": "weather", "args": ARGS, "id": "c1"}]),
    "additional_kwargs": said("ai", "", additional_kwargs={"tool_calls": [KWARGS_CALL]}, tool_calls=[]),
    "both": said("ai", "", additional_kwargs={"tool_calls": [KWARGS_CALL]},
                 tool_calls=[{"name": "weather", "args": ARGS, "id": "c1", "type": "tool_call"}]),
    "Anthropic beside": said("ai", [TOOL_USE], tool_calls=[{"name": "weather", "args": ARGS, "id": "c1"}]),
    "chunk": said("AIMessageChunk", "", tool_call_chunks=[{"args": "{"}],
                  tool_calls=[{"name": "weather", "args": ARGS, "id": "c1"}]),
    "serialised": {"lc": 1.0, "type": "constructor", "id": ["langchain_core", "messages", "AIMessage"],
                   "kwargs": {"content": "", "tool_calls": [{"name": "weather", "args": ARGS, "id": "c1"}]}},
    "flat": {"type": "ai", "content": "", "tool_calls": [{"name": "weather", "args": ARGS, "id": "c1"}]},
    "OpenAI": {"role": "assistant", "content": None, "tool_calls": [KWARGS_CALL]},
}  # fmt: skip


@pytest.mark.parametrize("stored", CALLS.values(), ids=CALLS)
def test_a_call_is_the_same_in_every_dialect(stored: dict[str, Any]) -> None:
    """Calls in fields, in OpenAI's form, repeated in the content, streamed, serialised, flat: one normal form."""
    assert normal(stored) == Message("ai", (CALL,), "ai")


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (said("human", "Hi", name="Jim"), Message("human", (Text("Hi"),), "human", name="Jim")),
        ({"type": "human", "text": "Hi"}, Message("human", (Text("Hi"),), "human")),
        (said("chat", "Hm", role="critic"), Message("critic", (Text("Hm"),), "generic")),
        (said("generic", "Hm", role="critic"), Message("critic", (Text("Hm"),), "generic")),
        (said("tool", "7", tool_call_id="c1", status="error", artifact={"x": 1.0}),
         Message("tool", (ToolResult("c1", (Text("7"),), failed=True, artifact={"x": 1.0}),), "tool")),
        (said("function", "7", name="f"),
         Message("function", (ToolResult(None, (Text("7"),), "f"),), "function", name="f")),
        (said("ai", "", invalid_tool_calls=[{"name": "f", "args": "{", "id": "c", "error": "bad"}]),
         Message("ai", (ToolCall("c", "f", "{", "bad"),), "ai")),
        (said("ai", "", additional_kwargs={"function_call": {"name": "f", "arguments": "{}"}}),
         Message("ai", (ToolCall(None, "f", {}, legacy=True, block={"name": "f", "arguments": "{}"}),), "ai")),
        (said("ai", "Yes", additional_kwargs={"reasoning_content": "Hm", "x": 1.0}),
         Message("ai", (Reasoning("Hm"), Text("Yes")), "ai", extra={"x": 1.0})),
        ({"type": "ai", "data": {"content_blocks": [{"type": "text", "text": "a"}]}},
         Message("ai", (Text("a", {"type": "text", "text": "a"}),), "ai")),
        ({"role": "developer", "content": "Be kind."},
         Message("system", (Text("Be kind."),), "system", extra={"__openai_role__": "developer"})),
        ({"type": "remove", "data": {}}, Message("remove", (), "remove")),
        (said("human", 5.0), Message("human", (Data("", 5.0),), "human")),
        (said("human", [{"type": ["text"], "text": "x"}, 5.0]),
         Message("human", (Data("", {"type": ["text"], "text": "x"}), Data("", 5.0)), "human")),
        ({}, Message("")),
    ],
)  # fmt: skip
def test_every_kind_of_message(stored: dict[str, Any], expected: Message) -> None:
    """Old and free roles, results, unparsed and legacy calls, reasoning, and content that LangChain does not write."""
    assert normal(stored) == expected


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("a", Text("a")),
        ({"type": "output_text", "text": "a"}, Text("a")),
        ({"text": "a"}, Text("a")),
        ({"type": "thinking", "thinking": "Hm", "signature": "x"}, Reasoning("Hm")),
        ({"type": "reasoning", "reasoning": "Hm"}, Reasoning("Hm")),
        ({"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]}, Reasoning("Hm")),
        ({"type": "redacted_thinking", "data": "x"}, Reasoning("")),
        (TOOL_USE, CALL),
        ({"type": "tool_call", "id": "c1", "name": "weather", "args": ARGS}, CALL),
        ({"type": "function_call", "call_id": "c1", "name": "weather", "arguments": ARGS_TEXT}, CALL),
        ({"functionCall": {"name": "weather", "args": ARGS}}, ToolCall(None, "weather", ARGS)),
        ({"type": "tool_result", "tool_use_id": "c1", "content": "7", "is_error": True},
         ToolResult("c1", (Text("7"),), failed=True)),
        ({"type": "image_url", "image_url": {"url": "https://a/b.png"}}, Media("image", "https://a/b.png")),
        ({"type": "image_url", "image_url": "data:image/png;base64,QQ=="}, PNG),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}},
         PNG),
        ({"type": "image", "source_type": "id", "id": "f1"}, Media("image", file_id="f1")),
        ({"type": "image", "base64": "QQ==", "mime_type": "image/png"}, PNG),
        ({"type": "media", "mime_type": "video/mp4", "file_uri": "gs://a/b"},
         Media("video", "gs://a/b", media_type="video/mp4")),
        ({"inlineData": {"mimeType": "image/png", "data": "QQ=="}}, PNG),
        ({"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}},
         Media("audio", None, "QQ==", None, "audio/wav")),
        ({"type": "file", "file": {"file_id": "f1", "filename": "a.pdf"}}, Media("file", file_id="f1", name="a.pdf")),
        ({"type": "citation", "url": "https://a", "title": "A"}, Citation("https://a", "A")),
    ],
)  # fmt: skip
def test_every_block(block: Any, expected: Any) -> None:
    """The blocks of OpenAI, Anthropic, Google and LangChain's standard; each part keeps its block."""
    fields = {name: getattr(expected, name) for name in expected.__slots__}
    if isinstance(block, dict):
        fields["block"] = block
    assert part_of(block) == type(expected)(**fields)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"usage_metadata": {"input_tokens": 1.0, "output_tokens": 2.0, "total_tokens": 3.0}}, Usage(1, 2, 3)),
        ({"response_metadata": {"tokenUsage": {"promptTokens": 1.0, "completionTokens": 2.0}}}, Usage(1, 2)),
        ({"response_metadata": {"token_usage": {"prompt_tokens": 1.0, "total_tokens": 3.0}}}, Usage(1, None, 3)),
        ({"response_metadata": {"usage": {"input_tokens": 1.0, "output_tokens": 2.0}}}, Usage(1, 2)),
        ({"usage_metadata": None, "response_metadata": {"usage": 7.0}}, None),
        ({"usage_metadata": {"input_tokens": 1.5}}, None),
    ],
)
def test_tokens_of_every_provider(data: dict[str, Any], expected: Usage | None) -> None:
    """LangChain's counts first, else the provider's, in the names of both languages."""
    assert normal(said("ai", "x", **data)).usage == expected


@given(ODD | NEARLY_ROWS.map(lambda row: row.get("message")))
def test_nothing_is_too_odd(value: Any) -> None:
    """Any JSON at all reads as a message, as list content and as a block."""
    part_of(value)
    for stored in (value, {"type": "ai", "data": value}, said("ai", value, additional_kwargs=value), {"role": "ai"}):
        if isinstance(stored, dict):
            stored_of(normal(stored))


@given(st.sampled_from(["human", "ai", "system", "tool", "function", "generic", "AIMessageChunk"]), ODD, OBJECTS)
def test_to_and_fro(kind: str, content: Any, kwargs: dict[str, Any]) -> None:
    """A message in the normal form, stored as JavaScript stores it, reads the same."""
    stored = said(
        kind, content, additional_kwargs=kwargs, role="critic", id="i", tool_call_id="c", response_metadata=kwargs
    )
    assert_same(normal(stored))


@given(NEARLY_ROWS)
def test_generated_messages_to_and_fro(row: dict[str, Any]) -> None:
    """The same for messages of every level and dialect, unless they are in no form that is known."""
    stored = row.get("message")
    if isinstance(stored, dict) and isinstance(stored.get("data"), dict) and isinstance(stored.get("type"), str):
        assert_same(normal(stored))


TURNS = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "developer", "critic"])},
    optional={"content": ODD, "tool_calls": ODD, "name": TEXT | ODD, "tool_call_id": ODD, "refusal": ODD},
)


@given(TURNS)
def test_turns_to_and_fro(turn: dict[str, Any]) -> None:
    """OpenAI's turns are stored so that they read the same."""
    assert_same(from_turn(turn))


def assert_same(message: Message) -> None:
    """Store and read a message again; NaN, which equals nothing, is compared by what is shown of it."""
    again = normal(stored_of(message))
    assert repr(again) == repr(message)
    assert [getattr(part, "block", None).__repr__() for part in again.parts] == [
        getattr(part, "block", None).__repr__() for part in message.parts
    ]


@given(ODD.filter(lambda content: not isinstance(content, dict)) | VALUES.filter(lambda content: type(content) is list))
def test_the_quick_text_agrees(content: Any) -> None:
    """The text of a row, read without the other parts, is that of the normal form."""
    stored = said("human", content)
    assert (text_of(stored) or "") == normal(stored).text


@given(NEARLY_ROWS)
def test_columns_agree(row: dict[str, Any]) -> None:
    """The derived columns of a stored message hold what its normal form says."""
    stored = row.get("message")
    if (
        not isinstance(stored, dict)
        or not isinstance(stored.get("data"), dict)
        or not isinstance(stored.get("type"), str)
    ):
        return
    columns, message, data = flatten(row, Names()), normal(stored), stored["data"]
    if isinstance(data.get("content"), str | list):
        assert columns.content == message.text
    assert (columns.name, columns.model) == (message.name, message.model)
    if message.type == "tool" and message.result is not None:
        assert columns.tool_call_id == message.result.call_id
    usage = data.get("usage_metadata")
    if message.usage is not None and isinstance(usage, dict) and {"input_tokens", "output_tokens"} <= usage.keys():
        assert (columns.input_tokens, columns.output_tokens) == (
            message.usage.input_tokens,
            message.usage.output_tokens,
        )
