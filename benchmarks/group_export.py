"""P1 to P4: export of a deployment, against the official client and against the floor that curl shows."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import urllib3

import sync_tool
from data import chitchat, deployment, large
from frame import Bench, Outcome, Run, described, faster, sandbox, tool
from sync_tool.deployment.rates import READERS

_LOOP_ROWS = 20_000
_LATENCY_MS = 40


def run(bench: Bench) -> Iterator[Outcome]:
    """Yield the outcomes."""
    folder = deployment(large(bench))
    with sandbox(folder) as env_file:
        export = partial(_export, bench, env_file, bench.rows)
        ours, client, http = bench.median(export, *_loops(bench, env_file))
        yield faster("P1a", "export all to JSONL", "official client over WebSocket, pages of 1,000", 8, ours, client)
        yield faster("P1b", "export all to JSONL", "convex.http_client, pages of 1,000", 8, ours, http)
        yield _against_the_floor(bench, env_file, export)
        yield _to_parquet(bench, export)
    with sandbox(folder, "--latency", _LATENCY_MS) as env_file:
        ours, client, http = bench.median(partial(_export, bench, env_file, bench.rows), *_loops(bench, env_file))
        work = f"export all to JSONL, {_LATENCY_MS} ms latency"
        yield faster("P2a", work, "official client over WebSocket, pages of 1,000", 15, ours, client)
        yield faster("P2b", work, "convex.http_client, pages of 1,000", 15, ours, http)
    path, rows = chitchat(bench)
    with sandbox(deployment(path)) as env_file:
        ours, client = bench.median(partial(_export, bench, env_file, rows), _loops(bench, env_file)[0])
        yield faster("P1c", "export chitchat-dataset to JSONL", "official client over WebSocket", 8, ours, client)


def _export(bench: Bench, env_file: Path, rows: int, output: str = "export.jsonl") -> Run:
    return tool(rows, "export", "-q", "--overwrite", "--env-file", env_file, "-o", bench.work / output)


def _loops(bench: Bench, env_file: Path) -> list[Any]:
    names = ("client_loop", "http_loop")
    return [partial(bench.peer, name, env_file, bench.work / "loop.jsonl", _LOOP_ROWS) for name in names]


def _against_the_floor(bench: Bench, env_file: Path, export: Any) -> Outcome:
    """Compare with curl, which sends what an export sends and throws the answers away."""
    requests = _requests(bench, env_file)
    config = bench.work / "curl.txt"
    config.write_text("next\n".join(_curl(bench, *request) for request in enumerate(requests)))
    ours, floor = bench.median(export, partial(_floor, config, bench.rows))
    peer = f"floor: the same requests by curl, {READERS} at a time"
    outcome = faster("P3", "export all to JSONL", peer, 1, ours, floor)
    share = ours.rate / floor.rate
    return replace(outcome, goal="≥ 75 % of it", score=share / 0.75, result=f"{share:.0%}".replace("%", " %"))


def _requests(bench: Bench, env_file: Path) -> list[tuple[str, bytes, dict[str, str]]]:
    """Return what an export sends: URL, body and headers of each request."""
    sent = []
    send = urllib3.PoolManager.request

    def record(pool: Any, method: str, url: str, **keywords: Any) -> Any:
        if method == "POST":
            sent.append((url, keywords["body"], dict(keywords["headers"])))
        return send(pool, method, url, **keywords)

    with patch.object(urllib3.PoolManager, "request", record), sync_tool.connect(env_file=env_file) as deployment:
        sync_tool.export(deployment, bench.work / "recorded.jsonl", overwrite=True)
    return sent


def _curl(bench: Bench, number: int, request: tuple[str, bytes, dict[str, str]]) -> str:
    url, body, headers = request
    folder = bench.work / "requests"
    folder.mkdir(exist_ok=True)
    (folder / str(number)).write_bytes(body)
    lines = [f"header = {json.dumps(f'{name}: {value}')}" for name, value in headers.items()]
    lines += [
        f"url = {json.dumps(url)}",
        f'data-binary = "@{folder / str(number)}"',
        'output = "/dev/null"',
        "compressed",
    ]
    return "\n".join([*lines, ""])


def _floor(config: Path, rows: int) -> Run:
    before = os.times().elapsed
    command = [
        "curl",
        "--silent",
        "--show-error",
        "--fail",
        "--parallel",
        "--parallel-max",
        str(READERS),
        "--config",
        str(config),
    ]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)  # it draws its progress there
    return Run(rows, os.times().elapsed - before)


def _to_parquet(bench: Bench, export: Any) -> Outcome:
    def two_steps() -> Run:
        first = export()
        output = bench.work / "converted.parquet"
        then = tool(bench.rows, "convert", "-q", "--overwrite", bench.work / "export.jsonl", "-o", output)
        return Run(bench.rows, first.seconds + then.seconds)

    ours, theirs = bench.median(partial(export, "export.parquet"), two_steps)
    part = ours.seconds / theirs.seconds
    return Outcome(
        "P4", "export all to Parquet", "our export to JSONL, then convert", "≤ 0.8 x the time", 0.8 / part,
        f"{part:.2f} x", described(ours), described(theirs),
    )  # fmt: skip
