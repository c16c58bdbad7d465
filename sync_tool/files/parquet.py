"""Parquet: the flat columns of `sync_tool.rows`, zstd, and the deployment's names in the metadata.

Plain strings: pandas and Polars stumble over Arrow's dictionary and JSON types, and Parquet makes
dictionaries by itself. With `sync_tool.files.batches` and `arrow` the only module that imports pyarrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from sync_tool.errors import Damaged, UsageError
from sync_tool.files.batches import (
    ROWS_A_BATCH,
    arrow_schema,
    batches_in,
    batches_of,
    names_in,
    page_of,
    rows_of,
)
from sync_tool.files.ready import ReadyPage
from sync_tool.model import Names, Page
from sync_tool.rows import COLUMNS, READ
from sync_tool.typedrows import TypedRows

T = TypeVar("T")

_ROWS_A_GROUP: Final = 16_384
_GROUP_BYTES: Final = 16 << 20
_LARGEST_PIECE: Final = 64 << 20
_ZSTD_LEVEL: Final = 1
_REPEATED: Final = ("sessionId", "type", "role", "name", "model", "input_tokens", "output_tokens", "extra")
"""Columns whose values come again: a dictionary of the others costs time, and room."""

_NEEDED: Final = ("_id", "_creationTime", "sessionId", "type", "extra")


def to_table(pages: Iterable[Page], names: Names, origin: str) -> pa.Table:
    """Return all rows as one Arrow table, columns exactly as in the Parquet files."""
    schema = arrow_schema(names, origin)
    batches = (batch for page in pages for batch in batches_of(page, schema, names))
    return pa.Table.from_batches(batches, schema)


class ParquetWriter:
    """Writes rows into one Parquet file, a row group at a time."""

    def __init__(self, stream: BinaryIO, names: Names, origin: str) -> None:
        self._names = names
        self._schema = arrow_schema(names, origin)
        self._writer = pq.ParquetWriter(
            stream, self._schema, compression="zstd", compression_level=_ZSTD_LEVEL, use_dictionary=list(_REPEATED)
        )
        self._waiting: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0
        self._thread = ThreadPoolExecutor(1, "parquet")
        self._written: Future[None] | None = None

    def write(self, page: Page) -> None:
        """Take the rows of a page; what waits for its row group is held as compact Arrow data."""
        batches = batches_in(page, self._schema) if isinstance(page, ReadyPage) else None
        for batch in batches or batches_of(page, self._schema, self._names):
            self._waiting.append(batch)
            self._rows += batch.num_rows
            self._bytes += batch.nbytes
        if self._rows >= _ROWS_A_GROUP or self._bytes >= _GROUP_BYTES:
            self._flush()

    def finish(self) -> None:
        """Write what waits, and the footer."""
        self._flush()
        self._settle()
        self._writer.close()

    def close(self) -> None:
        """Let go of the stream; pyarrow would write a footer into it later otherwise."""
        self._thread.shutdown()
        self._writer.close()

    def _flush(self) -> None:
        """Compress and write a row group in the thread beside; the one before must be done."""
        if self._waiting:
            table = pa.Table.from_batches(self._waiting, self._schema)
            self._waiting, self._rows, self._bytes = [], 0, 0
            self._settle()
            self._written = self._thread.submit(self._writer.write_table, table, row_group_size=table.num_rows)

    def _settle(self) -> None:
        if self._written is not None:
            self._written.result()


def count_rows(path: Path) -> int:
    """Return the number of rows, from the footer alone."""
    return int(_open(path).metadata.num_rows)


def read_parquet(path: Path) -> tuple[Names, Iterator[Page]]:
    """Return the names a file was written with, and its rows in the file's order.

    Raises:
        Damaged: not Parquet, or damaged.
        UsageError: Parquet with other columns, or the file cannot be opened.
    """
    file = _open(path)
    missing = [name for name in _NEEDED if name not in file.schema_arrow.names]
    if missing:
        raise UsageError(
            f"{path} does not hold messages: column {missing[0]!r} is missing.",
            hint=[("needed", f"the columns that export writes: {', '.join(COLUMNS)}")],
        )
    names = names_in(file.schema_arrow)
    return names, _read_pages(file, path, names)


def read_parquet_records(path: Path) -> Iterator[bytes | str]:
    """Yield each row of a file as ``convex_encoded_json``, or as text why it cannot be put together.

    Raises:
        Damaged: not Parquet, or damaged.
        UsageError: Parquet with other columns, or the file cannot be opened.
    """
    names, _ = read_parquet(path)
    try:
        file = _open(path)
        for batch in file.iter_batches(batch_size=ROWS_A_BATCH, columns=_columns_there(file)):
            for row in range(batch.num_rows):
                yield _record(batch.slice(row, 1), names)
    except pa.ArrowException as error:
        raise Damaged(f"{path} is damaged: {_first_line(error)}") from None


def _record(batch: pa.RecordBatch, names: Names) -> bytes | str:
    try:
        return page_of(batch, names).rows[0].raw
    except pa.ArrowException:
        raise
    except ValueError as error:
        return _first_line(error)


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}.") from None
    except pa.ArrowException as error:
        raise Damaged(f"{path} is not a Parquet file, or damaged: {_first_line(error)}") from None


def cut_parquet(path: Path) -> Iterator[RowGroup] | None:
    """Return the rows of a file in pieces; None where its row groups are too large to be held whole.

    Raises:
        Damaged, UsageError: as `read_parquet`.
    """
    read_parquet(path)
    metadata = _open(path).metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    if any(group.total_byte_size > _LARGEST_PIECE for group in groups):
        return None
    before = accumulate((group.num_rows for group in groups), initial=0)
    return (
        RowGroup(path, number, first, group.total_byte_size)
        for number, (group, first) in enumerate(zip(groups, before, strict=False))
    )


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A row group of a Parquet file (`sync_tool.files.ready.Piece`)."""

    path: Path
    number: int
    before: int
    """How many rows stand before it."""
    size: int
    """How many bytes it holds, uncompressed."""

    def parts(self, names: Names) -> Iterator[TypedRows | Page]:
        """Yield the rows, typed where each holds a message and nothing beside it.

        Raises:
            Damaged: some cannot be put together; says which.
        """
        yield from _put_together(self._batches(), self.path, self.before, names, rows_of)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        file = _open(self.path)
        table = file.read_row_group(self.number, columns=_columns_there(file), use_threads=False)
        yield from table.to_batches(max_chunksize=ROWS_A_BATCH)


def _read_pages(file: pq.ParquetFile, path: Path, names: Names) -> Iterator[Page]:
    batches = file.iter_batches(batch_size=ROWS_A_BATCH, columns=_columns_there(file))
    yield from _put_together(batches, path, 0, names, page_of)


def _put_together(
    batches: Iterable[pa.RecordBatch],
    path: Path,
    number: int,
    names: Names,
    put: Callable[[pa.RecordBatch, Names], T],
) -> Iterator[T]:
    """Yield what `put` makes of batches, of which the first has `number` rows before it; name what it cannot."""
    try:
        for batch in batches:
            try:
                yield put(batch, names)
            except ValueError as error:
                if isinstance(error, pa.ArrowException):
                    raise
                raise _first_bad(batch, names, path, number) from None
            number += batch.num_rows
    except pa.ArrowException as error:
        raise Damaged(f"{path} is damaged after row {number}: {_first_line(error)}") from None


def _first_bad(batch: pa.RecordBatch, names: Names, path: Path, number: int) -> Damaged:
    """Return the error that names the first row of a batch that cannot be put together."""
    found = (_record(batch.slice(row, 1), names) for row in range(batch.num_rows))
    row, fault = next((row, fault) for row, fault in enumerate(found, 1) if isinstance(fault, str))
    return Damaged(f"{path}, row {number + row}: {fault}")


def _columns_there(file: pq.ParquetFile) -> list[str]:
    return [name for name in READ if name in file.schema_arrow.names]


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
