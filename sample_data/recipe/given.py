"""Sessions that are not told with dialogues: unusual shapes, real rows, one long letter."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recipe.canonical import TICK_MS, Dice, is_storable
from recipe.scenes import Step
from recipe.voices import Voice

Row = dict[str, Any]

ROOT = Path(__file__).parent.parent
SECONDS_A_DAY = 86_400
LETTER_LINES = 640
BREW_EVERY, BREW_AFTER, BLOCKED_FROM = 300, 240, 1500
LETTER_START = "2026-07-14T19:48Z"
LANGCHAIN_FILES = {
    "langchain 0.0 conversation": "conversation-langchain-0.0",
    "langchain 0.0 types": "types-langchain-0.0",
    "langchain 0.1 conversation (core 0.1.45)": "conversation-langchain-0.1-core-0.1.45",
    "langchain 0.1 conversation (core 0.1.63)": "conversation-langchain-0.1-core-0.1.63",
    "langchain 0.1 invoke (core 0.1.63)": "invoke-langchain-0.1-core-0.1.63",
    "langchain 0.1 stream (core 0.1.63)": "stream-langchain-0.1-core-0.1.63",
    "langchain 0.1 types (core 0.1.63)": "types-langchain-0.1-core-0.1.63",
    "langchain 1 conversation": "conversation-langchain-1",
}
LANGCHAIN_START = "2026-07-06T09:00Z"


@dataclass(frozen=True)
class Given:
    """A session whose rows are given; `fields` of a row are all but its id and time."""

    id: str
    rows: list[tuple[float, Row]]


def sessions() -> Iterator[Given]:
    """Return the given sessions."""
    yield from _handwritten()
    yield from _langchain()
    yield _letter()


def _handwritten() -> Iterator[Given]:
    text = (ROOT / "handwritten" / "shapes.json").read_text(encoding="utf-8")
    for session in json.loads(text):
        yield _dated(session["sessionId"], session["start"], session["rows"])


def _langchain() -> Iterator[Given]:
    """Give the rows that LangChain wrote, its messages untouched, under new ids and times."""
    start = datetime.fromisoformat(LANGCHAIN_START).timestamp()
    for day, (session_id, file_name) in enumerate(LANGCHAIN_FILES.items()):
        text = (ROOT / "langchain_rows" / f"{file_name}.jsonl").read_text(encoding="utf-8")
        rows = [{"message": json.loads(line)["message"]} for line in text.splitlines()]
        # One case holds half of a surrogate pair, which Convex cannot store.
        rows = [row for row in rows if is_storable(row)]
        begin = datetime.fromtimestamp(start + day * SECONDS_A_DAY, UTC)
        yield _dated(session_id, begin.isoformat(), rows)


def _dated(session_id: str, start: str, rows: list[Row]) -> Given:
    """Give the rows times of their own mutations, a few milliseconds to a minute apart."""
    dice = Dice(f"clock {session_id}")
    at_ms = datetime.fromisoformat(start).timestamp() * 1000
    dated = []
    for row in rows:
        asks = row["message"]["type"] == "human"
        wait = dice.between(9_000, 60_000) if asks else dice.between(3, 17)
        at_ms = float(int(at_ms) + wait) + dice.below(4096) * TICK_MS
        dated.append((at_ms, row))
    return Given(session_id, dated)


def _letter() -> Given:
    """Give a session with one message of 40 KB: the log of a coffee machine."""
    session_id = "long letter"
    dice = Dice(session_id)
    log = "\n".join(_machine_log(dice))
    steps = (
        Step("human", "My espresso machine stops in the middle. May I paste its log here?"),
        Step("ai", "Please do, all of it. I am a patient reader."),
        Step("human", f"Here it is, from switching on to the moment it gave up:\n\n{log}"),
        Step(
            "ai",
            "Thank you. Up to 07:49 all is well. From then on the pump runs and the flow stays at"
            " zero while the boiler keeps heating: no water reaches the group. That is the inlet"
            " sieve, nine times out of ten. Unscrew it, rinse it, and try again.",
        ),
        Step("human", "It was the sieve. There was a tea leaf in it."),
        Step("ai", "We shall not tell the coffee people."),
    )
    voice = Voice("openai", dice)
    rows = [{"message": voice.message(step, 0.0)} for step in steps]
    return _dated(session_id, LETTER_START, rows)


def _machine_log(dice: Dice) -> Iterator[str]:
    boiler = 210
    for second in range(0, LETTER_LINES * 3, 3):
        clock = f"07:{20 + second // 60:02}:{second % 60:02}"
        brewing = second % BREW_EVERY > BREW_AFTER
        blocked = brewing and second > BLOCKED_FROM
        boiler = min(boiler + dice.between(0, 14), 934) - (dice.between(2, 30) if brewing else 0)
        flow = dice.between(18, 24) if brewing and not blocked else 0
        pump = "on " if brewing else "off"
        note = "  ! no flow" if blocked else ""
        yield (
            f"{clock}  boiler {boiler / 10:5.1f} C  group {boiler * 0.96 / 10:5.1f} C"
            f"  pump {pump}  flow {flow / 10:.1f} ml/s{note}"
        )
