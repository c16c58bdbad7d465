"""Parquet: the flat columns of `sync_tool.rows`, zstd, and the deployment's names in the metadata.

Plain strings: pandas and Polars stumble over Arrow's dictionary and JSON types, and Parquet makes
dictionaries by itself. With `sync_tool.files.arrow` the only module that imports pyarrow.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sync_tool._version import __version__
from sync_tool.encoding.canonical import dumps, loads
from sync_tool.encoding.plain import plain_texts
from sync_tool.errors import Damaged, UsageError
from sync_tool.files.arrow import array_of, list_of
from sync_tool.model import Names, Page
from sync_tool.rowblocks import flatten_block, unflatten_all
from sync_tool.rowreader import RowReader, as_block
from sync_tool.rows import COLUMNS, READ, flatten, unflatten

FORMAT_VERSION: Final = 1
_METADATA: Final = b"convex-msgs"
_ROWS_A_GROUP: Final = 16_384
_GROUP_BYTES: Final = 16 << 20
_ROWS_A_PAGE: Final = 1000
_ZSTD_LEVEL: Final = 1

_TYPES: Final = {
    "_creationTime": pa.float64(),
    "created_at": pa.timestamp("us", "UTC"),
    "n": pa.int64(),
    "input_tokens": pa.int64(),
    "output_tokens": pa.int64(),
}
_NEEDED: Final = ("_id", "_creationTime", "sessionId", "type", "extra")


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


def to_table(pages: Iterable[Page], names: Names, origin: str) -> pa.Table:
    """Return all rows as one Arrow table, columns exactly as in the Parquet files."""
    schema = arrow_schema(names, origin)
    batches = (batch for page in pages for batch in _batches_of(page, schema, names))
    return pa.Table.from_batches(batches, schema)


class ParquetWriter:
    """Writes rows into one Parquet file, a row group at a time."""

    def __init__(self, stream: BinaryIO, names: Names, origin: str) -> None:
        self._names = names
        self._schema = arrow_schema(names, origin)
        self._writer = pq.ParquetWriter(stream, self._schema, compression="zstd", compression_level=_ZSTD_LEVEL)
        self._waiting: list[pa.RecordBatch] = []
        self._thread = ThreadPoolExecutor(1, "parquet")
        self._written: Future[None] | None = None

    def write(self, page: Page) -> None:
        """Take the rows of a page; what waits for its row group is held as compact Arrow data."""
        self._waiting += _batches_of(page, self._schema, self._names)
        rows = sum(batch.num_rows for batch in self._waiting)
        if rows >= _ROWS_A_GROUP or sum(batch.nbytes for batch in self._waiting) >= _GROUP_BYTES:
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
            self._waiting = []
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
    names = _names_in(file.schema_arrow)
    return names, _read_pages(file, path, names)


def read_parquet_records(path: Path) -> Iterator[bytes | str]:
    """Yield each row of a file as ``convex_encoded_json``, or as text why it cannot be put together.

    Raises:
        Damaged: not Parquet, or damaged.
        UsageError: Parquet with other columns, or the file cannot be opened.
    """
    names, _ = read_parquet(path)
    try:
        for batch in _batches(_open(path)):
            for row in range(batch.num_rows):
                yield _record(batch.slice(row, 1), names)
    except pa.ArrowException as error:
        raise Damaged(f"{path} is damaged: {_first_line(error)}") from None


def _record(batch: pa.RecordBatch, names: Names) -> bytes | str:
    try:
        return _page(batch, names).rows[0].raw
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


def _read_pages(file: pq.ParquetFile, path: Path, names: Names) -> Iterator[Page]:
    number = 0
    try:
        for batch in _batches(file):
            try:
                yield _page(batch, names)
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


def _batches(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """Yield what of the columns of `READ` is there."""
    there = [name for name in READ if name in file.schema_arrow.names]
    yield from file.iter_batches(batch_size=_ROWS_A_PAGE, columns=there)


def _page(batch: pa.RecordBatch, names: Names) -> Page:
    """Put rows together; all at once where the file holds nothing but plain JSON.

    Raises:
        ValueError: one of them cannot be.
    """
    there = batch.schema.names
    *columns, extras = (list_of(batch[name]) if name in there else [None] * len(batch) for name in READ)
    reader = RowReader(names)
    plain = plain_texts([(extra or "{}").encode() for extra in extras]) if _is_plain(batch) else None
    if plain is not None:
        unflatten_all(columns, plain, names)
        return reader.plain_page(plain, batch.nbytes)
    values = [loads(extra) if extra else None for extra in extras]
    rows = zip(zip(*columns, strict=True), values, strict=True)
    return Page([reader.row(dumps(unflatten(*row, names))) for row in rows], batch.nbytes)


def _is_plain(batch: pa.RecordBatch) -> bool:
    """Tell whether columns are as this tool writes them and hold no number that JSON cannot spell."""
    kinds = {field.name: field.type for field in batch.schema}
    if any(kind != _TYPES.get(name, pa.string()) for name, kind in kinds.items()):
        return False
    times = batch["_creationTime"]
    return not times.null_count and all(0.0 < time < math.inf for time in list_of(times))


def _names_in(schema: pa.Schema) -> Names:
    about = json.loads((schema.metadata or {}).get(_METADATA, b"{}"))
    default = Names()
    return Names(
        table=about.get("table", default.table),
        index=about.get("index", default.index),
        session_field=about.get("sessionField", default.session_field),
        message_field=about.get("messageField", default.message_field),
    )


def _batches_of(page: Page, schema: pa.Schema, names: Names) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a page as columns, not all decoded at once: values take ten times the room of their JSON."""
    block = page.block or as_block(page.rows, names)
    for start in range(0, page.count, _ROWS_A_PAGE):
        places = range(start, min(start + _ROWS_A_PAGE, page.count))
        part = None if block is None else block.at(places)
        columns = None if part is None else flatten_block(part)
        if columns is None:
            rows = [page.rows[place] for place in places] if part is None else part.rows()
            flat = [flatten(row.value, names, row.n) for row in rows]
            columns = [list(column) for column in zip(*flat, strict=True)]
        arrays = [array_of(column, field.type) for column, field in zip(columns, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
