"""JSONL, the master form: one row a line in Convex's ``convex_encoded_json``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from sync_tool.encoding.canonical import dumps, loads
from sync_tool.errors import Damaged
from sync_tool.files.inputs import open_input
from sync_tool.model import Names, Page
from sync_tool.rowreader import RowReader

_LINES_A_PAGE: Final = 1000


class JsonlWriter:
    """Writes rows as lines. Rows keep the spelling they came with; a deployment's is canonical."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, page: Page) -> None:
        """Append the rows of a page."""
        if page.rows:
            lines = [row.raw if b"\n" not in row.raw else dumps(row.value) for row in page.rows]
            lines.append(b"")
            self._stream.write(b"\n".join(lines))

    def finish(self) -> None:
        """JSONL has no end mark."""

    def close(self) -> None:
        """Nothing is held."""


def read_jsonl(path: Path, names: Names) -> Iterator[Page]:
    """Yield the rows of a JSONL file (``.zst`` and ``.gz`` too) in the file's order, in canonical spelling.

    Raises:
        Damaged: a line that is not a JSON object in UTF-8, or bytes that do not decompress; says which line.
        UsageError: the file cannot be opened.
    """
    with open_input(path) as stream:
        yield from read_lines(stream, str(path), names)


def read_lines(stream: BinaryIO, name: str, names: Names) -> Iterator[Page]:
    """Yield the rows of an open JSONL file; `name` is what messages call it.

    Raises:
        Damaged: as `read_jsonl`.
    """
    read_row = RowReader(names).row
    page = Page([], 0)
    for number, line in enumerate(stream, 1):
        text = line.strip()
        if not text:
            continue
        try:
            value = loads(text)
            if type(value) is not dict:
                raise ValueError("not a JSON object")  # noqa: TRY301
            page.rows.append(read_row(dumps(value)))
        except ValueError as error:
            raise Damaged(f"{name}, line {number}: {error}") from None
        page.bytes += len(text)
        if len(page.rows) == _LINES_A_PAGE:
            yield page
            page = Page([], 0)
    if page.rows:
        yield page
