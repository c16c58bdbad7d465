"""JSONL, the master form: one row a line in Convex's ``convex_encoded_json``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sync_tool.files.bytes import open_input
from sync_tool.files.lines import pages_of, read_blocks
from sync_tool.rows.batch import Batch, Page
from sync_tool.rows.model import Names


class JsonlWriter:
    """Writes rows as lines, each as it came; a deployment's rows are canonical."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, page: Page) -> None:
        """Append the rows of a page."""
        self._stream.write(page.batch.lines())

    def write_encoded(self, encoded: list[bytes], numbers: list[int]) -> None:  # noqa: ARG002  # lines hold no number
        """Append rows that `encode_lines` has encoded."""
        for lines in encoded:
            self._stream.write(lines)

    def finish(self) -> None:
        """Do nothing: JSONL has no end mark."""

    def close(self) -> None:
        """Do nothing: no resource is held."""


def encode_lines(batch: Batch) -> bytes:
    """Encode rows for `JsonlWriter.write_encoded`."""
    return batch.lines()


def read_jsonl(path: Path, names: Names) -> Iterator[Page]:
    """Yield the rows of a JSONL file (``.zst`` and ``.gz`` too) in the file's order and in canonical form.

    Raises:
        Damaged: a line is not a JSON object in UTF-8, or the bytes do not decompress; the error names the line.
        UsageError: the file cannot be opened.
    """
    with open_input(path) as stream:
        yield from pages_of(read_blocks(stream), str(path), names)
