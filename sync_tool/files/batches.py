"""Rows as Arrow's record batches, with the columns of `sync_tool.rows`, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import pyarrow as pa

from sync_tool._version import __version__
from sync_tool.encoding.canonical import dumps, loads
from sync_tool.encoding.plain import plain_texts
from sync_tool.files.arrow import array_of
from sync_tool.files.ready import ReadyPage
from sync_tool.model import Names, Page
from sync_tool.rowblocks import flatten_block, unflatten_all
from sync_tool.rowreader import RowReader, as_block
from sync_tool.rows import COLUMNS, READ, flatten, unflatten
from sync_tool.typedrows import TypedRows, flatten_rows, unflatten_rows

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
