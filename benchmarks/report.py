"""The table and the picture of all outcomes."""

from __future__ import annotations

import math
import os
import platform
import re
from collections.abc import Iterable
from html import escape
from pathlib import Path

from frame import Outcome

_LINE, _LEFT, _WIDTH, _RIGHT = 26, 470, 360, 260
_MOST = 4.0
"""Scores beyond this are drawn as this, and below its inverse as that."""
_OUR_OWN = ("click", "pyarrow")
"""Packages that peers need and this tool uses too."""
_GOOD, _BAD = "#2e7d5b", "#b3562f"


def write_results(folder: Path, found: dict[str, Outcome]) -> None:
    """Write RESULTS.md and RESULTS.svg."""
    outcomes = sorted(found.values(), key=lambda one: (int(re.findall(r"\d+", one.number)[0]), one.number))
    (folder / "RESULTS.svg").write_text(_picture(outcomes))
    head = [
        "# Speed",
        "",
        f"Made by `make bench` on {_machine()}, with {_versions(folder)}.",
        "Ratios of rates in the same run on the same machine; each side ran by turns as often as said.",
        "The median counts.",
        "Ours counts the start of the process, a peer's time does not.",
        "",
        "![each result as a part of its goal](RESULTS.svg)",
        "",
        "| # | work | against | goal | result | met | ours | theirs | | runs | date |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    notes = folder / "NOTES.md"
    tail = ["", notes.read_text().rstrip()] if notes.exists() else []
    (folder / "RESULTS.md").write_text("\n".join([*head, *map(_row, outcomes), *tail, ""]))


def _row(one: Outcome) -> str:
    met = "yes" if one.met else "**no**"
    said = (one.number, one.work, one.peer, one.goal, one.result, met, one.ours, one.theirs, one.note)
    cells = (*said, str(one.rounds), one.when)
    return f"| {' | '.join(cells)} |"


def _machine() -> str:
    model = "unknown processor"
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next((line.split(": ", 1)[1] for line in info.read_text().splitlines() if "model name" in line), model)
    return f"{len(os.sched_getaffinity(0))} cores of {model}, {platform.system()}, Python {platform.python_version()}"


def _versions(folder: Path) -> str:
    lines = [line for wanted in folder.glob("requirements*.txt") for line in wanted.read_text().split()]
    return ", ".join(sorted(line.replace("==", " ") for line in lines if not line.startswith(_OUR_OWN)))


def _picture(outcomes: list[Outcome]) -> str:
    """Draw each result as a part of its goal, on a scale where twice as good is always the same step."""
    height = _LINE * len(outcomes) + 70
    width = _LEFT + _WIDTH + _RIGHT
    goal = _LEFT + _WIDTH / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{goal}" y="20" text-anchor="middle" font-size="12" font-weight="bold">goal</text>',
        *_scale(height),
    ]
    for number, one in enumerate(outcomes):
        parts += _bar(one, 46 + number * _LINE, goal)
    return "\n".join([*parts, "</svg>", ""])


def _scale(height: int) -> Iterable[str]:
    for score in (0.25, 0.5, 1.0, 2.0, 4.0):
        x = _place(score)
        dark = "#333" if score == 1.0 else "#ddd"
        yield f'<line x1="{x:.1f}" y1="28" x2="{x:.1f}" y2="{height - 26}" stroke="{dark}"/>'
        yield f'<text x="{x:.1f}" y="{height - 10}" text-anchor="middle" font-size="11" fill="#555">{score:g} x</text>'


def _bar(one: Outcome, y: int, goal: float) -> Iterable[str]:
    end, color = _place(one.score), _GOOD if one.met else _BAD
    label = escape(f"{one.number}  {one.work} / {one.peer}")
    yield f'<text x="{_LEFT - 12}" y="{y + 4}" text-anchor="end" font-size="10">{label}</text>'
    yield f'<rect x="{min(goal, end):.1f}" y="{y - 7}" width="{abs(end - goal):.1f}" height="14" fill="{color}"/>'
    x = _LEFT + _WIDTH + 10
    yield f'<text x="{x}" y="{y + 4}" font-size="11">{escape(f"{one.result}  ({one.goal})")}</text>'


def _place(score: float) -> float:
    inside = min(max(score, 1 / _MOST), _MOST)
    return _LEFT + _WIDTH / 2 * (1 + math.log(inside, _MOST))
