"""Chunks of stored rows, encoded for a writer in other processes and joined here as one process would write them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple, Protocol

from sync_tool.parallel.processes import in_processes
from sync_tool.rows.batch import Batch, Page
from sync_tool.rows.model import Names
from sync_tool.rows.reading import runs_of
from sync_tool.rows.sorting import Key, are_sorted, keys_of

Encode = Callable[[Batch], Any]
"""Encodes rows for a writer, without their numbers; a function of a module, so that it can be pickled."""


class Chunk(Protocol):
    """A small picklable description of consecutive rows of a source."""

    def pages(self, names: Names) -> Iterator[Page]:
        """Read the rows."""


class EncodedChunk(NamedTuple):
    """Encoded rows of one chunk, with what their order and numbers need."""

    size: int
    """Bytes read for the rows."""
    rows: int
    runs: list[int]
    """Numbers of consecutive rows of one session."""
    ends: tuple[Key, Key] | None
    """Keys of the first and the last row; None without rows."""
    in_order: bool
    id_hashes: bytes
    """64 bits of each ``_id`` that is not empty; equal in all processes of one call."""
    encoded: list[Any]


class NumberedChunk(NamedTuple):
    """Encoded rows with their numbers."""

    chunk: EncodedChunk
    numbers: list[int]
    """Number of each row in its session, from 1."""


def encode_chunks(chunks: Iterable[Chunk], encode: Encode, names: Names, processes: int) -> Generator[NumberedChunk]:
    """Yield the rows of chunks encoded for a writer; the processes start at once.

    Raises:
        ConvexMsgsError: reading a chunk failed, or a process was killed.
    """
    return _numbered(in_processes(partial(_encode_chunk, encode, names), chunks, processes))


def _numbered(found: Generator[EncodedChunk]) -> Generator[NumberedChunk]:
    session, count = None, 0
    with closing(found):
        for chunk in found:
            numbers: list[int] = []
            if chunk.ends is not None:
                first, last = chunk.ends
                before = count if first[:2] == session else 0
                for run in chunk.runs:
                    numbers += range(before + 1, before + run + 1)
                    before = 0
                session, count = last[:2], numbers[-1]
            yield NumberedChunk(chunk, numbers)


def _encode_chunk(encode: Encode, names: Names, chunk: Chunk) -> EncodedChunk:
    """Encode one chunk; runs in another process."""
    keys: list[Key] = []
    runs: list[int] = []
    encoded = []
    size = 0
    for page in chunk.pages(names):
        found = keys_of(page.batch)
        counts = [count for _, count in runs_of(page.batch.sessions)]
        if keys and found and keys[-1][:2] == found[0][:2]:
            runs[-1] += counts.pop(0)
        runs += counts
        keys += found
        size += page.bytes
        encoded.append(encode(page.batch))
    hashes = array("q", [hash(key[-1]) for key in keys if key[-1]]).tobytes()
    ends = (keys[0], keys[-1]) if keys else None
    return EncodedChunk(size, len(keys), runs, ends, are_sorted(keys), hashes, encoded)


class PageChunk(NamedTuple):
    """Rows that a source has read already (`Chunk`)."""

    batch: Batch
    size: int

    def pages(self, names: Names) -> Iterator[Page]:  # noqa: ARG002  # the batch knows them
        """Yield the rows."""
        yield Page(self.batch, self.size)


def chunks_of_pages(pages: Iterable[Page], *, rows: int) -> Iterator[PageChunk]:
    """Yield the rows of pages in chunks of at most `rows`: values take ten times the memory of their JSON."""
    for page in pages:
        size = page.bytes
        for start in range(0, max(1, page.count), rows):
            yield PageChunk(page.batch.at(range(start, min(start + rows, page.count))).packed(), size)
            size = 0
