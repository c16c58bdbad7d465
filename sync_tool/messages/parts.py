"""The normal form of a message, in which every dialect can be read: a role and typed parts.

Values inside are Convex values (`sync_tool.encoding.values`): a ``float`` stays one, and an ``int`` is an Int64.
Where a part was read from a block of list content, it keeps that block, so that a format that knows it can pass it on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

Block: TypeAlias = dict[str, Any]

_EXACT: Final = 2**53


@dataclass(frozen=True, slots=True)
class Text:
    """Something said."""

    text: str
    block: Block | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Thoughts of a model before its answer; empty text if the provider encrypts them."""

    text: str
    block: Block | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool."""

    id: str | None
    name: str
    arguments: Any
    """An object; anything else where the model wrote arguments that could not be parsed."""
    error: str | None = None
    state: str = ""
    """How far it got, in the words of layouts that store this (AI SDK: ``input-streaming``, ``output-denied``, …)."""
    legacy: bool = False
    """True for OpenAI's former ``function_call``, which has no id."""
    block: Block | None = field(default=None, repr=False)

    @property
    def is_valid(self) -> bool:
        """True if the arguments could be parsed."""
        return isinstance(self.arguments, dict) and self.error is None


@dataclass(frozen=True, slots=True)
class Media:
    """An image, a sound, a video or a file: inside the message, or a reference to it."""

    kind: Literal["image", "audio", "video", "file"]
    url: str | None = None
    data: str | None = field(default=None, repr=False)
    """The content as base64 text."""
    file_id: str | None = None
    media_type: str | None = None
    name: str | None = None
    block: Block | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Citation:
    """A page or document on which an answer rests."""

    url: str | None
    title: str | None = None
    block: Block | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Data:
    """Anything else, with the type that it names itself by; empty where it names none."""

    type: str
    value: Any


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The answer of a tool."""

    call_id: str | None
    content: tuple[Content, ...]
    name: str | None = None
    failed: bool = False
    artifact: Any = None
    block: Block | None = field(default=None, repr=False)


Content: TypeAlias = Text | Reasoning | Media | Citation | Data
Part: TypeAlias = Content | ToolCall | ToolResult


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as far as they are known."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A message of any dialect."""

    role: str
    """``human``, ``ai``, ``system``, ``tool``, ``function``, another role verbatim, or empty if there is none."""
    parts: tuple[Part, ...] = ()
    type: str = ""
    """The name that LangChain in JavaScript has for this kind of message; empty for none."""
    name: str | None = None
    id: str | None = None
    model: str | None = None
    usage: Usage | None = None
    error: str | None = None
    time: float | None = None
    """Milliseconds since 1970, in layouts whose messages hold their time."""
    extra: Block = field(default_factory=dict)
    """Fields of ``additional_kwargs`` that no part holds."""
    metadata: Block = field(default_factory=dict)
    """``response_metadata``: the words of the provider, from which `model` and perhaps `usage` are taken."""

    @property
    def text(self) -> str:
        """The texts, one a line; those of a tool's result where that is the whole message."""
        return "\n".join(part.text for part in self.content if isinstance(part, Text))

    @property
    def content(self) -> tuple[Part, ...]:
        """The parts; of a message that is a tool's result, what the result holds."""
        result = self.result
        return self.parts if result is None else result.content

    @property
    def calls(self) -> Iterator[ToolCall]:
        """The calls of tools."""
        return (part for part in self.parts if isinstance(part, ToolCall))

    @property
    def result(self) -> ToolResult | None:
        """The tool's result that this message is; None for every other message."""
        if self.type in ("tool", "function") and len(self.parts) == 1 and isinstance(self.parts[0], ToolResult):
            return self.parts[0]
        return None


def whole(value: Any) -> Any:
    """Return a value as a program means it: whole floats are ``int``, as before JavaScript made them Float64."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= _EXACT else value
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    return [whole(item) for item in value] if isinstance(value, list) else value
