"""Parquet: the flat columns of `sync_tool.rows`, zstd, and the deployment's names in the metadata.

Plain strings: pandas and Polars stumble over Arrow's dictionary and JSON types, and Parquet makes
dictionaries by itself. With `sync_tool.files.arrow` the only module that imports pyarrow.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sync_tool._version import __version__
from sync_tool.encoding.canonical import dumps
from sync_tool.errors import Damaged, UsageError
from sync_tool.files.arrow import array_of
from sync_tool.model import Names, Page
from sync_tool.rowreader import RowReader
from sync_tool.rows import COLUMNS, flatten, unflatten

FORMAT_VERSION: Final = 1
_METADATA: Final = b"convex-msgs"
_ROWS_A_GROUP: Final = 16_384
_GROUP_BYTES: Final = 16 << 20
_ROWS_A_PAGE: Final = 1000
_NOT_READ: Final = frozenset({"created_at", "n", "model", "input_tokens", "output_tokens"})
"""Derived columns. (A date past 9999 could not even be looked at.)"""

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
    return pa.Table.from_batches((_batch(page, schema, names) for page in pages), schema)


class ParquetWriter:
    """Writes rows into one Parquet file, a row group at a time."""

    def __init__(self, stream: BinaryIO, names: Names, origin: str) -> None:
        self._names = names
        self._schema = arrow_schema(names, origin)
        self._writer = pq.ParquetWriter(stream, self._schema, compression="zstd")
        self._waiting: list[pa.RecordBatch] = []

    def write(self, page: Page) -> None:
        """Take the rows of a page; what waits for its row group is held as compact Arrow data."""
        if page.rows:
            self._waiting.append(_batch(page, self._schema, self._names))
        rows = sum(batch.num_rows for batch in self._waiting)
        if rows >= _ROWS_A_GROUP or sum(batch.nbytes for batch in self._waiting) >= _GROUP_BYTES:
            self._flush()

    def finish(self) -> None:
        """Write what waits, and the footer."""
        self._flush()
        self._writer.close()

    def close(self) -> None:
        """Let go of the stream; pyarrow would write a footer into it later otherwise."""
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            table = pa.Table.from_batches(self._waiting, self._schema)
            self._writer.write_table(table, row_group_size=table.num_rows)
            self._waiting = []


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
    file = _open(path)
    read = [name for name in COLUMNS if name in file.schema_arrow.names and name not in _NOT_READ]
    try:
        for batch in file.iter_batches(batch_size=_ROWS_A_PAGE, columns=read):
            for row in range(batch.num_rows):
                yield _record(batch.slice(row, 1), names)
    except pa.ArrowException as error:
        raise Damaged(f"{path} is damaged: {_first_line(error)}") from None


def _record(batch: pa.RecordBatch, names: Names) -> bytes | str:
    try:
        return dumps(unflatten(batch.to_pylist()[0], names))
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
    read_row = RowReader(names).row
    read = [name for name in COLUMNS if name in file.schema_arrow.names and name not in _NOT_READ]
    number = 0
    try:
        for batch in file.iter_batches(batch_size=_ROWS_A_PAGE, columns=read):
            page = Page([], batch.nbytes)
            for columns in batch.to_pylist():
                number += 1
                page.rows.append(read_row(dumps(unflatten(columns, names))))
            yield page
    except pa.ArrowException as error:
        raise Damaged(f"{path} is damaged after row {number}: {_first_line(error)}") from None
    except ValueError as error:
        raise Damaged(f"{path}, row {number}: {error}") from None


def _names_in(schema: pa.Schema) -> Names:
    about = json.loads((schema.metadata or {}).get(_METADATA, b"{}"))
    default = Names()
    return Names(
        table=about.get("table", default.table),
        index=about.get("index", default.index),
        session_field=about.get("sessionField", default.session_field),
        message_field=about.get("messageField", default.message_field),
    )


def _batch(page: Page, schema: pa.Schema, names: Names) -> pa.RecordBatch:
    rows = [flatten(row.value, names, row.n) for row in page.rows]
    columns = [array_of([row[field.name] for row in rows], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
