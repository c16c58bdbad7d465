"""Random histories for an import: files, what the target has already, and what it must hold in the end."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from faults.reaching import Message

Kind = Literal["new", "extend", "same", "ahead", "conflict"]
Shape = Literal["rows", "timed", "plain"]
"""Lines with id and time in any order; lines with times, some equal, in order; lines with neither, in order."""

_KINDS: Final[tuple[Kind, ...]] = ("new", "new", "new", "extend", "extend", "same", "ahead", "conflict")
_WORDS: Final = ("ok", "yes", "thanks", "and then?", "ünïcödé \N{WINKING FACE}", "\u202eno", "")
_ODD_IDS: Final = ("a/b", "x y", "Zoë", "'; drop", "\u0000nul", "0", "~")
_BAD: Final = 7
_START: Final = 1.7e12


@dataclass(frozen=True, slots=True)
class Wanted:
    """Kind of world."""

    replace: bool = False
    """Conflicts are resolved."""
    keep_times: bool = False
    """The target is empty, every message has its time."""
    bad: bool = False
    """Some sessions have a bad message."""
    skip_bad: bool = False
    conflicts: bool = True
    longest: int = 1600
    """Messages of the longest session."""


@dataclass(frozen=True, slots=True)
class History:
    """One session: what the files say of it, and what the target has of it."""

    name: str
    messages: list[Any]
    before: list[Message]
    after: list[Message]
    conflict: bool
    """It is left as it is, because the target has another history."""
    aside: range
    """Messages that are quarantined."""
    times: list[float]


@dataclass(frozen=True, slots=True)
class World:
    """All that an import meets."""

    files: dict[str, bytes]
    histories: dict[str, History]
    """By session; those that the files do not name have no messages."""
    aside: set[tuple[str, int]]
    """File and line of everything that the quarantine file must hold."""

    @property
    def longest(self) -> str:
        """The session of which most is missing."""
        missing = {name: len(history.after) - len(history.before) for name, history in self.histories.items()}
        return max(missing, key=lambda name: missing[name])


def make_world(chance: random.Random, wanted: Wanted) -> World:
    """Draw a world."""
    shapes: tuple[Shape, ...] = ("rows", "timed") if wanted.keep_times else ("rows", "timed", "plain")
    histories = {name: _history(chance, wanted, name, size) for name, size in _sizes(chance, wanted.longest)}
    if not wanted.keep_times:
        kept = [_message(chance) for _ in range(chance.randint(1, 40))]
        histories["nobody's"] = History("nobody's", [], kept, kept, conflict=False, aside=range(0), times=[])
    files, aside = _files(chance, chance.choice(shapes), list(histories.values()))
    return World(files, histories, aside)


def kept_times(times: list[float]) -> list[float]:
    """Return times in order, of equal ones each the next double after the one before it."""
    kept: list[float] = []
    for time in times:
        kept.append(max(time, math.nextafter(kept[-1], math.inf)) if kept else time)
    return kept


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


def _history(chance: random.Random, wanted: Wanted, name: str, size: int) -> History:
    messages: list[Any] = [_message(chance) for _ in range(size)]
    kind = chance.choice(_KINDS)
    if size >= wanted.longest:
        kind = chance.choice(("new", "extend", "conflict" if wanted.replace else "extend"))
    if wanted.keep_times or (kind == "conflict" and not wanted.conflicts):
        kind = "new"
    before = _before(chance, kind, messages)
    bad = size
    if wanted.bad and kind in ("new", "extend") and chance.random() < 0.3:
        bad = chance.randint(len(before), size)
    after = messages
    if kind in ("same", "ahead") or (kind == "conflict" and not wanted.replace):
        after = before
    elif bad < size:
        after = messages[:bad] + (messages[bad + 1 :] if wanted.skip_bad else [])
        messages[bad] = {**messages[bad], "data": _BAD}
    aside = range(bad, min(bad + 1, size) if wanted.skip_bad else size)
    times = [_START + chance.randrange(1000)]
    for _ in messages[1:]:
        times.append(times[-1] + chance.choice((0.0, 1.0, chance.random() * 9_999)))
    return History(name, messages, before, after, kind == "conflict" and not wanted.replace, aside, times)


def _before(chance: random.Random, kind: Kind, messages: list[Message]) -> list[Message]:
    if kind == "new":
        return []
    if kind == "extend":
        return messages[: chance.randint(1, len(messages))]
    if kind == "conflict":
        at = chance.randrange(len(messages))
        other = {"type": "human", "data": {"content": f"otherwise {chance.random()}"}}
        return [*messages[:at], other, *messages[at + 1 : at + 1 + chance.randint(0, len(messages))]]
    more = chance.randint(1, 5) if kind == "ahead" else 0
    return messages + [_message(chance) for _ in range(more)]


def _files(
    chance: random.Random, shape: Shape, histories: list[History]
) -> tuple[dict[str, bytes], set[tuple[str, int]]]:
    """Spread the sessions over files; return these, and the places of all quarantined messages."""
    names = ["a.jsonl", "b.jsonl", "c.jsonl"][: chance.randint(1, 3)]
    lines: dict[str, list[tuple[bytes, bool]]] = {name: [] for name in names}
    queues = [(number, history, iter(range(len(history.messages)))) for number, history in enumerate(histories)]
    order = [queue for queue in queues for _ in queue[1].messages]
    chance.shuffle(order)
    for number, history, left in order:
        n = next(left)
        row: dict[str, Any] = {"sessionId": history.name, "message": history.messages[n]}
        if shape != "plain":
            row["_creationTime"] = history.times[n]
        if shape == "rows":
            row["_id"] = f"row{number:03}{n:06}"
        line = json.dumps(row).encode()
        file = chance.choice(names) if shape == "rows" else names[number % len(names)]
        lines[file].append((line, n in history.aside))
        if shape == "rows" and not history.aside and chance.random() < 0.02:
            lines[chance.choice(names)].append((line, False))  # a row that comes twice counts once
    if shape == "rows":
        for entries in lines.values():
            chance.shuffle(entries)
    files = {name: b"".join(line + b"\n" for line, _ in entries) for name, entries in lines.items()}
    aside = {(name, n) for name, entries in lines.items() for n, (_, held) in enumerate(entries, 1) if held}
    return files, aside
