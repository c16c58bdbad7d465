"""Fine-tuning sets: OpenAI's format both ways, ShareGPT out, and what neither carries is counted."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import convert_to_messages, convert_to_openai_messages

import sync_tool as cm
from running import ROOT, convex_msgs
from sync_tool.files.source import MessageFile
from sync_tool.langchain import message_of
from sync_tool.messages.normal import stored_of
from sync_tool.messages.openai import from_turn
from sync_tool.rows.model import Names
from sync_tool.rows.reading import RowReader
from values import TEXT

SAMPLE = ROOT / "sample_data" / "messages.jsonl"
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
CONVERSATION = [
    {"role": "developer", "content": "Be kind."},
    {"role": "user", "content": "Hi", "name": "Jim"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "7", "tool_call_id": "c1"},
    {"role": "assistant", "content": "Seven.", "weight": 1},
    {"role": "function", "content": "ok", "name": "f"},
    {"role": "critic", "content": "Hm."},
    {"role": "user", "content": [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "x"}}]},
    {"role": "assistant", "content": "I see."},
]


def rows_file(path: Path, *sessions: list[dict[str, Any]]) -> Path:
    """Write sessions of messages as rows with ids and times."""
    rows = [
        {"_id": f"i{n}-{m}", "_creationTime": 1e12 + 1e9 * n + m, "sessionId": f"s{n}", "message": message}
        for n, messages in enumerate(sessions)
        for m, message in enumerate(messages)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def said(kind: str, content: Any, **data: Any) -> dict[str, Any]:
    """Return a stored message."""
    return {"type": kind, "data": {"content": content, **data}}


def lines(path: Path) -> list[Any]:
    """Return the JSON of each line."""
    return [json.loads(line) for line in path.read_text().split("\n") if line]


def test_a_conversation_comes_back_as_it_was(tmp_path: Path) -> None:
    """OpenAI's format in and out again: every role, calls, results, images, names and weights."""
    source = tmp_path / "in.jsonl"
    source.write_text(
        json.dumps({"messages": CONVERSATION}) + "\n\n" + json.dumps({"messages": CONVERSATION[:2]}) + "\n"
    )
    report = cm.convert(source, tmp_path / "out.jsonl", format="openai")
    assert [line["messages"] for line in lines(tmp_path / "out.jsonl")] == [CONVERSATION, CONVERSATION[:2]]
    assert report.training is not None
    assert (report.training.conversations, report.training.left_out, report.training.not_carried) == (2, {}, {})
    assert [info.session for info in cm.open(source).sessions()] == ["in-0000001", "in-0000003"]


@pytest.mark.parametrize("turn", [*CONVERSATION[:6], *CONVERSATION[7:]], ids=lambda turn: turn["role"])
def test_reading_agrees_with_langchain(turn: dict[str, Any]) -> None:
    """The stored message is the one that LangChain itself makes of a turn."""
    row = {"sessionId": "s", "message": stored_of(from_turn(turn))}
    ours = message_of(RowReader(Names()).row(json.dumps(row).encode()))
    (theirs,) = convert_to_messages([turn])
    assert (type(ours), ours.content, ours.name) == (type(theirs), theirs.content, theirs.name)
    assert getattr(ours, "tool_calls", None) == getattr(theirs, "tool_calls", None)
    assert getattr(ours, "tool_call_id", None) == getattr(theirs, "tool_call_id", None)


def test_writing_agrees_with_langchain(tmp_path: Path) -> None:
    """Every message of the sample that LangChain can convert is written as LangChain writes it."""
    cm.convert(SAMPLE, tmp_path / "out.jsonl", format="openai", sessions=["cust-42", "cust-88", "team a/chat 1"])
    ours = [line["messages"] for line in lines(tmp_path / "out.jsonl")]
    for session, turns in zip(["cust-42", "cust-88", "team a/chat 1"], ours, strict=True):
        messages = cm.open(SAMPLE).messages(session=session).to_langchain()
        assert len(messages) == len(turns)
        for message, turn in zip(messages, turns, strict=True):
            if message.type == "chat":  # LangChain refuses roles of one's own
                continue
            theirs = convert_to_openai_messages(message)
            for call in [*theirs.get("tool_calls", []), *turn.get("tool_calls", [])]:
                call["function"]["arguments"] = json.loads(call["function"]["arguments"])
            assert {key: turn.get(key) for key in ("role", "tool_calls", "tool_call_id", "name")} == {
                key: theirs.get(key) for key in ("role", "tool_calls", "tool_call_id", "name")
            }
            if isinstance(message.content, str):
                assert turn["content"] == (theirs["content"] or "")


TURNS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "developer"]), "content": TEXT})
    | st.fixed_dictionaries({"role": st.just("assistant"), "content": TEXT.filter(bool)})
    | st.fixed_dictionaries({"role": st.just("tool"), "content": TEXT, "tool_call_id": TEXT}),
    min_size=1,
    max_size=5,
)


@settings(max_examples=25)
@given(st.lists(TURNS, min_size=1, max_size=5))
def test_any_conversations_come_back(tmp_path_factory: pytest.TempPathFactory, conversations: list[Any]) -> None:
    """Order inside and between conversations is kept, through rows without times or ids."""
    folder = tmp_path_factory.mktemp("any")
    source = folder / "in.jsonl"
    source.write_text("".join(json.dumps({"messages": turns}) + "\n" for turns in conversations))
    cm.convert(source, folder / "rows.jsonl")
    cm.convert(folder / "rows.jsonl", folder / "out.jsonl", format="openai")
    assert [line["messages"] for line in lines(folder / "out.jsonl")] == conversations


def test_ids_of_ones_own(tmp_path: Path) -> None:
    """A line that names its session keeps the name, in whatever order the lines are."""
    source = tmp_path / "in.jsonl"
    given_ids = [("session_id", "z"), ("id", "a"), ("thread_id", "m")]
    source.write_text("".join(json.dumps({name: id_, "messages": CONVERSATION[:1]}) + "\n" for name, id_ in given_ids))
    assert [info.session for info in cm.open(source).sessions()] == ["a", "m", "z"]


@pytest.mark.parametrize(
    ("begin", "kind"),
    [
        (b'{"id":"a","messages":[{"role":"user","content":"', "openai"),
        (b'{"sessionId":"a","message":{"content":"', "jsonl"),
        (b'{"note":"\\"messages\\":[{', "jsonl"),
    ],
)
def test_what_a_very_long_line_is_shows_at_its_beginning(tmp_path: Path, begin: bytes, kind: str) -> None:
    """A first line that no row can have the length of is recognised by its beginning, without being held in memory."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(begin + b"x" * (64 << 20) + b'"}]}\n')
    tracemalloc.start()
    assert MessageFile(path).format == kind
    assert tracemalloc.get_traced_memory()[1] < 40 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"messages": 7}', "no list of messages|no conversation"),
        ('{"messages": [{"content": "x"}]}', "message 1 has no role"),
        ('{"messages": [', "truncated"),
        ("[]", "no conversation"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    """File and line, and why."""
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps({"messages": CONVERSATION}) + "\n" + line + "\n")
    with pytest.raises(cm.Damaged, match=f"in.jsonl, line 2: .*({words})"):
        cm.convert(source, tmp_path / "out.jsonl")


def test_validate_reads_conversations(tmp_path: Path) -> None:
    """Each message is a record; one without an answer's call id is a fault of its row."""
    source = tmp_path / "in.jsonl"
    bad = {"role": "tool", "content": "x"}
    source.write_text(json.dumps({"messages": [*CONVERSATION, bad]}) + "\n")
    report = cm.validate(source, level="loadable")
    assert (report.rows, report.bad_rows) == (10, 1)


HISTORY = (
    [said("system", "Own."), said("human", "Hi"), said("ai", "Hello", response_metadata={"m": 1.0})],
    [said("human", "Hi"), said("ai", "", tool_calls=[{"name": "f", "args": {"a": 1.0}, "id": "c"}]),
     said("tool", "7", tool_call_id="c", artifact={"x": 1.0}),
     said("ai", "Seven.", usage_metadata={"input_tokens": 1.0, "output_tokens": 1.0, "total_tokens": 2.0})],
    [said("human", "Hi"), said("ai", "Hello"), said("human", "Are you there?")],
    [said("human", [{"type": "text", "text": "Look"}, {"type": "image", "source": {}}]), said("AIMessageChunk", "Yes")],
)  # fmt: skip


def test_the_options(tmp_path: Path) -> None:
    """--system replaces, --drop-tools drops, --end-with leaves out; the report says what became of everything."""
    source = rows_file(tmp_path / "rows.jsonl", *HISTORY)
    report = cm.convert(
        source, tmp_path / "o.jsonl", format="openai", system="Be brief.", drop_tools=True, end_with="assistant"
    )
    system = {"role": "system", "content": "Be brief."}
    assert [line["messages"] for line in lines(tmp_path / "o.jsonl")] == [
        [system, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
        [system, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Seven."}],
        [system, {"role": "user", "content": [{"type": "text", "text": "Look"}]},
         {"role": "assistant", "content": "Yes"}],
    ]  # fmt: skip
    found = report.training
    assert found is not None
    assert (found.conversations, found.sessions) == (3, 4)
    assert {name: (one.count, one.sessions) for name, one in found.left_out.items()} == {
        "do not end with assistant": (1, ("s2",))
    }
    assert {name: (one.count, one.sessions) for name, one in found.not_carried.items()} == {
        "response_metadata": (1, ("s0",)),
        "usage_metadata": (1, ("s1",)),
        "ids": (9, ("s0", "s1", "s3")),
        "system messages": (1, ("s0",)),
        "tool calls": (1, ("s1",)),
        "tool results": (1, ("s1",)),
        "artifact": (1, ("s1",)),
        "images": (1, ("s3",)),
    }


def test_sharegpt(tmp_path: Path) -> None:
    """Speaker and text; calls and results by ShareGPT's names; nothing may end with a call."""
    source = rows_file(tmp_path / "rows.jsonl", *HISTORY)
    report = cm.convert(source, tmp_path / "s.jsonl", format="sharegpt", end_with="assistant")
    assert lines(tmp_path / "s.jsonl")[:2] == [
        {"id": "s0", "conversations": [
            {"from": "system", "value": "Own."}, {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"},
        ]},
        {"id": "s1", "conversations": [
            {"from": "human", "value": "Hi"}, {"from": "function_call", "value": '{"name":"f","arguments":{"a":1}}'},
            {"from": "observation", "value": "7"}, {"from": "gpt", "value": "Seven."},
        ]},
    ]  # fmt: skip
    assert report.training is not None
    assert report.training.not_carried["tool_call_ids"].count == 1


@pytest.mark.parametrize("kind", ["openai", "sharegpt"])
def test_an_answer_that_says_nothing_is_not_taught(tmp_path: Path, kind: str) -> None:
    """Without text and calls, whatever there was before, an answer is left out and counted."""
    thought = said("ai", [{"type": "redacted_thinking", "data": "x"}])
    source = rows_file(tmp_path / "rows.jsonl", [said("human", "Hi"), thought, said("ai", ""), said("ai", "Hello")])
    report = cm.convert(source, tmp_path / "o.jsonl", format=kind)
    (line,) = lines(tmp_path / "o.jsonl")
    assert len(line["messages" if kind == "openai" else "conversations"]) == 2
    assert report.training is not None
    assert report.training.not_carried["empty answers"].count == 2


def test_each_role_has_the_parts_that_openai_takes_from_it(tmp_path: Path) -> None:
    """An image is the user's; in a tool's result or an answer it is counted and only the text stays."""
    text, image = {"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "x"}}
    kinds = [("human", {}), ("ai", {}), ("tool", {"tool_call_id": "c"}), ("system", {})]
    source = rows_file(tmp_path / "rows.jsonl", [said(kind, [text, image], **data) for kind, data in kinds])
    report = cm.convert(source, tmp_path / "o.jsonl", format="openai")
    (line,) = lines(tmp_path / "o.jsonl")
    assert [turn["content"] for turn in line["messages"]] == [[text, image], [text], [text], [text]]
    assert report.training is not None
    assert report.training.not_carried["images"].count == 3


def test_an_int64_stays_a_number_and_odd_types_are_counted(tmp_path: Path) -> None:
    """Int64 arguments are JSON numbers; a block whose type is a list and content that is a number stop nothing."""
    args = {"order": {"$integer": "AQAAAAAAACA="}, "days": 2.0}  # 2**61 + 1
    source = rows_file(
        tmp_path / "rows.jsonl",
        [said("human", 7), said("human", [{"type": ["text"]}, "Hi"]),
         said("ai", "", tool_calls=[{"name": "f", "args": args, "id": "c"}])],
    )  # fmt: skip
    report = cm.convert(source, tmp_path / "o.jsonl", format="openai")
    cm.convert(source, tmp_path / "s.jsonl", format="sharegpt")
    *said_turns, call = lines(tmp_path / "o.jsonl")[0]["messages"]
    assert [turn["content"] for turn in said_turns] == ["", [{"type": "text", "text": "Hi"}]]
    assert json.loads(call["tool_calls"][0]["function"]["arguments"]) == {"order": 2**61 + 1, "days": 2}
    assert f'"order":{2**61 + 1}' in lines(tmp_path / "s.jsonl")[0]["conversations"][-1]["value"]
    assert report.training is not None
    assert report.training.not_carried["unknown blocks"].count == 2


def test_media_of_other_providers_are_carried(tmp_path: Path) -> None:
    """Images, sounds and files in Anthropic's, Google's or LangChain's blocks become OpenAI's parts."""
    blocks = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}},
        {"type": "audio", "base64": "QQ==", "mime_type": "audio/wav"},
        {"type": "media", "mime_type": "application/pdf", "data": "QQ=="},
    ]
    source = rows_file(tmp_path / "rows.jsonl", [said("human", blocks), said("ai", "A.")])
    report = cm.convert(source, tmp_path / "o.jsonl", format="openai")
    assert lines(tmp_path / "o.jsonl")[0]["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}},
        {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,QQ=="}},
    ]
    assert report.training is not None
    assert report.training.not_carried.keys() == {"ids"}


def test_what_the_user_reads(tmp_path: Path) -> None:
    """The lines of the command: how many of how many, what was left out and why, what was not carried."""
    rows_file(tmp_path / "rows.jsonl", *HISTORY, [said("human", "old"), said("ai", "old")])
    text = (tmp_path / "rows.jsonl").read_text().replace('"_creationTime": 1004', '"_creationTime": 904')
    (tmp_path / "rows.jsonl").write_text(text)
    (tmp_path / "prompt.txt").write_text("Be brief.\n")
    flags = ("-f", "openai", "--active-after", "2001-01-01", "--system", "prompt.txt", "--end-with", "assistant")
    done = convex_msgs("convert", "rows.jsonl", "-o", "train.jsonl", *flags, cwd=tmp_path)
    assert (done.code, done.out) == (0, b"")
    assert "\n".join(done.err.splitlines()[-3:]) == (
        "3 of 5 sessions -> train.jsonl\n"
        "left out      1 do not end with assistant · 1 not active since 2001-01-01\n"
        "not carried   response_metadata 1 · usage_metadata 1 · ids 9 · system messages 1 · artifact 1 · "
        "images 1 (sessions listed with --json)"
    )
    assert lines(tmp_path / "train.jsonl")[0]["messages"][0] == {"role": "system", "content": "Be brief."}
    again = convex_msgs("convert", "rows.jsonl", "-o", "t.jsonl", *flags, "--json", cwd=tmp_path)
    assert json.loads(again.out)["training"]["not_carried"]["images"] == {"count": 1, "sessions": ["s3"]}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("-o", "a.jsonl", "--end-with", "assistant"), "-f openai or -f sharegpt"),
        (("-o", "a.md", "-f", "openai"), "md"),
        (("-o", "a.jsonl", "-f", "openai", "--system", "missing.txt"), "no file 'missing.txt'"),
        (("-o", "folder/", "-f", "openai"), "not a format for the files of a folder"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, flags: tuple[str, ...], words: str) -> None:
    """Options without their format, a contradicting suffix, a mistyped file, a folder."""
    rows_file(tmp_path / "rows.jsonl", *HISTORY)
    done = convex_msgs("convert", "rows.jsonl", *flags, cwd=tmp_path)
    assert done.code == 2
    assert words in done.err


def test_a_compressed_set_and_standard_output(tmp_path: Path) -> None:
    """`.jsonl.gz` works both ways, and so does stdout."""
    rows_file(tmp_path / "rows.jsonl", *HISTORY)
    assert convex_msgs("convert", "rows.jsonl", "-o", "a.jsonl.gz", "-f", "openai", cwd=tmp_path).code == 0
    done = convex_msgs("convert", "a.jsonl.gz", "-f", "openai", cwd=tmp_path)
    assert len(done.out.splitlines()) == 4
    assert b'"conversations"' in convex_msgs("convert", "a.jsonl.gz", "-f", "sharegpt", cwd=tmp_path).out
