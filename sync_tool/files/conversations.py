"""Conversations for fine-tuning: one session a line, and what such a line cannot carry is counted.

The formats themselves are `sync_tool.files.openai` and `sync_tool.files.sharegpt`.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, Final, Literal

import msgspec

from sync_tool.encoding.values import Value, encode_clean
from sync_tool.messages.rewrites import rewrite
from sync_tool.rows.model import Page, Row

Turn = dict[str, Any]
"""One element of the list that a line holds."""

_IN_MEMORY: Final = 1 << 20
_LISTED: Final = 1000
"""Sessions that a report lists for one reason; all are counted."""
_IMAGES: Final = frozenset({"image", "image_url", "image_file", "input_image", "media"})
_USUAL: Final = ("response_metadata", "usage_metadata", "ids")
_EXACT: Final = 2**53


@dataclass(frozen=True, slots=True)
class Training:
    """What the lines shall look like."""

    system: str | None = None
    """Stands first in every conversation, in the place of system messages of its own."""
    drop_tools: bool = False
    """Leave out tool calls and their results."""
    end_with: Literal["assistant"] | None = None
    """Leave out conversations that end otherwise."""


@dataclass(frozen=True, slots=True)
class Counted:
    """How often something happened, and in which sessions (the first 1,000 of them)."""

    count: int
    sessions: tuple[str, ...]


@dataclass(slots=True)
class Losses:
    """What was left out or not carried, by reason."""

    counts: Counter[str] = field(default_factory=Counter)
    sessions: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, count: int, session: str) -> None:
        """Count something of a session."""
        self.counts[reason] += count
        listed = self.sessions.setdefault(reason, [])
        if len(listed) < _LISTED:
            listed.append(session)

    def report(self) -> dict[str, Counted]:
        """Return the counts with their sessions: what nearly every message has first, then by count."""
        names = sorted(self.counts, key=lambda name: (_USUAL.index(name) if name in _USUAL else 9, -self.counts[name]))
        return {name: Counted(self.counts[name], tuple(self.sessions[name])) for name in names}


class ConversationWriter(ABC):
    """Writes one line a session; a session waits on disk until its end is known."""

    def __init__(self, stream: BinaryIO, training: Training) -> None:
        self._stream = stream
        self._training = training
        self._session: _Session | None = None
        self.written = 0
        """Conversations."""
        self.left_out = Losses()
        """Sessions that are no conversation as it was asked for."""
        self.not_carried = Losses()
        """What the conversations that were written had beside it."""

    @abstractmethod
    def turns(self, kind: str, data: dict[str, Any]) -> Iterable[Turn]:
        """Return what stands for a message: none, one or several; counts with `lost` what they do not hold."""

    @abstractmethod
    def system(self, text: str) -> Turn:
        """Return what stands for a system message."""

    @abstractmethod
    def is_answer(self, turn: Turn) -> bool:
        """Tell whether a conversation that shall end with the assistant may end so."""

    @abstractmethod
    def around(self, session: str) -> tuple[bytes, bytes]:
        """Return what stands before and behind the turns in a line."""

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
        """Count something of the message at hand that its turns do not hold."""
        if self._session is not None and count:
            self._session.lost[what] += count

    def lost_empty(self, data: dict[str, Any]) -> None:
        """Count an answer that says nothing, unless its calls were dropped and counted."""
        if not (self._training.drop_tools and next(tool_calls(data), None)):
            self.lost("empty answers")

    def _add(self, session: _Session, row: Row) -> None:
        message, _ = rewrite(row.message, "js")
        kind, data = message.get("type"), message.get("data")
        if row.id:
            self.lost("ids")
        if not isinstance(kind, str) or not isinstance(data, dict):
            self.lost("messages of no known form")
            return
        data = _plain(encode_clean(data))
        for name in ("response_metadata", "usage_metadata", "artifact"):
            if data.get(name):
                self.lost(name)
        if self._training.system is not None and kind == "system":
            self.lost("system messages")
            return
        if self._training.drop_tools and kind in ("tool", "function"):
            self.lost("tool results")
            return
        for turn in self.turns(kind, data):
            session.add(turn)

    def _end(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        reason = self._objection(session)
        if reason is not None:
            self.left_out.add(reason, 1, session.name)
        else:
            before, behind = self.around(session.name)
            self._stream.write(before)
            session.copy_to(self._stream)
            self._stream.write(behind + b"\n")
            self.written += 1
            for what, count in session.lost.items():
                self.not_carried.add(what, count, session.name)
        session.close()

    def _objection(self, session: _Session) -> str | None:
        if session.last is None or session.turns == (self._training.system is not None):
            return "hold nothing that can be carried"
        if self._training.end_with == "assistant" and not self.is_answer(session.last):
            return "do not end with assistant"
        return None


class _Session:
    """One session on its way."""

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


def tool_calls(data: dict[str, Any]) -> Iterator[tuple[Any, str, Any]]:
    """Yield the tool calls of an ``ai`` message: id, name, and arguments (an object, or text that is none)."""
    found = [*objects(data.get("tool_calls")), *objects(data.get("invalid_tool_calls"))]
    for call in found:
        yield call.get("id"), str(call.get("name") or ""), call.get("args")
    kwargs = data.get("additional_kwargs")
    if found or not isinstance(kwargs, dict):
        return
    for call in objects(kwargs.get("tool_calls")):  # as old versions have them
        function = call.get("function")
        if isinstance(function, dict):
            yield call.get("id"), str(function.get("name") or ""), function.get("arguments")


def spelled(arguments: Any) -> str:
    """Return a call's arguments as the JSON text that both formats have."""
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments or {}).decode()


def objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list; none of anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def block_name(block: dict[str, Any]) -> str:
    """Return what a block of list content that cannot be carried is called in the report."""
    kind = block.get("type")
    return "images" if kind in _IMAGES else f"{kind if isinstance(kind, str) else 'unknown'} blocks"


def _plain(value: Value) -> Any:
    """Return JSON with whole numbers as integers, as it was before Convex made all of them Float64."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= _EXACT else value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
