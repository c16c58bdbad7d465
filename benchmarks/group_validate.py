"""P8: validation at the level ``langchain``, against jsonschema and pydantic with the same rules."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from data import chitchat, first_lines, large
from faults import corpus
from frame import HERE, Bench, Outcome, Run, faster, tool
from sync_tool.messages.check import Checker

_SCHEMA_ROWS = 5_000
_PYDANTIC_ROWS = 200_000


def run(bench: Bench) -> Iterator[Outcome]:
    """Yield the outcomes."""
    agree = {name: _verdicts(bench, name) for name in ("jsonschema", "pydantic")}
    path, rows = chitchat(bench)
    for source, count, letter, what in (
        (large(bench), bench.rows, "", "generated"),
        (path, rows, "c", "chitchat-dataset"),
    ):
        ours, schema, models = bench.median(
            partial(_validate, source, count),
            partial(bench.peer, "with_jsonschema", first_lines(source, _SCHEMA_ROWS)),
            partial(bench.peer, "with_pydantic", first_lines(source, min(count, _PYDANTIC_ROWS))),
        )
        work = f"validate, {what}"
        yield replace(faster(f"P8a{letter}", work, "jsonschema", 50, ours, schema), note=agree["jsonschema"])
        yield replace(faster(f"P8b{letter}", work, "pydantic", 3, ours, models), note=agree["pydantic"])


def _validate(source: Path, rows: int) -> Run:
    return tool(rows, "validate", "-q", source)


def _verdicts(bench: Bench, peer: str) -> str:
    """Return how many verdicts on records with faults agree between this tool, the peer and the rules."""
    records = list(corpus())
    path = bench.work / "faults.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line, _ in records))
    command = [str(bench.python), str(HERE / "peers" / f"with_{peer}.py"), str(path), "verdicts"]
    theirs = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    ours = ["01"[not Checker("langchain").check(line).faults] for line, _ in records]
    rules = ["01"[good] for _, good in records]
    same = sum(a == b == c for a, b, c in zip(ours, theirs, rules, strict=True))
    return f"{same} of {len(records)} verdicts the same"
