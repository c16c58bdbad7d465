"""P5 and P11: the first sync against Airbyte's connector, and a sync with nothing new."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import urllib3

import sync_tool
from data import deployment, first_lines, large
from frame import Bench, Outcome, Run, described, environment, faster, legacy_sandbox, sandbox, tool

_PEER_ROWS = 20_000
_MOST_REQUESTS, _MOST_SECONDS = 12, 1.0


def run(bench: Bench) -> Iterator[Outcome]:
    """Yield the outcomes."""
    source = large(bench)
    small = first_lines(source, min(_PEER_ROWS, bench.rows))
    airbyte = replace(bench, python=environment(bench.work, "airbyte", "requirements-airbyte.txt"))
    with sandbox(deployment(source)) as env_file, legacy_sandbox(_beside(small)) as small_env_file:
        first = partial(_first, bench, env_file)
        ours, theirs = bench.median(first, lambda: airbyte.peer("airbyte_read", small_env_file))
        yield faster("P5", "first sync through the stream of changes", "airbyte-source-convex", 20, ours, theirs)
        yield _nothing_new(bench, env_file)


def _beside(source: Path) -> Path:
    """Return a folder of its own whose sandbox holds the rows of a file."""
    folder = source.parent / source.stem
    folder.mkdir(exist_ok=True)
    copy = folder / "history.jsonl"
    if not copy.exists():
        shutil.copy(source, copy)
    return deployment(copy)


def _archive(bench: Bench) -> Path:
    return bench.work / "archive"


def _first(bench: Bench, env_file: Path) -> Run:
    shutil.rmtree(_archive(bench), ignore_errors=True)
    return tool(bench.rows, "sync", "-q", _archive(bench), "--create", "--via", "stream", "--env-file", env_file)


def _nothing_new(bench: Bench, env_file: Path) -> Outcome:
    def again() -> Run:
        return tool(bench.rows, "sync", "-q", _archive(bench), "--env-file", env_file)

    (ours,) = bench.median(again)
    requests = _requests(bench, env_file)
    score = min(_MOST_REQUESTS / requests, _MOST_SECONDS / ours.seconds)
    return Outcome(
        "P11", f"sync with nothing new on {bench.rows:,} rows", "-", f"≤ {_MOST_REQUESTS} requests, ≤ 1.0 s", score,
        f"{requests} requests, {ours.seconds:.2f} s", described(ours), "-",
    )  # fmt: skip


def _requests(bench: Bench, env_file: Path) -> int:
    """Return how many requests a sync with nothing new makes."""
    sent = []
    send = urllib3.PoolManager.request

    def record(pool: Any, method: str, url: str, **keywords: Any) -> Any:
        sent.append(url)
        return send(pool, method, url, **keywords)

    with patch.object(urllib3.PoolManager, "request", record), sync_tool.connect(env_file=env_file) as source:
        sync_tool.sync(source, _archive(bench))
    return len(sent)
