"""Generated histories of realistic sizes, as JSONL that a sandbox loads."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from sync_tool.encoding.canonical import dumps
from sync_tool.encoding.ids import DocumentId, encode_id

_START_MS = 1_735_689_600_000.0  # 2025-01-01
_YEAR_MS = 365 * 86_400_000.0
_WORDS = (
    "the order kettle copper refund when arrived yes no please thank you my name is Jim parcel lost blue mug".split()
)


def write_history(path: Path, rows: int, sessions: int, seed: int = 1) -> None:
    """Write `rows` rows in `sessions` sessions of about equal length, creation times over a year."""
    rng = random.Random(seed)
    with path.open("wb") as file:
        for line in history(rows, sessions, rng):
            file.write(line)
            file.write(b"\n")


def history(rows: int, sessions: int, rng: random.Random) -> Iterator[bytes]:
    """Yield canonical rows in session order."""
    for session in range(sessions):
        count = rows // sessions + (session < rows % sessions)
        start = _START_MS + rng.random() * _YEAR_MS * 0.9
        step = _YEAR_MS * 0.1 / max(count, 1)
        for number in range(count):
            yield _row(f"cust-{session:06}", start + number * step, number, rng)


def _row(session: str, time: float, number: int, rng: random.Random) -> bytes:
    content = " ".join(rng.choices(_WORDS, k=rng.randint(3, 40)))
    data: dict[str, object] = {"content": content, "additional_kwargs": {}, "response_metadata": {}}
    kind = "human" if number % 2 == 0 else "ai"
    if kind == "ai":
        data |= {"tool_calls": [], "invalid_tool_calls": [], "id": f"run-{rng.getrandbits(64):016x}"}
        data["usage_metadata"] = {"input_tokens": 120.0, "output_tokens": 48.0, "total_tokens": 168.0}
    internal = rng.randbytes(14) + int(time // 86_400_000).to_bytes(2, "big")
    return dumps({
        "_id": encode_id(DocumentId(10001, internal)),
        "_creationTime": time,
        "sessionId": session,
        "message": {"type": kind, "data": data},
    })  # fmt: skip
