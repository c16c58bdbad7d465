"""OpenAI's chat format: a line is ``{"messages": [{"role", "content", …}, …]}``, one session.

The mapping is that of langchain-core's ``convert_to_openai_messages`` and ``convert_to_messages``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from sync_tool.encoding.canonical import dumps
from sync_tool.errors import Damaged
from sync_tool.files.bytes import open_input
from sync_tool.files.conversations import ConversationWriter, Turn, arguments_text, part_name
from sync_tool.messages.blocks import values_of
from sync_tool.messages.normal import stored_of
from sync_tool.messages.openai import DEVELOPER, ROLES, from_turn
from sync_tool.messages.parts import Data, Media, Message, Part, Text, ToolCall, whole
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Names
from sync_tool.rows.reading import RowReader

_CARRIED: Final = ("refusal", "audio", "weight")
"""Fields of an assistant's turn that LangChain keeps in ``additional_kwargs``."""
_OWN_ID: Final = ("session_id", "sessionId", "conversation_id", "thread_id", "id")
_LINES_A_PAGE: Final = 1000
_LONGEST_ROW: Final = 16 << 20  # bytes; no row is longer, and of a longer line only the beginning is read
_BEGINS: Final = re.compile(rb'\s*\{(?:\s*"\w+"\s*:\s*"[^"\\]*"\s*,)*\s*"messages"\s*:\s*\[\s*\{')
_ANY_PARTS: Final = frozenset({"text", "image_url", "input_audio", "file", "refusal"})
"""Content parts of OpenAI's own."""
_PARTS: Final = {"user": _ANY_PARTS - {"refusal"}, "assistant": frozenset({"text", "refusal"}),
                 **dict.fromkeys(("system", "developer", "tool", "function"), frozenset({"text"}))}  # fmt: skip
"""Content parts that OpenAI takes from each role (its OpenAPI description, ``ChatCompletionRequest…ContentPart``)."""
_SAYING: Final = ("content", "tool_calls", "function_call", "refusal", "audio")
"""Fields of an assistant's turn, one of which it must have."""


class OpenAIWriter(ConversationWriter):
    """Writes sessions as lines of OpenAI's fine-tuning format."""

    def turns(self, message: Message) -> Iterable[Turn]:
        """Yield the turn of a message."""
        role, result = ROLES.get(message.type) or (message.role if message.type == "generic" else ""), message.result
        if message.type == "system" and message.extra.get(DEVELOPER) == "developer":
            role = "developer"
        if not role or (role == "tool" and (result is None or result.call_id is None)):
            self.lost("messages of no known form")
            return
        turn: Turn = {"role": role, "content": self._content(role, message)}
        if message.name is not None:
            turn["name"] = message.name
        if role == "tool" and result is not None:
            turn["tool_call_id"] = result.call_id
        if role == "assistant":
            self._add_calls(turn, list(message.calls))
            turn |= {key: whole(message.extra[key]) for key in _CARRIED if key in message.extra}
            if not any(map(turn.get, _SAYING)):
                self.lost_empty(message)
                return
        carried = (DEVELOPER, *_CARRIED) if role == "assistant" else (DEVELOPER,)
        self.lost("additional_kwargs", bool(message.extra.keys() - {*carried}))
        yield turn

    def system(self, text: str) -> Turn:
        """Return a system message."""
        return {"role": "system", "content": text}

    def is_answer(self, turn: Turn) -> bool:
        """Return whether the assistant said something; a call that waits for its result is no answer."""
        return turn["role"] == "assistant" and "tool_calls" not in turn and "function_call" not in turn

    def around(self, _: str) -> tuple[bytes, bytes]:
        """Return the line around the list, which has no other field: trainers refuse those they do not know."""
        return b'{"messages":[', b"]}"

    def _add_calls(self, turn: Turn, calls: list[ToolCall]) -> None:
        if self._training.drop_tools:
            self.lost("tool calls", len(calls))
            return
        for call in calls:
            function = {"name": call.name, "arguments": arguments_text(call)}
            if call.legacy:
                turn["function_call"] = whole(call.block)
            else:
                turn.setdefault("tool_calls", []).append({"id": call.id, "type": "function", "function": function})

    def _content(self, role: str, message: Message) -> Any:
        content = [part for part in message.content if not isinstance(part, ToolCall)]
        if len(content) == 1 and isinstance(content[0], Text) and content[0].block is None:
            return content[0].text
        parts = []
        for part in content:
            written = _part_of(part)
            if written is not None and written["type"] in _PARTS.get(role, _ANY_PARTS):
                parts.append(whole(written))
            else:
                self.lost(part_name(part))
        return parts or ""


def _part_of(part: Part) -> dict[str, Any] | None:
    """Return a part as a content part of OpenAI's; None if it has none for that."""
    block = part.value if isinstance(part, Data) else part.block
    if isinstance(block, dict) and isinstance(block.get("type"), str) and block["type"] in _ANY_PARTS:
        return block
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    return _medium(part) if isinstance(part, Media) else None


def _medium(media: Media) -> dict[str, Any] | None:
    url = media.url or (f"data:{media.media_type};base64,{media.data}" if media.data and media.media_type else None)
    if media.kind == "image" and url:
        return {"type": "image_url", "image_url": {"url": url}}
    if media.kind == "audio" and media.data and media.media_type:
        return {
            "type": "input_audio",
            "input_audio": {"data": media.data, "format": media.media_type.partition("/")[2]},
        }
    if media.kind == "file" and (media.file_id or (media.data and url)):
        fields = {"file_id": media.file_id, "file_data": url if media.data else None, "filename": media.name}
        return {"type": "file", "file": {name: value for name, value in fields.items() if value is not None}}
    return None


def is_openai(line: bytes, message_field: str) -> bool:
    """Return whether a line of JSONL is a conversation in this format, and no row."""
    if b'"messages"' not in line:
        return False
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(value, dict) and isinstance(value.get("messages"), list) and message_field not in value


def starts_as_openai(path: Path, message_field: str) -> bool:
    """Return whether the first line of a file that is not empty is a conversation in this format."""
    with open_input(path) as stream:
        line = next((line for line in iter(partial(stream.readline, _LONGEST_ROW), b"") if line.strip()), b"")
    return is_openai(line, message_field) if len(line) < _LONGEST_ROW else _BEGINS.match(line) is not None


def read_openai(path: Path, names: Names) -> Iterator[Page]:
    """Yield the messages of a file as rows without ids and times, in the file's order.

    A conversation is a session. Its id is the line's ``session_id``, ``sessionId``, ``conversation_id``,
    ``thread_id`` or ``id``, else the file's name and the number of the line.

    Raises:
        Damaged: a line that is no conversation; says which.
        UsageError: the file cannot be opened.
    """
    reader = RowReader(names)
    raws: list[bytes] = []
    size = 0
    with open_input(path) as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                value = values_of(msgspec.json.decode(line))
                session = _session_of(value, f"{path.name.partition('.')[0]}-{number:07d}")
                for message in _messages_of(value):
                    document = {names.session_field: session, names.message_field: message}
                    raws.append(dumps(document))
            except (ValueError, RecursionError) as error:
                raise Damaged(f"{path}, line {number}: {error}") from None
            size += len(line)
            if len(raws) >= _LINES_A_PAGE:
                yield reader.stored_page(raws, size)
                raws, size = [], 0
    if raws:
        yield reader.stored_page(raws, size)


def _session_of(value: Any, otherwise: str) -> str:
    found = (value.get(name) for name in _OWN_ID) if isinstance(value, dict) else ()
    return next((text for text in found if isinstance(text, str) and text), otherwise)


def _messages_of(value: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(value, dict) or not isinstance(value.get("messages"), list):
        raise ValueError("no conversation: there is no list of messages")  # noqa: TRY004  # a fault of the file
    for number, turn in enumerate(value["messages"], 1):
        if not isinstance(turn, dict) or not isinstance(turn.get("role"), str):
            raise ValueError(f"message {number} has no role")  # noqa: TRY004  # a fault of the file
        yield stored_of(from_turn(turn))
