"""Random histories for an import: files, what the target has already, and what it must hold in the end."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from faults.reaching import Message

Kind = Literal["new", "extend", "same", "ahead", "conflict"]
Shape = Literal["rows", "timed", "plain"]

_KINDS: Final[tuple[Kind, ...]] = ("new", "new", "new", "extend", "extend", "same", "ahead", "conflict")
_WORDS: Final = ("ok", "yes", "thanks", "and then?", "ünïcödé \N{WINKING FACE}", "\u202eno", "")
_ODD_IDS: Final = ("a/b", "x y", "Zoë", "'; drop", "\u0000nul", "0", "~")
_NOBODYS: Final = "nobody's"


@dataclass
class Said:
    """A message on its way into a file."""

    session: str
    message: Any
    bad: bool
    own: dict[str, Any]
    """Its ``_id`` and ``_creationTime``, as far as the file has them."""

    def line(self) -> bytes:
        """Return it as a line of a file."""
        return json.dumps({**self.own, "sessionId": self.session, "message": self.message}).encode() + b"\n"


@dataclass
class World:
    """All that an import meets."""

    files: dict[str, bytes]
    before: dict[str, list[Message]]
    """What the target holds, by session."""
    after: dict[str, list[Message]]
    """What it must hold in the end."""
    conflicts: set[str]
    aside: set[tuple[str, int]]
    """File and line of everything that the quarantine file must hold."""
    times: dict[str, list[float]] = field(default_factory=dict)
    """Where times are kept: those of every session in the end."""

    @property
    def longest(self) -> str:
        """The session of which most is missing."""
        return max(self.after, key=lambda name: len(self.after[name]) - len(self.before.get(name, ())))


@dataclass(frozen=True)
class Wanted:
    """What kind of world."""

    replace: bool
    keep_times: bool
    skip_bad: bool
    bad: bool
    conflicts: bool
    longest: int
    """Messages of the longest session."""


def make_world(chance: random.Random, wanted: Wanted) -> World:
    """Draw a world."""
    shapes: tuple[Shape, ...] = ("rows", "timed") if wanted.keep_times else ("rows", "timed", "plain")
    shape = chance.choice(shapes)
    world = World({}, {}, {}, set(), set())
    histories: dict[str, list[Said]] = {}
    for name, size in _sizes(chance, wanted.longest):
        kind: Kind = "new" if wanted.keep_times else chance.choice(_KINDS)
        if size >= wanted.longest:
            kind = chance.choice(("new", "extend", "conflict" if wanted.replace else "new"))
        if kind == "conflict" and not wanted.conflicts:
            kind = "new"
        _add(world, chance, wanted, name, kind, [_message(chance) for _ in range(size)])
        histories[name] = _said(chance, wanted, shape, name, world)
    if not wanted.keep_times:
        world.before[_NOBODYS] = [_message(chance) for _ in range(chance.randint(1, 40))]
        world.after[_NOBODYS] = world.before[_NOBODYS]
    _write(world, chance, wanted, shape, histories)
    return world


def _sizes(chance: random.Random, longest: int) -> Iterator[tuple[str, int]]:
    for number in range(chance.randint(3, 25)):
        odd = chance.choice(_ODD_IDS) if chance.random() < 0.2 else ""
        yield f"{odd}s{number}", chance.choice((1, 2, 5, 20, 60))
    yield "long", longest
    if chance.random() < 0.5:
        yield "long too", longest // 2


def _message(chance: random.Random) -> Message:
    content = chance.choice(_WORDS)
    if chance.random() < 0.5:
        content += f" {chance.random()}"
    if chance.random() < 0.1:
        content += "x" * chance.choice((300, 3_000, 9_000))
    data: dict[str, Any] = {"content": content}
    if chance.random() < 0.3:
        data |= {"additional_kwargs": {}, "response_metadata": {"tokens": chance.randint(0, 99)}}
    return {"type": chance.choice(("human", "ai")), "data": data}


def _add(
    world: World, chance: random.Random, wanted: Wanted, name: str, kind: Kind, messages: list[Message]
) -> None:
    """Decide what the target has of a session."""
    world.after[name] = messages
    if kind == "extend":
        world.before[name] = messages[: chance.randint(1, len(messages))]
    elif kind in ("same", "ahead"):
        more = [_message(chance) for _ in range(chance.randint(1, 5))] if kind == "ahead" else []
        world.before[name] = world.after[name] = messages + more
    elif kind == "conflict":
        at = chance.randrange(len(messages))
        other = {"type": "human", "data": {"content": f"otherwise {chance.random()}"}}
        rest = messages[at + 1 : at + 1 + chance.randint(0, len(messages))]
        world.before[name] = [*messages[:at], other, *rest]
        world.conflicts.add(name)
    if kind in ("same", "ahead"):
        world.times[name] = [float(len(messages))]  # how many of them the files have
    elif kind == "conflict" and not wanted.replace:
        world.times[name] = [-1.0]


def _said(chance: random.Random, wanted: Wanted, shape: Shape, name: str, world: World) -> list[Said]:
    raise NotImplementedError


def _write(
    world: World, chance: random.Random, wanted: Wanted, shape: Shape, histories: dict[str, list[Said]]
) -> None:
    raise NotImplementedError
