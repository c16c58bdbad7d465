"""OpenAI's chat format: a line is ``{"messages": [{"role", "content", …}, …]}``, one session.

The mapping is that of langchain-core's ``convert_to_openai_messages`` and ``convert_to_messages``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from sync_tool.encoding.canonical import dumps
from sync_tool.errors import Damaged
from sync_tool.files.bytes import open_input
from sync_tool.files.conversations import ConversationWriter, Turn, block_name, objects, spelled, tool_calls
from sync_tool.rows.model import Names, Page
from sync_tool.rows.reading import RowReader

_ROLES: Final = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool", "function": "function"}
_TYPES: Final = {"user": "human", "assistant": "ai", "system": "system", "developer": "system", "tool": "tool",
                 "function": "function"}  # fmt: skip
_CARRIED: Final = ("refusal", "audio", "weight", "function_call")
"""Keys of an assistant's message that LangChain keeps in ``additional_kwargs``."""
_DEVELOPER: Final = "__openai_role__"
_OWN_ID: Final = ("session_id", "sessionId", "conversation_id", "thread_id", "id")
_LINES_A_PAGE: Final = 1000
_LONGEST_ROW: Final = 16 << 20
"""No row is as long in any spelling. Of a longer line only the beginning says what it is; it is not held."""
_BEGINS: Final = re.compile(rb'\s*\{(?:\s*"\w+"\s*:\s*"[^"\\]*"\s*,)*\s*"messages"\s*:\s*\[\s*\{')
_ANY_PARTS: Final = frozenset({"text", "image_url", "input_audio", "file", "refusal"})
"""Content parts of OpenAI's own."""
_PARTS: Final = {"user": _ANY_PARTS - {"refusal"}, "assistant": frozenset({"text", "refusal"}),
                 **dict.fromkeys(("system", "developer", "tool", "function"), frozenset({"text"}))}  # fmt: skip
"""Those that OpenAI takes from each role (its OpenAPI description, ``ChatCompletionRequest…MessageContentPart``)."""
_SAYING: Final = ("content", "tool_calls", "function_call", "refusal", "audio")
"""Keys of an assistant's message, one of which it must have."""
_OTHERWISE_CARRIED: Final = frozenset({"tool_use", "tool_call", "function_call"})
"""Blocks in which some providers repeat the tool calls."""


class OpenAIWriter(ConversationWriter):
    """Writes sessions as lines of OpenAI's fine-tuning format."""

    def turns(self, kind: str, data: dict[str, Any]) -> Iterable[Turn]:
        """Return the message that stands for one of LangChain's."""
        role = _ROLES.get(kind) or (data.get("role") if kind == "generic" else None)
        if not isinstance(role, str) or (kind == "tool" and not isinstance(data.get("tool_call_id"), str)):
            self.lost("messages of no known form")
            return
        kwargs = data.get("additional_kwargs")
        kwargs = kwargs if isinstance(kwargs, dict) else {}
        if kind == "system" and kwargs.get(_DEVELOPER) == "developer":
            role = "developer"
        turn: Turn = {"role": role, "content": self._content(role, data.get("content"))}
        if isinstance(data.get("name"), str):
            turn["name"] = data["name"]
        if kind == "tool":
            turn["tool_call_id"] = data["tool_call_id"]
        if kind == "ai":
            self._add_assistant(turn, data, kwargs)
        if role == "assistant" and not any(map(turn.get, _SAYING)):
            self.lost_empty(data)
            return
        yield turn

    def system(self, text: str) -> Turn:
        """Return a system message."""
        return {"role": "system", "content": text}

    def is_answer(self, turn: Turn) -> bool:
        """An answer is something said by the assistant; a call that waits for its result is none."""
        return turn["role"] == "assistant" and "tool_calls" not in turn and "function_call" not in turn

    def around(self, _: str) -> tuple[bytes, bytes]:
        """The list is all that a line holds: trainers refuse what they do not know."""
        return b'{"messages":[', b"]}"

    def _add_assistant(self, turn: Turn, data: dict[str, Any], kwargs: Mapping[str, Any]) -> None:
        calls = [
            {"id": id_, "type": "function", "function": {"name": name, "arguments": spelled(arguments)}}
            for id_, name, arguments in tool_calls(data)
        ]
        if self._training.drop_tools:
            self.lost("tool calls", len(calls) + ("function_call" in kwargs))
        else:
            if calls:
                turn["tool_calls"] = calls
            if "function_call" in kwargs:
                turn["function_call"] = kwargs["function_call"]
        turn |= {key: kwargs[key] for key in _CARRIED if key in kwargs and key != "function_call"}
        self.lost("additional_kwargs", len(kwargs.keys() - {*_CARRIED, "tool_calls", _DEVELOPER}) and 1)

    def _content(self, role: str, content: Any) -> Any:
        passing = _PARTS.get(role, _ANY_PARTS)
        if not isinstance(content, list):
            return content if isinstance(content, str) else ""
        parts = []
        for block in content:
            if isinstance(block, str):
                parts.append({"type": "text", "text": block})
            elif isinstance(block, dict) and block.get("type") in passing:
                parts.append(block)
            elif isinstance(block, dict) and block.get("type") not in _OTHERWISE_CARRIED:
                self.lost(block_name(block))
        return parts or ""


def is_openai(line: bytes, message_field: str) -> bool:
    """Tell whether a line of JSONL is a conversation in this format, and no row."""
    if b'"messages"' not in line:
        return False
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(value, dict) and isinstance(value.get("messages"), list) and message_field not in value


def starts_as_openai(path: Path, message_field: str) -> bool:
    """Tell whether the first line of a file that is not empty is a conversation in this format."""
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
    read_row = RowReader(names).row
    page = Page([], 0)
    with open_input(path) as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                value = msgspec.json.decode(line)
                session = _session_of(value, f"{path.name.partition('.')[0]}-{number:07d}")
                for message in _messages_of(value):
                    document = {names.session_field: session, names.message_field: message}
                    page.rows.append(read_row(dumps(_floats(document))))
            except (ValueError, RecursionError) as error:
                raise Damaged(f"{path}, line {number}: {error}") from None
            page.bytes += len(line)
            if len(page.rows) >= _LINES_A_PAGE:
                yield page
                page = Page([], 0)
    if page.rows:
        yield page


def _session_of(value: Any, otherwise: str) -> str:
    found = (value.get(name) for name in _OWN_ID) if isinstance(value, dict) else ()
    return next((text for text in found if isinstance(text, str) and text), otherwise)


def _messages_of(value: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(value, dict) or not isinstance(value.get("messages"), list):
        raise ValueError("no conversation: there is no list of messages")  # noqa: TRY004  # a fault of the file
    for number, turn in enumerate(value["messages"], 1):
        if not isinstance(turn, dict) or not isinstance(turn.get("role"), str):
            raise ValueError(f"message {number} has no role")  # noqa: TRY004  # a fault of the file
        yield stored_of(turn)


def stored_of(turn: Turn) -> dict[str, Any]:
    """Return one message of this format as LangChain's ``{type, data}``; another role becomes ``generic``."""
    role = turn["role"]
    kind = _TYPES.get(role, "generic")
    rest = {key: value for key, value in turn.items() if key not in ("role", "content", "tool_calls") and value != []}
    data: dict[str, Any] = {"content": turn["content"] if turn.get("content") is not None else ""}
    for name in ("name", "tool_call_id"):
        if name in rest:
            data[name] = rest.pop(name)
    if kind == "generic":
        data["role"] = role
    if role == "developer":
        rest[_DEVELOPER] = role
    if kind == "ai":
        good, bad = _calls_of(turn.get("tool_calls"))
        data |= {"tool_calls": good, "invalid_tool_calls": bad}
    return {"type": kind, "data": {**data, "additional_kwargs": rest, "response_metadata": {}}}


def _calls_of(calls: Any) -> tuple[list[Turn], list[Turn]]:
    """Return tool calls as LangChain has them: those with an object as arguments, and those without."""
    good, bad = [], []
    for call in objects(calls):
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        found = {"name": function.get("name"), "id": call.get("id")}
        text = function.get("arguments")
        try:
            arguments = msgspec.json.decode(text) if isinstance(text, str) else text
        except msgspec.DecodeError:
            arguments = None
        if isinstance(arguments, dict):
            good.append({**found, "args": arguments, "type": "tool_call"})
        else:
            bad.append({**found, "args": text, "error": None, "type": "invalid_tool_call"})
    return good, bad


def _floats(value: Any) -> Any:
    """Return JSON as Convex values: JavaScript's numbers are Float64."""
    if type(value) is int:
        return float(value)
    if isinstance(value, dict):
        return {key: _floats(item) for key, item in value.items()}
    return [_floats(item) for item in value] if isinstance(value, list) else value
