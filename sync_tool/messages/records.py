"""Records one by one, each with the place where it stands; one that cannot be had does not stop the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from sync_tool.errors import Damaged
from sync_tool.messages.rules import Fault

_CHUNK_ROWS: Final = 1000
_CHUNK_BYTES: Final = 4 << 20


class Record(NamedTuple):
    """A record as it stands in a file or another store, or why there is none."""

    line: int
    """Number of the line, of the row where the format has no lines, of the message in its session; from 1."""
    raw: bytes
    """The record as ``convex_encoded_json``; empty where it cannot be had."""
    fault: Fault | None = None
    """Why it cannot be had, or not as it should be."""
    where: str = ""
    """The place in words of the store, such as ``message_store:cust-1[-14]``; empty where `line` says it all."""


def in_chunks(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Yield records many at a time; those before a place that is damaged are yielded before that is raised."""
    chunk: list[Record] = []
    size = 0
    try:
        for record in records:
            chunk.append(record)
            size += len(record.raw)
            if len(chunk) == _CHUNK_ROWS or size >= _CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
    except Damaged:
        yield chunk
        raise
    yield chunk
