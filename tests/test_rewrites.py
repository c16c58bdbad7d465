"""The rewrites: other forms of a message become {type, data}, nothing else changes, and each is named."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from running import ROOT
from strategies_messages import NEARLY_ROWS
from sync_tool.encoding.canonical import dumps, loads
from sync_tool.messages.check import explain
from sync_tool.messages.explain import shape_faults
from sync_tool.messages.rewrites import REWRITES, dialect_of, rewrite
from sync_tool.messages.rules import LANGUAGES, Language, faults_at
from sync_tool.rows.model import Names
from values import OBJECTS, TEXT


@pytest.mark.parametrize(
    ("message", "expected", "used"),
    [
        ({"type": "human", "text": "Hi"}, {"type": "human", "data": {"content": "Hi"}}, ["flat-text"]),
        (
            {"type": "generic", "text": "Hi", "role": "r"},
            {"type": "generic", "data": {"content": "Hi", "role": "r"}},
            ["flat-text"],
        ),
        (
            {"type": "ai", "content": "Hi", "additional_kwargs": {}},
            {"type": "ai", "data": {"content": "Hi", "additional_kwargs": {}}},
            ["flat-fields"],
        ),
        (
            {
                "type": "AIMessageChunk",
                "data": {"content": "", "type": "AIMessageChunk", "tool_call_chunks": [],
                         "chunk_position": "last", "id": "x"},
            },
            {"type": "ai", "data": {"content": "", "type": "ai", "id": "x"}},
            ["chunk"],
        ),
        ({"type": "chat", "data": {"content": "", "role": "r"}},
         {"type": "generic", "data": {"content": "", "role": "r"}}, ["role-type"]),
        (
            {"type": "ai", "data": {"content_blocks": [{"type": "text", "text": "x"}]}},
            {"type": "ai", "data": {"content": [{"type": "text", "text": "x"}]}},
            ["content-blocks"],
        ),
        (
            {
                "lc": 1.0,
                "type": "constructor",
                "id": ["langchain", "schema", "messages", "AIMessageChunk"],
                "kwargs": {"content": "x", "type": "AIMessageChunk", "tool_call_chunks": []},
            },
            {"type": "ai", "data": {"content": "x"}},
            ["serialised"],
        ),
        (
            {"lc": 1.0, "type": "constructor", "id": ["langchain_core", "messages", "ChatMessage"],
             "kwargs": {"content": "x", "role": "r"}},
            {"type": "generic", "data": {"content": "x", "role": "r"}},
            ["serialised"],
        ),
        ({"type": "AIMessageChunk", "content_blocks": []}, {"type": "ai", "data": {"content": []}},
         ["flat-fields", "chunk", "content-blocks"]),
    ],
)  # fmt: skip
def test_each_form_becomes_type_and_data(message: dict[str, Any], expected: dict[str, Any], used: list[str]) -> None:
    """Its own rewrite and no other is named; the message given is not changed."""
    before = copy.deepcopy(message)
    assert rewrite(message, "js") == (expected, tuple(used))
    assert message == before


def test_roles_go_by_the_language() -> None:
    """JavaScript calls it generic, Python chat; data.type follows where it is there."""
    generic = {"type": "generic", "data": {"content": "", "role": "r", "type": "generic"}}
    chat = {"type": "chat", "data": {"content": "", "role": "r", "type": "chat"}}
    assert rewrite(generic, "python") == (chat, ("role-type",))
    assert rewrite(chat, "js") == (generic, ("role-type",))
    assert rewrite(chat, "python") == (chat, ())
    assert rewrite({"type": "ChatMessageChunk", "data": {"content": "", "role": "r"}}, "python")[0]["type"] == "chat"


@pytest.mark.parametrize(
    "message",
    [
        {"type": "human", "data": {"content": "Hi"}},
        {"role": "user", "content": "Hi"},
        {"type": "remove", "data": {"content": "", "id": "x"}},
        {"type": "human"},
        {"lc": 1.0, "type": "constructor", "id": ["langchain", "prompts", "PromptTemplate"], "kwargs": {}},
        {"type": "ai", "data": None},
        {},
    ],
)
def test_what_is_right_or_unknown_comes_back_as_it_is(message: dict[str, Any]) -> None:
    """The very same object, and no name."""
    again, used = rewrite(message)
    assert again is message
    assert used == ()


def test_openais_form_is_recognised_only() -> None:
    """It has a name of its own, and no rewrite."""
    assert dialect_of({"role": "user", "content": "Hi"}) == "openai"
    assert "openai" not in REWRITES


@given(NEARLY_ROWS, st.sampled_from(LANGUAGES))
def test_a_second_time_changes_nothing(row: dict[str, Any], language: Language) -> None:
    """Rewriting is idempotent, and every name is a known one."""
    message = row.get("message")
    if isinstance(message, dict):
        once, used = rewrite(message, language)
        assert rewrite(once, language) == (once, ())
        assert set(used) <= set(REWRITES)


@given(NEARLY_ROWS, st.sampled_from(LANGUAGES))
def test_the_cure_that_a_fault_names_cures_it(row: dict[str, Any], language: Language) -> None:
    """After rewriting, no fault is left that says a rewrite would help."""
    message = row.get("message")
    if isinstance(message, dict):
        cured = {**row, "message": rewrite(message, language)[0]}
        left = [
            fault for fault in shape_faults(cured, Names(), language) if fault.rewrite and fault.rewrite != "serialised"
        ]
        assert left == []


@given(TEXT, OBJECTS)
def test_nothing_is_lost_from_the_old_form(text: str, rest: dict[str, Any]) -> None:
    """Text and every field beside it are in data."""
    others = {key: value for key, value in rest.items() if key not in ("type", "text", "data", "content", "lc", "role")}
    message, used = rewrite({"type": "human", "text": text, **others})
    assert message == {"type": "human", "data": {"content": text, **others}}
    assert "flat-text" in used


def test_the_old_sample_passes_every_level_once_rewritten() -> None:
    """sample_data/old-flat.jsonl, LangChain's oldest form."""
    for line in (ROOT / "sample_data" / "old-flat.jsonl").read_bytes().splitlines():
        row = loads(line)
        row["message"], used = rewrite(row["message"])
        assert used == ("flat-text",)
        found, _ = explain(dumps(row), Names(), "js")
        assert faults_at(found, "documented") == faults_at(found, "loadable") == ()


def test_every_rewrite_is_documented() -> None:
    """docs/validate.md has a row for each, with what it does."""
    page = (ROOT / "docs" / "validate.md").read_text()
    assert all(f"\n| `{name}` | {sentence} |" in page for name, sentence in REWRITES.items())
