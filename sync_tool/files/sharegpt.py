"""ShareGPT's format, out only: a line is ``{"id", "conversations": [{"from", "value"}, …]}``, one session.

As the trainers Axolotl and LLaMA-Factory read it. Of a message it carries who spoke and the text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from sync_tool.files.conversations import ConversationWriter, Turn, block_name, spelled, tool_calls
from sync_tool.text import text_of_blocks

_FROM: Final = {"human": "human", "ai": "gpt", "system": "system", "tool": "observation", "function": "observation"}


class ShareGPTWriter(ConversationWriter):
    """Writes sessions as lines of ShareGPT's format."""

    def turns(self, kind: str, data: dict[str, Any]) -> Iterable[Turn]:
        """Return what stands for a message: what was said, then each call of a tool."""
        speaker = _FROM.get(kind) or (data.get("role") if kind == "generic" else None)
        if not isinstance(speaker, str):
            self.lost("messages of no known form")
            return
        for name in ("name", "tool_call_id"):
            self.lost(f"{name}s", isinstance(data.get(name), str))
        calls = list(tool_calls(data)) if kind == "ai" else []
        text = self._text(data.get("content"))
        if kind == "ai" and not text and not calls:
            self.lost_empty(data)
        elif text or not calls:
            yield {"from": speaker, "value": text}
        if self._training.drop_tools:
            self.lost("tool calls", len(calls))
            return
        for _, name, arguments in calls:
            given = msgspec.Raw(spelled(arguments).encode()) if not isinstance(arguments, str) else arguments
            yield {"from": "function_call", "value": msgspec.json.encode({"name": name, "arguments": given}).decode()}

    def system(self, text: str) -> Turn:
        """Return a system message."""
        return {"from": "system", "value": text}

    def is_answer(self, turn: Turn) -> bool:
        """Only what was said is an answer."""
        return bool(turn["from"] == "gpt")

    def around(self, session: str) -> tuple[bytes, bytes]:
        """The session's id stands before the list."""
        return b'{"id":' + msgspec.json.encode(session) + b',"conversations":[', b"]}"

    def _text(self, content: Any) -> str:
        if not isinstance(content, list):
            return content if isinstance(content, str) else ""
        for block in content:
            if isinstance(block, dict) and block.get("type") not in ("text", "tool_use", "tool_call"):
                self.lost(block_name(block))
        return text_of_blocks(content)
