"""Sessions told with dialogues: choosing scenes, giving them times and voices."""

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

from recipe import scenes, shop
from recipe.canonical import DAY_MS, TICK_MS, Dice
from recipe.plan import Session
from recipe.scenes import Scene, Step
from recipe.voices import Voice

Dated = tuple[float, dict[str, Any]]

HOUR_MS = 3_600_000
# The first hour and how many of them follow.
CUSTOMER_HOURS = (7, 14.5)
STAFF_HOURS = (8, 9.75)
PAUSE_BETWEEN_SCENES_MS = 90_000


def tell(session: Session) -> list[Dated]:
    """Return the messages of a session with their creation times, oldest first."""
    dice = Dice(f"clock {session.clock or session.id}")
    words = Dice(f"words {session.id}")
    voice = Voice(session.style, Dice(f"voice {session.id}"))
    cast = _cast(session)
    starts = _starts(session, cast, dice)
    rows: list[Dated] = []
    free_from = 0.0
    for number, scene in enumerate(cast):
        about = max(starts[number], free_from)
        told = scene.steps(words, _slots(session, words, about))
        _name_staff(session, words, told)
        offsets = _offsets(session, told, dice)
        if session.last and number == len(cast) - 1:
            about = _last_start(session, told, offsets, about)
        times = [about + offset for offset in offsets]
        rows += [(at, voice.message(step, at)) for at, step in zip(times, told, strict=True)]
        free_from = times[-1] + PAUSE_BETWEEN_SCENES_MS
    if session.first_two_tie:
        rows[1] = (rows[0][0], rows[1][1])
    return _in_one_mutation(rows) if session.writes == "bulk" else rows


def _cast(session: Session) -> list[Scene]:
    """Return the scenes of the session in order, filled up to the wished number of rows."""
    fixed = [scene for name in session.scenes for scene in _named(name)]
    missing = session.rows - sum(map(len, fixed))
    extra: list[Scene] = []
    if session.rows:
        for scene in _fillers(session):
            if missing <= 0:
                break
            if _fits(len(scene), missing):
                extra.append(scene)
                missing -= len(scene)
        if missing:
            raise ValueError(f"{session.id}: {missing} rows short")
    if not fixed:
        return extra
    if fixed[1:] and fixed[1].at_ms is not None:
        return fixed[:1] + _by_time(session, fixed[1:-1], extra) + fixed[-1:]
    return _between(fixed, extra)


def _fits(length: int, missing: int) -> bool:
    """Return whether a scene may be added: no scene has one row or three to fill a rest with."""
    return length <= missing and missing - length not in {1, 3}


def _named(name: str) -> list[Scene]:
    file_name, scene = name.split(":")
    found = scenes.load(file_name)
    return list(found.values()) if scene == "*" else [found[scene]]


def _fillers(session: Session) -> Iterator[Scene]:
    pool = [scene for name in session.fill for scene in scenes.load(name).values()]
    pool = [scene for scene in pool if scene.name not in session.leave_out]
    dice = Dice(f"cast {session.id}")
    yield from dice.shuffled(pool)
    # The desk asks the same kinds of things all year, each round in another order.
    while session.staff_names:
        yield from dice.shuffled(pool)


def _by_time(session: Session, story: list[Scene], extra: list[Scene]) -> list[Scene]:
    """Return the dated scenes of a story with undated ones spread evenly between them."""
    first, last = _ms(session.first), _ms(session.last or session.first)
    share = (last - first) / (len(extra) + 1)
    dated = [(scene.at_ms or 0.0, scene) for scene in story]
    dated += [(first + share * number, scene) for number, scene in enumerate(extra, 1)]
    return [scene for _, scene in sorted(dated, key=lambda pair: pair[0])]


def _between(fixed: list[Scene], extra: list[Scene]) -> list[Scene]:
    """Return the fixed scenes with the others shared out into the gaps between them."""
    gaps = max(len(fixed) - 1, 1)
    cast = fixed[:1]
    for number, scene in enumerate(fixed[1:]):
        cast += [*extra[number::gaps], scene]
    return cast if fixed[1:] else fixed + extra


def _starts(session: Session, cast: list[Scene], dice: Dice) -> list[float]:
    """Return a start for each scene: its own, or a moment of the day between first and last."""
    first = _ms(session.first)
    span = _ms(session.last or session.first) - first
    starts = [first + dice.below(40_000) + _fraction(dice)]
    for number, scene in enumerate(cast[1:], 1):
        even = first + span * (number - dice.below(800) / 1000) / len(cast)
        start = _by_day(session, even) if scene.at_ms is None else scene.at_ms + dice.below(30_000)
        starts.append(max(float(int(start)) + _fraction(dice), starts[0]))
    return starts


def _by_day(session: Session, at_ms: float) -> float:
    """Return the moment moved into the hours in which people write to shops, or work there."""
    from_hour, hours = STAFF_HOURS if session.staff_names else CUSTOMER_HOURS
    day, rest = divmod(at_ms, DAY_MS)
    return day * DAY_MS + from_hour * HOUR_MS + rest * hours / 24


def _last_start(session: Session, told: list[Step], offsets: list[float], about: float) -> float:
    """Return the start with which the last human message falls on `session.last`."""
    last_human = max(i for i, step in enumerate(told) if step.role == "human")
    start = _ms(session.last or "") + about % 1000 - offsets[last_human]
    if start < about:
        raise ValueError(f"{session.id}: no room before the last scene")
    return start


def _offsets(session: Session, told: list[Step], dice: Dice) -> list[float]:
    """Return when each message is created, in milliseconds from the start of the scene."""
    offsets = [0.0]
    for before, step in pairwise(told):
        if step.role == "human":
            wait = dice.between(18_000, 150_000) + step.pause * 1000 + _fraction(dice)
            # Where people write among themselves, they are quick.
            wait = wait if before.role != "human" else wait / 8 // 1 + _fraction(dice)
        elif session.writes == "live":
            wait = dice.between(1_400, 6_200) + _fraction(dice)
        elif session.writes == "pair":
            wait = TICK_MS
        else:
            wait = dice.between(3, 17) + _fraction(dice)
        offsets.append(offsets[-1] + wait)
    return offsets


def _in_one_mutation(rows: list[Dated]) -> list[Dated]:
    return [(rows[0][0] + number * TICK_MS, row) for number, (_, row) in enumerate(rows)]


def _slots(session: Session, words: Dice, at_ms: float) -> dict[str, Any]:
    return shop.slots(words, at_ms, session.person, session.order_prefix)


def _name_staff(session: Session, words: Dice, told: list[Step]) -> None:
    if session.staff_names:
        who = words.pick(shop.STAFF)
        for step in told:
            step.who = who if step.role == "human" else ""


def _fraction(dice: Dice) -> float:
    """Return part of a millisecond, in the steps that a double of today's size has."""
    return dice.below(4096) * TICK_MS


def _ms(text: str) -> float:
    return datetime.fromisoformat(text).timestamp() * 1000
