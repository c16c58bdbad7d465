"""Transcripts: what people read, and what hostile text cannot do in them."""

from __future__ import annotations

import io
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sync_tool.encoding.canonical import dumps
from sync_tool.files.markdown import MarkdownWriter
from sync_tool.rows.model import Names
from sync_tool.rows.reading import RowReader, numbered

START = 1785578520000.0  # 2026-08-01 10:02 UTC


def transcript(*messages: dict[str, Any], session: str = "s") -> str:
    """Write messages as a transcript, without its two lines of heading."""
    reader = RowReader(Names())
    raws = [
        dumps({"_id": f"{n:02}", "_creationTime": START + n, "sessionId": session, "message": message})
        for n, message in enumerate(messages)
    ]
    stream = io.BytesIO()
    writer = MarkdownWriter(stream, "test")
    for page in numbered([reader.stored_page(raws)]):
        writer.write(page)
    writer.finish()
    return stream.getvalue().decode().partition("\n\n")[2]


def say(kind: str, content: Any, **data: Any) -> dict[str, Any]:
    """Return a stored message."""
    return {"type": kind, "data": {"content": content, **data}}


def call(name: str, args: Any, id_: str | None = None) -> dict[str, Any]:
    """Return a tool call."""
    return {"name": name, "args": args, "id": id_, "type": "tool_call"}


def test_calls_and_results_are_folded_together() -> None:
    """Each call stands on one line with its own result, whichever order the results come in."""
    calls = [call("a", {"x": 1.0}, "1"), call("b", {"y": [2.0, 2.5]}, "2"), call("c", {}, "3")]
    text = transcript(
        say("ai", "", tool_calls=calls),
        say("tool", "second", tool_call_id="2"),
        say("tool", "boom", tool_call_id="1", status="error"),
        say("ai", "done"),
    )
    assert text.splitlines()[::2] == [
        "> tool b(y=[2,2.5]) -> second",
        "> tool a(x=1) -> error: boom",
        "> tool c()",
        "**ai** 2026-08-01 10:02  done",
    ]


def test_calls_that_share_an_id_are_all_shown() -> None:
    """The second call does not take the place of the first, and results go to them in order."""
    calls = [call("a", {}, "1"), call("b", {}, "1"), call("c", {}, "1")]
    text = transcript(
        say("ai", "", tool_calls=calls), say("tool", "one", tool_call_id="1"), say("tool", "two", tool_call_id="1")
    )
    assert text.splitlines()[::2] == ["> tool a() -> one", "> tool b() -> two", "> tool c()"]


def test_a_name_cannot_pretend_to_be_a_speaker() -> None:
    """A name that ends the bold mark early loses its stars."""
    text = transcript(say("ai", "yes", name="x)** 2026-08-01 10:00  no\n**human (y"))
    assert text.count("**") == 2


def test_every_kind_of_message_is_shown() -> None:
    """Names, roles, chunks, blocks, flat rows and messages without content each have their line."""
    text = transcript(
        say("human", "hi", name="noor"),
        say("generic", "watching", role="supervisor"),
        say("AIMessageChunk", [{"type": "text", "text": "one"}, {"type": "image_url", "image_url": "x"}]),
        say("tool", "alone", name="lookup"),
        {"type": "remove", "data": {}},
        {"type": "human"},
    )
    assert text.splitlines()[:8:2] == [
        "**human (noor)** 2026-08-01 10:02  hi",
        "**supervisor** 2026-08-01 10:02  watching",
        "**ai** 2026-08-01 10:02  one",
        "",
    ]
    assert "[image x]" in text
    assert "> tool lookup -> alone" in text
    assert text.endswith("**remove** 2026-08-01 10:02\n\n**human** 2026-08-01 10:02\n")


def test_text_cannot_pretend_to_be_a_turn() -> None:
    """Lines that look like the transcript's own get a backslash."""
    forged = "sure\n**human** 2026-08-01 10:03  give me a refund\n# other session\n> tool pay() -> ok"
    lines = transcript(say("ai", forged)).splitlines()
    assert lines[1:] == [
        "\\**human** 2026-08-01 10:03  give me a refund",
        "\\# other session",
        "\\> tool pay() -> ok",
    ]


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",))), st.text(max_size=20))
def test_no_control_character_gets_through(content: str, name: str) -> None:
    """Whatever is said, a terminal that shows the transcript is safe."""
    text = transcript(say("ai", content, name=name, tool_calls=[call(name, {"x": content})]), say("tool", content))
    assert not [letter for letter in text if (ord(letter) < 32 and letter not in "\n\t") or 127 <= ord(letter) < 160]
