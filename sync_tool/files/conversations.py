"""Conversations for fine-tuning: one session a line; content that a line cannot carry is counted.

The formats themselves are `sync_tool.files.openai` and `sync_tool.files.sharegpt`.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, Final, Literal

import msgspec

from sync_tool.messages.normal import normal
from sync_tool.messages.parts import Data, Media, Message, Part, ToolCall, whole
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Row

Turn = dict[str, Any]
"""One element of the list that a line holds."""

_IN_MEMORY: Final = 1 << 20
_LISTED: Final = 1000
"""Most sessions that a report lists for one reason; all are counted."""
_IMAGES: Final = ("image", "image_url", "image_file", "input_image", "media")
_USUAL: Final = ("response_metadata", "usage_metadata", "ids")


@dataclass(frozen=True, slots=True)
class Training:
    """Options of both formats."""

    system: str | None = None
    """Begins every conversation, and replaces its own system messages."""
    drop_tools: bool = False
    """Leave out tool calls and their results."""
    end_with: Literal["assistant"] | None = None
    """Leave out conversations with another end."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A count, and the first 1,000 sessions that it comes from."""

    count: int
    sessions: tuple[str, ...]


@dataclass(slots=True)
class Losses:
    """Counts of content that was left out or not carried, by reason."""

    counts: Counter[str] = field(default_factory=Counter)
    sessions: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, count: int, session: str) -> None:
        """Count something of a session."""
        self.counts[reason] += count
        listed = self.sessions.setdefault(reason, [])
        if len(listed) < _LISTED:
            listed.append(session)

    def report(self) -> dict[str, Counted]:
        """Return the counts with their sessions: fields that nearly every message has first, then by count."""
        names = sorted(self.counts, key=lambda name: (_USUAL.index(name) if name in _USUAL else 9, -self.counts[name]))
        return {name: Counted(self.counts[name], tuple(self.sessions[name])) for name in names}


class ConversationWriter(ABC):
    """Writes one line a session; a session is kept on disk until its end is known."""

    def __init__(self, stream: BinaryIO, training: Training) -> None:
        self._stream = stream
        self._training = training
        self._session: _Session | None = None
        self.written = 0
        """Conversations."""
        self.left_out = Losses()
        """Sessions that the options leave out."""
        self.not_carried = Losses()
        """Content of the written conversations that their lines do not hold."""

    @abstractmethod
    def turns(self, message: Message) -> Iterable[Turn]:
        """Yield the turns of a message, and count with `lost` whatever they do not hold."""

    @abstractmethod
    def system(self, text: str) -> Turn:
        """Return a system message."""

    @abstractmethod
    def is_answer(self, turn: Turn) -> bool:
        """Return whether a turn is an answer of the assistant."""

    @abstractmethod
    def around(self, session: str) -> tuple[bytes, bytes]:
        """Return the bytes before and behind the turns of a line."""

    def write(self, page: Page) -> None:
        """Append the rows of a page."""
        for row in page.rows:
            if row.n == 1 or self._session is None:
                self._end()
                self._session = _Session(row)
                if self._training.system is not None:
                    self._session.add(self.system(self._training.system))
            self._add(self._session, row)

    def finish(self) -> None:
        """Write the last session."""
        self._end()

    def close(self) -> None:
        """Drop a session that was not finished."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def lost(self, what: str, count: int = 1) -> None:
        """Count content of the current message that its turns do not hold."""
        if self._session is not None and count:
            self._session.lost[what] += count

    def lost_empty(self, message: Message) -> None:
        """Count an answer that says nothing, unless its calls were dropped and counted."""
        if not (self._training.drop_tools and any(message.calls)):
            self.lost("empty answers")

    def _add(self, session: _Session, row: Row) -> None:
        message = normal(row.message)
        result = message.result
        self.lost("ids", bool(row.id))
        self.lost("response_metadata", bool(message.metadata))
        self.lost("usage_metadata", message.usage is not None)
        self.lost("artifact", result is not None and bool(result.artifact))
        if self._training.system is not None and message.type == "system":
            self.lost("system messages")
        elif self._training.drop_tools and result is not None:
            self.lost("tool results")
        else:
            for turn in self.turns(message):
                session.add(turn)

    def _end(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        with closing(session):
            reason = self._objection(session)
            if reason is not None:
                self.left_out.add(reason, 1, session.name)
                return
            before, behind = self.around(session.name)
            self._stream.write(before)
            session.copy_to(self._stream)
            self._stream.write(behind + b"\n")
            self.written += 1
            for what, count in session.lost.items():
                self.not_carried.add(what, count, session.name)

    def _objection(self, session: _Session) -> str | None:
        if session.last is None or session.turns == (self._training.system is not None):
            return "hold nothing that can be carried"
        if self._training.end_with == "assistant" and not self.is_answer(session.last):
            return "do not end with assistant"
        return None


class _Session:
    """The turns of one session."""

    def __init__(self, first: Row) -> None:
        self.name = first.session if isinstance(first.session, str) else repr(first.session)
        self.turns = 0
        self.last: Turn | None = None
        self.lost: Counter[str] = Counter()
        self._body = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # closed in close()

    def add(self, turn: Turn) -> None:
        """Append a turn."""
        self._body.write((b"," if self.turns else b"") + msgspec.json.encode(turn))
        self.turns += 1
        self.last = turn

    def copy_to(self, stream: BinaryIO) -> None:
        """Write all turns."""
        self._body.seek(0)
        shutil.copyfileobj(self._body, stream)

    def close(self) -> None:
        """Give back the temporary file."""
        self._body.close()


def arguments_text(call: ToolCall) -> str:
    """Return a call's arguments as JSON text; of arguments that could not be parsed, the text as it was."""
    if isinstance(call.arguments, str):
        return call.arguments
    return msgspec.json.encode(whole(call.arguments or {})).decode()


def part_name(part: Part) -> str:
    """Return the name of a part that cannot be carried, as the report has it."""
    block = part.value if isinstance(part, Data) else part.block
    kind = block.get("type") if isinstance(block, dict) else None
    if kind in _IMAGES or (isinstance(part, Media) and part.kind == "image"):
        return "images"
    return f"{kind if isinstance(kind, str) else getattr(part, 'kind', 'unknown')} blocks"
