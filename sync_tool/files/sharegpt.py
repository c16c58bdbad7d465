"""ShareGPT's format, out only: a line is ``{"id", "conversations": [{"from", "value"}, …]}``, one session.

As the trainers Axolotl and LLaMA-Factory read it. Of a message it carries who spoke and the text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from sync_tool.files.conversations import ConversationWriter, Turn, arguments_text, part_name
from sync_tool.messages.parts import Message, Text, ToolCall

_FROM: Final = {"human": "human", "ai": "gpt", "system": "system", "tool": "observation", "function": "observation"}


class ShareGPTWriter(ConversationWriter):
    """Writes sessions as lines of ShareGPT's format."""

    def turns(self, message: Message) -> Iterable[Turn]:
        """Yield the turns of a message: its text, then each call of a tool."""
        speaker = _FROM.get(message.type) or (message.role if message.type == "generic" else "")
        if not speaker:
            self.lost("messages of no known form")
            return
        result, text = message.result, message.text
        calls = list(message.calls) if message.type == "ai" else []
        self.lost("names", message.name is not None)
        self.lost("tool_call_ids", result is not None and result.call_id is not None)
        self.lost("additional_kwargs", bool(message.extra))
        for part in message.content:
            if not isinstance(part, Text | ToolCall):
                self.lost(part_name(part))
        if message.type == "ai" and not text and not calls:
            self.lost_empty(message)
        elif text or not calls:
            yield {"from": speaker, "value": text}
        if self._training.drop_tools:
            self.lost("tool calls", len(calls))
            return
        for call in calls:
            arguments = arguments_text(call)
            given = msgspec.Raw(arguments.encode()) if call.is_valid else arguments
            yield {
                "from": "function_call",
                "value": msgspec.json.encode({"name": call.name, "arguments": given}).decode(),
            }

    def system(self, text: str) -> Turn:
        """Return a system message."""
        return {"from": "system", "value": text}

    def is_answer(self, turn: Turn) -> bool:
        """Return whether the assistant said something; a call is no answer."""
        return bool(turn["from"] == "gpt")

    def around(self, session: str) -> tuple[bytes, bytes]:
        """Return the line around the list, with the id of the session."""
        return b'{"id":' + msgspec.json.encode(session) + b',"conversations":[', b"]}"
