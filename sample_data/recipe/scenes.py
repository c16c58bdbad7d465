"""Reading the dialogues: what is said in a scene, and in which order."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from string import Template
from typing import Any

from recipe.canonical import Dice

DIALOGUES = Path(__file__).parent.parent / "dialogues"

_HEADER = re.compile(r"\[(?P<name>[^]]+)](?: @(?P<at>\S+))?")
_TURN = re.compile(r"(?P<kind>[HAST])(?:\((?P<who>[^)]+)\))?: (?P<text>.*)")
_CALL = re.compile(r"(?P<name>\w+) (?P<args>\{.*?\}) -> (?P<result>.*)")
_PAUSE = re.compile(r"~ (?P<count>\d+)(?P<unit>[mh])")
_SECONDS = {"m": 60, "h": 3600}


@dataclass
class Call:
    """One call of a tool and what the tool answered."""

    name: str
    args: dict[str, Any]
    result: str
    id: str = ""


@dataclass
class Step:
    """One message of a conversation, before it takes the shape of a LangChain version."""

    role: str
    text: str = ""
    who: str = ""
    calls: list[Call] = field(default_factory=list)
    pause: int = 0


@dataclass(frozen=True)
class Turn:
    """One entry of a dialogue file.

    Wordings to choose from are divided by " || ". Those divided by " |= " go together: the
    second question of a scene gets the second answer.
    """

    kind: str
    who: str
    text: str


@dataclass(frozen=True)
class Scene:
    """A short conversation about one thing; `at` where the story fixes the time."""

    name: str
    turns: tuple[Turn, ...]
    at_ms: float | None

    def steps(self, dice: Dice, slots: Mapping[str, object]) -> list[Step]:
        """Return the messages of the scene with words chosen and slots filled in."""
        steps: list[Step] = []
        together = dice.below(60)
        pause = 0
        for turn in self.turns:
            if turn.kind == "~":
                pause = int(turn.text)
                continue
            linked = turn.text.split(" |= ")
            wording = dice.pick(linked[together % len(linked)].split(" || "))
            text = Template(wording).substitute(slots)
            if turn.kind == "T":
                _add_call(steps, _parse_call(text))
            else:
                role = {"H": "human", "A": "ai", "S": "system"}[turn.kind]
                steps.append(Step(role, text, turn.who, pause=pause))
            pause = 0
        return steps

    def __len__(self) -> int:
        """Return the number of messages, whatever the wording."""
        count = 0
        before = ""
        for turn in self.turns:
            joins = turn.kind == "T" and before in "AT"
            count += {"T": 1 if joins and before else 2, "~": 0}.get(turn.kind, 1)
            before = turn.kind
        return count


def load(file_name: str) -> dict[str, Scene]:
    """Return the scenes of one dialogue file by name, in the order of the file."""
    text = (DIALOGUES / file_name).read_text(encoding="utf-8")
    blocks = [block for block in re.split(r"(?m)^(?=\[)", text) if block.startswith("[")]
    return {scene.name: scene for scene in map(_parse_scene, blocks)}


def _parse_scene(block: str) -> Scene:
    header, *lines = block.rstrip().split("\n")
    match = _HEADER.fullmatch(header)
    if match is None:
        raise ValueError(f"not a scene header: {header}")
    turns: list[Turn] = []
    for line in lines:
        # Indented and empty lines belong to the message above them.
        if line.startswith("   ") or not line:
            last = turns.pop()
            turns.append(Turn(last.kind, last.who, f"{last.text}\n{line[3:]}"))
        else:
            turns.append(_parse_turn(line))
    return Scene(match["name"], tuple(turns), _milliseconds(match["at"]))


def _parse_turn(line: str) -> Turn:
    if pause := _PAUSE.fullmatch(line):
        return Turn("~", "", str(int(pause["count"]) * _SECONDS[pause["unit"]]))
    match = _TURN.fullmatch(line)
    if match is None:
        raise ValueError(f"not a line of a dialogue: {line}")
    return Turn(match["kind"], match["who"] or "", match["text"])


def _parse_call(text: str) -> Call:
    match = _CALL.fullmatch(text)
    if match is None:
        raise ValueError(f"not a tool call: {text}")
    return Call(match["name"], json.loads(match["args"]), match["result"])


def _add_call(steps: list[Step], call: Call) -> None:
    """Add a call to the reply before it, or as a reply of its own, and its result."""
    asking = next((i for i in reversed(range(len(steps))) if steps[i].role != "tool"), None)
    if asking is None or steps[asking].role != "ai":
        steps.append(Step("ai"))
        asking = len(steps) - 1
    steps[asking].calls.append(call)
    steps.append(Step("tool", call.result, calls=[call]))


def _milliseconds(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp() * 1000
