"""Parquet: the flat columns of `sync_tool.rows.columns`, zstd, and the deployment's names in the metadata.

Plain strings: pandas and Polars stumble over Arrow's dictionary and JSON types, and Parquet makes
dictionaries by itself. With `sync_tool.files.parquet` and `arrow` the only module that imports pyarrow.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from sync_tool._version import __version__
from sync_tool.encoding.canonical import dumps, loads
from sync_tool.encoding.plain import plain_texts
from sync_tool.errors import Damaged, UsageError
from sync_tool.files.arrow import array_of
from sync_tool.files.ready import ReadyPage
from sync_tool.rows.columns import COLUMNS, READ, flatten, flatten_block, unflatten, unflatten_all
from sync_tool.rows.model import Names, Page
from sync_tool.rows.reading import RowReader, as_block
from sync_tool.rows.typed import TypedRows, flatten_rows, unflatten_rows

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


def batches_of(page: Page, schema: pa.Schema, names: Names) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a page as columns, not all decoded at once: values take ten times the room of their JSON."""
    block = page.block or as_block(page.rows, names)
    for start in range(0, page.count, ROWS_A_BATCH):
        places = range(start, min(start + ROWS_A_BATCH, page.count))
        part = None if block is None else block.at(places)
        columns = None if part is None else flatten_block(part)
        if columns is None:
            rows = [page.rows[place] for place in places] if part is None else part.rows()
            flat = [flatten(row.value, names, row.n) for row in rows]
            columns = [list(column) for column in zip(*flat, strict=True)]
        yield _batch(columns, schema)


def _batch(columns: list[list[Any]], schema: pa.Schema) -> pa.RecordBatch:
    arrays = [array_of(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


class BatchForm:
    """Rows as record batches in Arrow's format for other processes (`sync_tool.files.ready.Form`)."""

    def lay_typed(self, rows: TypedRows, numbers: list[int], names: Names) -> list[bytes]:
        """Return typed rows as a batch."""
        return [_packed(_batch(flatten_rows(rows, numbers, names), _fields(names)))]

    def lay_page(self, page: Page, names: Names) -> list[bytes]:
        """Return the rows of a page as batches."""
        return list(map(_packed, batches_of(page, _fields(names), names)))


def batches_in(page: ReadyPage, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the batches that `BatchForm` made, the rows of a session that began before numbered on."""
    wrong = page.ready.first_run if page.before else 0
    for packed in (one for laid in page.ready.laid for one in laid):
        batch = pa.ipc.read_record_batch(pa.py_buffer(packed), schema)
        if wrong:
            numbers = batch["n"].to_pylist()
            numbers[:wrong] = [number + page.before for number in numbers[:wrong]]
            wrong = max(0, wrong - len(numbers))
            batch = batch.set_column(_N, schema.field(_N), array_of(numbers, pa.int64()))
        yield batch


@cache
def _fields(names: Names) -> pa.Schema:
    """Return the schema of batches that another process puts into a file."""
    return arrow_schema(names, "")


def _packed(batch: pa.RecordBatch) -> bytes:
    packed: bytes = batch.serialize().to_pybytes()
    return packed


def rows_of(batch: pa.RecordBatch, names: Names) -> TypedRows | Page:
    """Put rows together, typed if each holds a message and nothing beside it.

    Raises:
        ValueError: one of them cannot be.
    """
    *columns, extras = _columns(batch)
    rows = unflatten_rows(columns, extras, names) if _is_plain(batch) else None
    return page_of(batch, names) if rows is None else rows


def page_of(batch: pa.RecordBatch, names: Names) -> Page:
    """Put rows together; all at once where the file holds nothing but plain JSON.

    Raises:
        ValueError: one of them cannot be.
    """
    *columns, extras = _columns(batch)
    reader = RowReader(names)
    plain = plain_texts([(extra or "{}").encode() for extra in extras]) if _is_plain(batch) else None
    if plain is not None:
        unflatten_all(columns, plain, names)
        return reader.plain_page(plain, batch.nbytes)
    values = [loads(extra) if extra else None for extra in extras]
    rows = zip(zip(*columns, strict=True), values, strict=True)
    return Page([reader.row(dumps(unflatten(*row, names))) for row in rows], batch.nbytes)


def _columns(batch: pa.RecordBatch) -> list[list[Any]]:
    """Return what the columns of `READ` hold.

    Raises:
        ValueError: text that is not UTF-8.
    """
    there = batch.schema.names
    return [batch[name].to_pylist() if name in there else [None] * len(batch) for name in READ]


def _is_plain(batch: pa.RecordBatch) -> bool:
    """Tell whether columns are as this tool writes them and hold no number that JSON cannot spell."""
    kinds = {field.name: field.type for field in batch.schema}
    if any(kind != _TYPES.get(name, pa.string()) for name, kind in kinds.items()):
        return False
    times = batch["_creationTime"]
    return not times.null_count and all(0.0 < time < math.inf for time in times.to_pylist())


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
