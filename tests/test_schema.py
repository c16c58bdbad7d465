"""The schema levels: the fast check and the explanation agree, the limits are Convex's, the verdicts LangChain's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from running import ROOT
from strategies_messages import DOCUMENTED_ROWS, NEARLY_ROWS, broken_bytes
from sync_tool.encoding.canonical import dumps, loads
from sync_tool.encoding.sizes import size_of
from sync_tool.messages.check import Checker, explain, tool_use_in
from sync_tool.messages.fast import FastCheck
from sync_tool.messages.rules import LANGUAGES, LEVELS, RULES, Language, Level, faults_at, warnings_in
from sync_tool.rows.model import Names

NAMES = Names()
GOOD_LINE = b'{"message":{"data":{"content":"Hi"},"type":"human"},"sessionId":"s"}'
LANGCHAIN_ROWS = ROOT / "sample_data" / "langchain_rows"
FAST: dict[tuple[Level, Language], FastCheck] = {
    (level, language): FastCheck(level, NAMES, language) for level in LEVELS for language in LANGUAGES
}


def row(data: Any = None, kind: str = "human", **fields: Any) -> dict[str, Any]:
    """Return a row with a message."""
    data = {"content": "Hi"} if data is None else data
    return {"sessionId": "s", "message": {"type": kind, "data": data}, **fields}


def rules(raw: bytes | dict[str, Any], level: Level = "langchain", language: Language = "js") -> list[tuple[str, str]]:
    """Return rule and path of each fault of a record at a level."""
    found, _ = explain(raw if isinstance(raw, bytes) else dumps(raw), NAMES, language)
    return [(fault.rule, fault.path) for fault in faults_at(found, level)]


def assert_agree(raw: bytes) -> None:
    """Check that a record which the fast check passes has neither fault nor warning, at any level, in any language.

    Alone, in the middle of others, and in a block of lines; sessions and calls are those of the record. A record that
    is left to the explanation among others is left to it alone and in a block too, and adds nothing to the others.
    """
    line = raw.replace(b"\n", b" ")
    around = [GOOD_LINE] * 5
    for (level, language), fast in FAST.items():
        passed = fast.many([*around, line, *around])
        assert passed.others in ([], [5])
        assert passed.rows == 11 - len(passed.others)
        together = fast.lines(b"\n".join([GOOD_LINE, line, GOOD_LINE, b""]))
        if together is not None and together.rows == 3:
            assert not passed.others
        alone = fast.many([raw])
        if passed.others:
            assert fast.many([line]).others
            assert together is None or together.rows != 3
            assert (passed.sessions, dict(passed.calling).get(5)) == ({"s"}, None)
        if not alone.others or not passed.others:
            found, value = explain(raw, NAMES, language)
            assert (faults_at(found, level), warnings_in(found)) == ((), ())
            seen = tool_use_in(value, NAMES)
            assert alone.others or dict(alone.calling).get(0, seen._replace(answers=None, calls=())) == seen
            assert passed.others or passed.sessions == {"s", seen.session}
            assert passed.others or dict(passed.calling).get(5, seen._replace(answers=None, calls=())) == seen


@examples(max_examples=300)
@given(NEARLY_ROWS)
def test_fast_check_and_explanation_agree_on_rows(document: dict[str, Any]) -> None:
    """Over rows from good to hopeless, canonical or not."""
    raw = dumps(document)
    assert_agree(raw)
    assert_agree(json.dumps(json.loads(raw), indent=1).encode())


@examples(max_examples=700)
@given(broken_bytes())
def test_fast_check_and_explanation_agree_on_broken_bytes(raw: bytes) -> None:
    """Over rows with pieces of trouble put into their bytes; and what has no fault can be read by every reader."""
    assert_agree(raw)
    if not rules(raw):
        assert isinstance(loads(raw), dict)


@given(DOCUMENTED_ROWS.filter(lambda found: found["message"]["type"] in ("human", "ai", "system")))
def test_documented_rows_are_good_at_every_level(document: dict[str, Any]) -> None:
    """Four fields and a plain type pass everywhere."""
    assert all(rules(document, level) == [] for level in LEVELS)


def test_the_fast_check_takes_nearly_all_good_records() -> None:
    """Of the sample's good rows at most one in twenty needs the slow way."""
    lines = [line.strip() for line in (ROOT / "sample_data" / "messages.jsonl").read_bytes().splitlines()]
    fast = FAST["langchain", "js"]
    good = [line for line in lines if not rules(line)]
    assert sum(not fast.many([line]).others for line in good) > 0.95 * len(good) > 2000
    assert fast.many(good).rows > 0.95 * len(good)


def verdicts(name: str) -> dict[str, tuple[str, ...]]:
    """Return the levels at which each case of a file of LangChain's own rows is good."""
    found = {}
    for line in (LANGCHAIN_ROWS / name).read_bytes().splitlines():
        good = tuple(level for level in LEVELS if not Checker(level).check(line).faults)
        found[f"{json.loads(line)['sessionId']} {len(found)}"] = good
    return found


ALL = ("documented", "langchain", "loadable")
WIDE = ("langchain", "loadable")


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("conversation-langchain-0.0.jsonl", ALL),
        ("conversation-langchain-0.1-core-0.1.45.jsonl", ALL),
        ("conversation-langchain-0.1-core-0.1.63.jsonl", WIDE),
        ("conversation-langchain-1.jsonl", WIDE),
        ("invoke-langchain-0.1-core-0.1.63.jsonl", WIDE),
        ("stream-langchain-0.1-core-0.1.63.jsonl", WIDE),
    ],
)
def test_conversations_that_langchain_wrote(name: str, levels: tuple[str, ...]) -> None:
    """Core 0.1.45 and older pass the documented level, newer ones do not; every real row is wide and loadable."""
    assert set(verdicts(name).values()) == {levels}


def test_every_type_of_the_oldest_line() -> None:
    """All 23 cases that the closed schema took pass it here, but the half surrogate; one role is missing."""
    found = verdicts("types-langchain-0.0.jsonl")
    assert {case.split()[0]: good for case, good in found.items() if good != ALL} == {
        "chat_empty_role": ("documented", "langchain"),
        "lone_surrogate": (),
    }


def test_every_type_since_response_metadata() -> None:
    """No case passes the documented level; of the wide one only those fail that no real chain writes."""
    found = verdicts("types-langchain-0.1-core-0.1.63.jsonl")
    assert {case.split()[0]: good for case, good in found.items() if good != WIDE} == {
        "human_null_content": (),
        "ai_v1_content_blocks": (),
        "kwargs_camel": (),
        "lone_surrogate": (),
        "ai_tool_calls_no_id": ("langchain",),
        "chat_empty_role": ("langchain",),
    }


def nested(levels: int) -> Any:
    """Return a value of so many levels."""
    value: Any = 1.0
    for number in range(levels):
        value = [value] if number % 2 else {"a": value}
    return value


def fields(count: int) -> dict[str, Any]:
    """Return an object with so many fields."""
    return dict.fromkeys(map(str, range(count)), 1.0)


@pytest.mark.parametrize("level", LEVELS)
def test_limits_hold_at_the_last_value_and_not_behind_it(level: Level) -> None:
    """16 levels, 1,024 fields, 8,192 items, names of 1,024 bytes, 1 MiB: the last is good, the next a fault."""
    path = "$.message.data.additional_kwargs"
    for good, bad, rule in [
        (nested(13), nested(14), "too-deep"),
        (fields(1024), fields(1025), "too-many-fields"),
        ({"a": [None] * 8192}, {"a": [None] * 8193}, "too-many-items"),
        ({"k" * 1024: 1.0}, {"k" * 1025: 1.0}, "key-too-long"),
    ]:  # fmt: skip
        assert rules(row({"content": "", "additional_kwargs": good}), level) == []
        ((found, where),) = rules(row({"content": "", "additional_kwargs": bad}), level)
        assert (found, where[: len(path)]) == (rule, path)
        assert_agree(dumps(row({"content": "", "additional_kwargs": bad})))
    room = (1 << 20) - 165
    sizes = [len(rules(row({"content": "x" * count}), level)) for count in (room - 200, room + 200)]
    assert sizes == [0, 1]


def test_the_size_is_that_of_the_stored_document() -> None:
    """To the byte, and system fields count also where Convex has yet to add them."""
    full = row({"content": ""}, _id="j" * 32, _creationTime=1.0)
    room = (1 << 20) - size_of(full)
    for extra, expected in ((0, []), (1, [("too-large", "$")])):
        full["message"]["data"]["content"] = "x" * (room + extra)
        assert rules(full) == expected
        assert rules({key: value for key, value in full.items() if not key.startswith("_")}) == expected


def test_many_short_numbers_are_large_in_convex() -> None:
    """A line far below 1 MiB may be a document above it: the fast check does not go by the line's length."""
    kwargs = {f"k{number}": [1.0] * 1000 for number in range(130)}
    raw = dumps(row({"content": "", "additional_kwargs": kwargs})).replace(b"1.0", b"1")
    assert len(raw) < 1 << 18
    assert rules(raw) == [("too-large", "$")]
    assert_agree(raw)


def test_a_line_just_below_the_limit_may_be_a_document_above_it() -> None:
    """A thousand numbers of one digit count for more in Convex than the line is long."""
    kwargs = {"n": [1.0] * 1000}
    text = "x" * ((1 << 20) - 6000)
    raw = dumps(row({"content": text, "additional_kwargs": kwargs})).replace(b"1.0", b"1")
    assert len(raw) < (1 << 20) - 1000
    assert rules(raw) == [("too-large", "$")]
    assert_agree(raw)


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        (b'"a":{"$ref":1}', ("dollar-key", '["$ref"]')),
        (b'"a":{"\\u0024ref":1}', ("dollar-key", '["$ref"]')),
        (b'"a":{"__proto__":{}}', ("proto-key", ".__proto__")),
        (b'"a":{"k\xc3\xa9":1}', ("key-characters", '["k\\u00e9"]')),
        (b'"a":{"k\\n":1}', ("key-characters", '["k\\n"]')),
        (b'"a":{"b":1,"b":2}', ("duplicate-key", ".b")),
        (b'"a":{"b":1,"\\u0062":2}', ("duplicate-key", ".b")),
        (b'"a":[{},"\\ud800"]', ("lone-surrogate", "[1]")),
        (b'"a":1e309', ("number-range", "")),
        (b'"a":-1' + b"0" * 400, ("number-range", "")),
        (b'"a":{"$integer":"AA=="}', ("bad-tag", "")),
        (b'"a":{"$bytes":1}', ("bad-tag", "")),
        (b'"a":{"$float":"%%%"}', ("bad-tag", "")),
    ],
)
def test_values_that_convex_refuses(piece: bytes, expected: tuple[str, str]) -> None:
    """Deep inside a field that nobody decodes, each is found, with its path, at every level."""
    raw = dumps(row({"content": "", "additional_kwargs": {}})).replace(
        b'"additional_kwargs":{}', b'"additional_kwargs":{%s}' % piece
    )
    rule, path = expected
    for level in LEVELS:
        assert rules(raw, level) == [(rule, f"$.message.data.additional_kwargs.a{path}")]
    assert_agree(raw)


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        (b"", "not-json"),
        (b'{"sessionId":"s"', "not-json"),
        (b"[]", "not-object"),
        (b'{"$integer":"AAAAAAAAAAA="}', "not-object"),
        (b'{"a":NaN}', "not-json"),
        (b'{"a":"\0"}', "not-json"),
        (b'{"a":"\xff"}', "not-utf8"),
        (b'\xef\xbb\xbf{"a":1}', "byte-order-mark"),
        (b"[" * 100_000, "too-deep"),
    ],
)
def test_records_that_are_none(raw: bytes, rule: str) -> None:
    """One fault, at every level; the rest of the record is not guessed at."""
    assert rules(raw, "documented") == rules(raw, "loadable") == [(rule, "$")]
    assert_agree(raw)


def test_numbers_that_are_rounded_are_a_warning() -> None:
    """2^53 + 1 and 2^63 + 1 as bare digits are float64 in this format; 2^53 and a tagged Int64 are exact."""
    for literal, count in (("9007199254740993", 1), ("9223372036854775809", 1), ("9007199254740992", 0), ("1e308", 0)):
        raw = dumps(row({"content": "", "additional_kwargs": {"n": "@"}})).replace(b'"@"', literal.encode())
        found, _ = explain(raw, NAMES, "js")
        assert [fault.rule for fault in found if fault.rule == "number-rounded"] == ["number-rounded"] * count
        assert_agree(raw)
    assert Checker().check(dumps(row({"content": "", "additional_kwargs": {"n": 2**53 + 1}}))).warnings == ()


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (row(_score=1.0), [("system-field", "$._score")]),
        (row(_id=1.0), [("system-value", "$._id")]),
        (row(_creationTime=-1.0), [("system-value", "$._creationTime")]),
        (row(_creationTime=5), [("system-value", "$._creationTime")]),
        ({"message": {"type": "human", "data": {"content": ""}}}, [("session-id", "$.sessionId")]),
        ({"sessionId": 1.0, "message": {"type": "human", "data": {"content": ""}}}, [("session-id", "$.sessionId")]),
        ({"sessionId": "s"}, [("message", "$.message")]),
        ({"sessionId": "s", "message": {"type": 1.0, "data": {"content": ""}}}, [("type", "$.message.type")]),
        ({"sessionId": "s", "message": {"type": "ai"}}, [("data", "$.message.data")]),
        ({"sessionId": "s", "message": {"type": "ai", "text": ""}}, [("flat-text", "$.message")]),
        ({"sessionId": "s", "message": {"type": "ai", "content": ""}}, [("flat-fields", "$.message")]),
        ({"sessionId": "s", "message": {"role": "user", "content": ""}}, [("openai", "$.message")]),
        ({"sessionId": "s", "message": {"type": "ai", "data": {"content": ""}, "x": 1.0}},
         [("message-field", "$.message.x")]),
        (row({}), [("content-missing", "$.message.data.content")]),
        (row({"content": None}), [("content-type", "$.message.data.content")]),
        (row({"content_blocks": []}), [("content-blocks", "$.message.data.content")]),
        (row({"content": ["a", 1.0]}), [("content-item", "$.message.data.content[1]")]),
        (row({"content": "", "role": None}), [("role-type", "$.message.data.role")]),
        (row({"content": "", "name": 1.0}), [("name-type", "$.message.data.name")]),
        (row({"content": "", "status": None}), [("field-type", "$.message.data.status")]),
        (row({"content": "", "type": "ai"}), [("type-differs", "$.message.data.type")]),
        (row({"content": "", "odd key": 1.0}), [("unknown-field", '$.message.data["odd key"]')]),
    ],
)  # fmt: skip
def test_shapes_that_langchain_does_not_write(record: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """Each with its path and rule at the level langchain."""
    assert rules(record) == expected
    assert_agree(dumps(record))


def test_a_bad_record_tells_every_fault() -> None:
    """Not the first one only."""
    record = row({"content": None, "role": 1.0, "odd": 1.0}, kind="human", _x=1.0)
    assert {rule for rule, _ in rules(record)} == {"content-type", "role-type", "unknown-field", "system-field"}
    assert Checker("documented").check(dumps(row({"content": "", "id": "x"}))).passes_at == WIDE


_TOTALS = {"input_tokens": 1.0, "output_tokens": 1.0, "total_tokens": 2.0}
LOADING: list[tuple[str, dict[str, Any], Language, list[str]]] = [
    ("tool", {"content": ""}, "js", ["tool-call-id"]),
    ("tool", {"content": "", "tool_call_id": "c", "status": "odd"}, "js", ["tool-status"]),
    ("tool", {"content": "", "tool_call_id": "c", "status": "error"}, "js", []),
    ("function", {"content": "", "name": None}, "js", ["function-name"]),
    ("function", {"content": "", "name": "f"}, "js", []),
    ("generic", {"content": ""}, "js", ["role-missing"]),
    ("generic", {"content": "", "role": "r"}, "js", []),
    ("generic", {"content": "", "role": "r"}, "python", ["type-language"]),
    ("chat", {"content": "", "role": "r"}, "python", []),
    ("chat", {"content": "", "role": "r"}, "js", ["type-language"]),
    ("remove", {"content": "", "id": "x"}, "python", ["type-remove"]),
    ("AIMessageChunk", {"content": ""}, "python", ["type-chunk"]),
    ("assistant", {"content": ""}, "js", ["type-unknown"]),
    ("ai", {"content": "", "tool_calls": None}, "js", ["tool-calls"]),
    ("ai", {"content": "", "tool_calls": [{"name": "f", "args": {}}]}, "js", ["tool-calls"]),
    ("ai", {"content": "", "tool_calls": [{"name": "f", "args": "{}", "id": None}]}, "js", ["tool-calls"]),
    ("ai", {"content": "", "tool_calls": [{"name": "f", "args": {}, "id": None}]}, "js", []),
    ("ai", {"content": "", "usage_metadata": {"input_tokens": 1.0}}, "js", ["usage", "usage"]),
    ("ai", {"content": "", "usage_metadata": {**_TOTALS, "input_tokens": 1.5}}, "js", ["usage"]),
    ("ai", {"content": "", "usage_metadata": {**_TOTALS, "input_tokens": 5}}, "js", []),
    ("ai", {"content": "", "usage_metadata": None}, "js", []),
    ("human", {"content": "", "additional_kwargs": None}, "python", ["kwargs-null"]),
    ("human", {"content": "", "additional_kwargs": None}, "js", []),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "data", "language", "expected"), LOADING)
def test_messages_that_langchain_cannot_read_back(
    kind: str, data: dict[str, Any], language: Language, expected: list[str]
) -> None:
    """Each type by its own rules, at the level loadable only."""
    record = row(data, kind=kind)
    assert [rule for rule, _ in rules(record, "loadable", language)] == expected
    assert rules(record, "langchain", language) == []
    assert_agree(dumps(record))


def test_warnings_are_no_faults() -> None:
    """Each of them, on records that pass every level but the first."""
    checker = Checker("loadable")
    for data, kind, rule in [
        ({"content": "", "additional_kwargs": {"a": {"__lc_escaped__": {"lc": 1.0}}}}, "human", "lc-escaped"),
        ({"content": "", "response_metadata": {"token_usage": {}}}, "ai", "other-language"),
        ({"content": "", "type": "ai"}, "ai", "data-type-js"),
        ({"content": "", "tool_call_id": "nobody"}, "tool", "orphan-result"),
    ]:
        verdict = checker.check(dumps(row(data, kind=kind)))
        assert (verdict.faults, [warning.rule for warning in verdict.warnings]) == ((), [rule])


@pytest.mark.parametrize("slow", [b"", b"\t"])
def test_results_are_matched_with_calls_of_their_session(slow: bytes) -> None:
    """LangChain's calls and OpenAI's raw ones; another session's call does not count; fast way and slow way alike."""
    checker = Checker("loadable")
    call = {"id": "c1", "name": "f", "args": {}}
    raw_call = {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    data = {"content": "", "tool_calls": [call], "additional_kwargs": {"tool_calls": [raw_call]}}
    assert checker.check(dumps(row(data, kind="ai")) + slow).warnings == ()
    for answered, session, count in (("c1", "s", 0), ("c2", "s", 0), ("c3", "s", 1), ("c1", "t", 1)):
        result = row({"content": "", "tool_call_id": answered}, kind="tool", sessionId=session)
        assert len(checker.check(dumps(result) + slow).warnings) == count


def test_other_field_names() -> None:
    """The session and message fields are called as the deployment calls them."""
    checker = Checker("documented", Names(session_field="chat", message_field="body"))
    good = {"chat": "s", "body": {"type": "human", "data": {"content": "Hi"}}}
    assert checker.check(dumps(good)).faults == ()
    assert [fault.path for fault in checker.check(dumps(row())).faults] == [
        "$.body",
        "$.chat",
        "$.message",
        "$.sessionId",
    ]


@given(st.sampled_from(sorted(RULES)))
def test_rules_have_sentences(name: str) -> None:
    """A rule is a short name and a sentence that fits into a line."""
    assert name == name.lower()
    assert 10 < len(RULES[name].sentence) < 90


def test_every_rule_is_documented() -> None:
    """docs/validate.md has a row for each rule, with its sentence, and for each level."""
    page = (Path(ROOT) / "docs" / "validate.md").read_text()
    for rule in RULES.values():
        assert f"\n| `{rule.name}` | {rule.sentence} |" in page
    assert all(f"\n| `{level}` | {meaning} |" in page for level, meaning in LEVELS.items())
