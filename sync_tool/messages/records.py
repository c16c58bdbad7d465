"""Records of a source with their places; an unreadable record does not stop the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from sync_tool.errors import Damaged
from sync_tool.messages.rules import Fault

_CHUNK_ROWS: Final = 1000
_CHUNK_BYTES: Final = 4 << 20


class Record(NamedTuple):
    """A record of a file or another store, or the reason why it cannot be read."""

    line: int
    """Number of the line, of the row where the format has no lines, of the message in its session; from 1."""
    raw: bytes
    """The record as ``convex_encoded_json``; empty if it cannot be read."""
    fault: Fault | None = None
    """The reason why it cannot be read, or a fault of its storage."""
    where: str = ""
    """The place in words of the store, such as ``message_store:cust-1[-14]``; empty where `line` is enough."""


def in_chunks(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Yield records in chunks; the records before a damaged place are yielded before `Damaged` is raised."""
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
