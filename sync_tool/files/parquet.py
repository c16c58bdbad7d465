"""Parquet: the flat columns of `sync_tool.rows.columns`, zstd, and the deployment's names in the metadata.

Plain strings: pandas and Polars stumble over Arrow's dictionary and JSON types, and Parquet makes
dictionaries by itself. With `sync_tool.files.parquet` and `arrow` the only module that imports pyarrow.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sync_tool._version import __version__
from sync_tool.errors import Damaged, UsageError
from sync_tool.rows.batch import Batch, Page, of_typed
from sync_tool.rows.columns import COLUMNS, READ, flatten_batch, unflatten_rows
from sync_tool.rows.model import Names

# Rows as Arrow's record batches, with the columns of `sync_tool.rows.columns`, and back.

FORMAT_VERSION: Final = 1
ROWS_A_BATCH: Final = 1000
_METADATA: Final = b"convex-msgs"
_N: Final = COLUMNS.index("n")

_TYPES: Final = {
    "_creationTime": pa.float64(),
    "created_at": pa.timestamp("us", "UTC"),
    "n": pa.int64(),
    "input_tokens": pa.int64(),
    "output_tokens": pa.int64(),
}


def arrow_schema(names: Names, origin: str) -> pa.Schema:
    """Return the columns; metadata says what the table's own fields are called and where rows are from."""
    about = {
        "tool": f"convex-msgs {__version__}",
        "format": FORMAT_VERSION,
        "source": origin,
        "table": names.table,
        "index": names.index,
        "sessionField": names.session_field,
        "messageField": names.message_field,
    }
    fields = [pa.field(name, _TYPES.get(name, pa.string())) for name in COLUMNS]
    return pa.schema(fields, metadata={_METADATA: json.dumps(about).encode()})


def encode_columns(batch: Batch) -> list[pa.RecordBatch]:
    """Encode rows for `ParquetWriter.write_encoded`, not all decoded at once: values take ten times their JSON."""
    fields = _fields(batch.names)
    return [
        pa.RecordBatch.from_arrays(list(map(array_of, flatten_batch(part), fields.types)), schema=fields)
        for part in _parts(batch)
    ]


def _parts(batch: Batch) -> Iterator[Batch]:
    if batch.count <= 2 * ROWS_A_BATCH:  # as most blocks of lines are
        yield batch
        return
    for start in range(0, batch.count, ROWS_A_BATCH):
        yield batch.at(range(start, min(start + ROWS_A_BATCH, batch.count)))


@cache
def _fields(names: Names) -> pa.Schema:
    return arrow_schema(names, "")


def _with_numbers(batches: Iterable[pa.RecordBatch], numbers: list[int], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield batches with the numbers of their rows and the metadata of `schema`."""
    start = 0
    for batch in batches:
        arrays = batch.columns
        arrays[_N] = array_of(numbers[start : start + batch.num_rows], pa.int64())
        start += batch.num_rows
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def batch_of(found: pa.RecordBatch, names: Names) -> Batch:
    """Return the rows of a record batch.

    Raises:
        ValueError: a row cannot be rebuilt, or a text is not UTF-8.
    """
    there = found.schema.names
    columns: list[list[Any]] = [found[name].to_pylist() if name in there else [None] * len(found) for name in READ]
    own = all(field.type == _TYPES.get(field.name, pa.string()) for field in found.schema)
    return of_typed(unflatten_rows(columns[:-1], columns[-1], names, own=own), names)


def names_in(schema: pa.Schema) -> Names:
    """Return what the table and its fields are called, as the metadata of a file says it."""
    about = json.loads((schema.metadata or {}).get(_METADATA, b"{}"))
    default = Names()
    return Names(
        table=about.get("table", default.table),
        index=about.get("index", default.index),
        session_field=about.get("sessionField", default.session_field),
        message_field=about.get("messageField", default.message_field),
    )


_ROWS_A_GROUP: Final = 16_384
_GROUP_BYTES: Final = 16 << 20
# A larger row group, as other programs write, is read in batches.
_LARGEST_CHUNK: Final = 64 << 20
_ZSTD_LEVEL: Final = 1
# Columns with repeated values: a dictionary of the others costs time and space.
_REPEATED: Final = ("sessionId", "type", "role", "name", "model", "input_tokens", "output_tokens", "extra")

_NEEDED: Final = ("_id", "_creationTime", "sessionId", "type", "extra")


def to_table(pages: Iterable[Page], names: Names, origin: str) -> pa.Table:
    """Return all rows as one Arrow table, with the columns of the Parquet files."""
    schema = arrow_schema(names, origin)
    batches = (batch for page in pages for batch in _encoded(page, schema))
    return pa.Table.from_batches(batches, schema)


def _encoded(page: Page, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    return (batch.replace_schema_metadata(schema.metadata) for batch in encode_columns(page.batch))


class ParquetWriter:
    """Writes rows into one Parquet file, a row group at a time."""

    def __init__(self, stream: BinaryIO, names: Names, origin: str, *, rows_a_group: int = _ROWS_A_GROUP) -> None:
        self._rows_a_group = rows_a_group
        self._schema = arrow_schema(names, origin)
        self._writer = pq.ParquetWriter(
            stream, self._schema, compression="zstd", compression_level=_ZSTD_LEVEL, use_dictionary=list(_REPEATED)
        )
        self._waiting: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0
        self._thread = ThreadPoolExecutor(1, "parquet")
        self._written: Future[None] | None = None

    def write(self, page: Page) -> None:
        """Add the rows of a page; they are held as compact Arrow data until their row group is complete."""
        self._add(_encoded(page, self._schema))

    def write_encoded(self, encoded: list[list[pa.RecordBatch]], numbers: list[int]) -> None:
        """Add rows that `encode_columns` has encoded."""
        self._add(_with_numbers(chain.from_iterable(encoded), numbers, self._schema))

    def _add(self, batches: Iterable[pa.RecordBatch]) -> None:
        for batch in batches:
            self._waiting.append(batch)
            self._rows += batch.num_rows
            self._bytes += batch.nbytes
            if self._rows >= self._rows_a_group or self._bytes >= _GROUP_BYTES:
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


def _record(found: pa.RecordBatch, names: Names) -> bytes | str:
    try:
        return batch_of(found, names).texts()[0]
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


def row_groups_in(path: Path, *, largest: int = _LARGEST_CHUNK) -> Iterator[RowGroup] | None:
    """Return the row groups of a file as chunks; None if one is too large to be held whole.

    Raises:
        Damaged, UsageError: as `read_parquet`.
    """
    read_parquet(path)
    metadata = _open(path).metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    if any(group.total_byte_size > largest for group in groups):
        return None
    before = accumulate((group.num_rows for group in groups), initial=0)
    return (RowGroup(path, number, first) for number, first in enumerate(islice(before, len(groups))))


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A row group of a Parquet file (`sync_tool.files.chunks.Chunk`)."""

    path: Path
    number: int
    before: int
    """Number of rows before it."""

    def pages(self, names: Names) -> Iterator[Page]:
        """Yield the rows.

        Raises:
            Damaged: a row cannot be rebuilt; the error names it.
        """
        file = _open(self.path)
        yield from _rebuilt(self._batches(file), self.path, self.before, names)

    def _batches(self, file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
        table = file.read_row_group(self.number, columns=_columns_there(file), use_threads=False)
        yield from table.to_batches(max_chunksize=ROWS_A_BATCH)


def _read_pages(file: pq.ParquetFile, path: Path, names: Names) -> Iterator[Page]:
    batches = file.iter_batches(batch_size=ROWS_A_BATCH, columns=_columns_there(file))
    yield from _rebuilt(batches, path, 0, names)


def _rebuilt(batches: Iterable[pa.RecordBatch], path: Path, number: int, names: Names) -> Iterator[Page]:
    """Yield the rows of batches, the first of which has `number` rows before it; an error names the row."""
    try:
        for found in batches:
            try:
                yield Page(batch_of(found, names), found.nbytes)
            except ValueError as error:
                if isinstance(error, pa.ArrowException):
                    raise
                raise _first_bad(found, names, path, number) from None
            number += found.num_rows
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


# Arrow arrays of Python lists, built in their memory layout (https://arrow.apache.org/docs/format/Columnar.html).
# `pyarrow.array` imports pandas, if it is installed, to check for its series: 55 MB and half a second.


def array_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return an Arrow array of strings (``str``), doubles (``float``) or 64-bit integers (``int``), with nulls."""
    if pa.types.is_string(kind):
        return _strings(values, kind)
    code = "d" if pa.types.is_floating(kind) else "q"
    numbers = array(code, [0 if value is None else value for value in values])
    return pa.Array.from_buffers(kind, len(values), [_validity(values), pa.py_buffer(numbers)])


def _strings(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if values.count(None) == len(values):
        return pa.nulls(len(values), kind)
    validity = _validity(values)
    texts = ["" if value is None else value for value in values] if validity else values
    data = "".join(texts).encode()
    lengths = map(len, texts) if data.isascii() else (len(text.encode()) for text in texts)
    buffers = [validity, pa.py_buffer(array("i", accumulate(lengths, initial=0))), pa.py_buffer(data)]
    return pa.Array.from_buffers(kind, len(values), buffers)


def _validity(values: Sequence[Any]) -> pa.Buffer | None:
    """Return the bitmap of values that are not null, first value in the lowest bit; None if none is null."""
    nothing = values.count(None)
    if not nothing:
        return None
    there = pa.py_buffer(bytes([value is not None for value in values]))
    return pa.Array.from_buffers(pa.uint8(), len(values), [None, there]).cast(pa.bool_()).buffers()[1]
