"""Records with one fault each, and good ones that look odd: everybody who validates must give the same verdicts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def corpus() -> Iterator[tuple[bytes, bool]]:
    """Yield lines, each with whether it is good at the level ``langchain``."""
    for data, good in _datas():
        yield _line(_row(data)), good
    for row, good in _rows():
        yield _line(row), good
    whole = _line(_row({}))
    for broken in (whole[:-1], b"[]", b"null", b"{}", whole.replace(b"Hi", b"\xff"), whole.replace(b'"Hi"', b"NaN")):
        yield broken, False


def _datas() -> Iterator[tuple[dict[str, Any], bool]]:
    texts = ("role", "name", "id", "tool_call_id", "status")
    yield from (({name: "x"}, True) for name in texts)
    yield from (({name: 5.0}, False) for name in texts)
    yield from (({name: None}, name in ("name", "id")) for name in texts)
    yield from (({name: {}}, True) for name in ("additional_kwargs", "response_metadata", "artifact", "metadata"))
    yield from (({name: []}, True) for name in ("tool_calls", "invalid_tool_calls", "tool_call_chunks"))
    for content, good in (
        (None, False),
        (5.0, False),
        ({}, False),
        ([], True),
        (["a", {"type": "text"}], True),
        ([1.0], False),
    ):
        yield {"content": content}, good
    for depth in (1, 10, 12, 13, 14, 15, 20):
        yield {"additional_kwargs": _nested(depth)}, depth <= 13
    for key, good in (
        ("a b", True),
        ("$a", False),
        ("ä", False),
        ("k" * 1024, True),
        ("k" * 1025, False),
        ("__proto__", False),
    ):
        yield {"additional_kwargs": {key: 1.0}}, good
        yield {"response_metadata": {"a": [{key: 1.0}]}}, good
    for count in (1024, 1025):
        yield {"additional_kwargs": {f"k{number}": 1.0 for number in range(count)}}, count == 1024
    for count in (8192, 8193):
        yield {"artifact": [1.0] * count}, count == 8192
    for size in (1 << 19, 1 << 21):
        yield {"content": "x" * size}, size < 1 << 20
    yield {"unknown": 1.0}, False


def _rows() -> Iterator[tuple[dict[str, Any], bool]]:
    good = _row({})
    for name in good:
        yield {key: value for key, value in good.items() if key != name}, name.startswith("_")
    for name, value, verdict in (
        ("sessionId", 5.0, False), ("sessionId", None, False), ("message", "Hi", False), ("message", {}, False),
        ("_id", 5.0, False), ("_creationTime", "x", False), ("_creationTime", -1.0, False), ("_foo", 1.0, False),
        ("userId", "u", True), ("userId", {"a": [1.0]}, True), ("$user", 1.0, False), ("ü", 1.0, False),
    ):  # fmt: skip
        yield {**good, name: value}, verdict
    yield {**good, "message": {**good["message"], "more": 1.0}}, False
    yield {**good, "message": {"type": 5.0, "data": {"content": "Hi"}}}, False


def _row(data: dict[str, Any]) -> dict[str, Any]:
    return {
        "_creationTime": 1e12,
        "_id": "x",
        "message": {"data": {"content": "Hi", **data}, "type": "human"},
        "sessionId": "s",
    }


def _nested(depth: int) -> Any:
    return {} if depth == 1 else {"a": _nested(depth - 1)}


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
