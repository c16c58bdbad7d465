"""Documents: validation, ids and creation times.

Source: get-convex/convex-backend, ``crates/common/src/document.rs``,
``crates/database/src/transaction_id_generator.rs``.
"""

from __future__ import annotations

import math
import os
import time
from typing import Final, NamedTuple

from sync_tool.encoding import canonical, sizes
from sync_tool.encoding.ids import DocumentId, encode_id
from sync_tool.encoding.values import Value
from sync_tool.sandbox.faults import developer_error
from sync_tool.sandbox.limits import binary_size

_DAY_SECONDS: Final = 86_400
_RANDOM_BYTES: Final = 14
_MAX_EXACT: Final = float(2**53)


class Row(NamedTuple):
    """Stored document, not decoded."""

    key: bytes  # Key in the index that was read
    size: int  # Size in bytes, as Convex counts it
    body: bytes  # Canonical ``convex_encoded_json``
    home: bytes  # Key in the index that orders the stored documents

    @property
    def document(self) -> dict[str, Value]:
        """Decoded document."""
        document: dict[str, Value] = canonical.loads(self.body)
        return document


def new_id(table_number: int) -> str:
    """Return a fresh ``_id``: 14 random bytes and the day, so ids do not reveal the order of inserts."""
    return new_ids(table_number, 1)[0]


def new_ids(table_number: int, count: int) -> list[str]:
    """Return fresh ids; one call reads all random bytes, because each call to the system is slow."""
    day = (int(time.time()) // _DAY_SECONDS).to_bytes(2, "big")
    random = os.urandom(_RANDOM_BYTES * count)
    starts = range(0, len(random), _RANDOM_BYTES)
    return [encode_id(DocumentId(table_number, random[start : start + _RANDOM_BYTES] + day)) for start in starts]


def next_time(creation_time: float) -> float:
    """Return the next `_creationTime` that a float64 of milliseconds can represent."""
    return math.nextafter(creation_time, math.inf)


def whole_document(fields: Value, document_id: str, creation_time: float) -> dict[str, Value]:
    """Add the system fields to a new document."""
    if type(fields) is not dict:
        raise developer_error("Documents must be objects.")
    given = fields.get("_id", document_id)
    if given != document_id:
        raise developer_error(f'Provided document ID "{document_id}" doesn\'t match \'_id\' field "{given}"')
    if fields.get("_creationTime", creation_time) != creation_time:
        raise developer_error(
            f"Provided creation time {creation_time!r} doesn't match '_creationTime' field in the document"
        )
    return {**fields, "_id": document_id, "_creationTime": creation_time}


def check_document(document: dict[str, Value]) -> sizes.Measured:
    """Raise FunctionError if a document is not valid; return its measures."""
    faults = [
        f"Field '{name}' starts with an underscore, which is only allowed for system fields like '_id'"
        for name in document
        if name.startswith("_") and name not in ("_id", "_creationTime")
    ]
    measured = sizes.measure(document)
    if measured.nesting > sizes.MAX_DOCUMENT_NESTING:
        faults.append(f"Document is too nested (nested {measured.nesting} levels deep > maximum nesting 16)")
    moment = document["_creationTime"]
    if type(moment) is not float or not 0.0 < moment < _MAX_EXACT:
        faults.append(f"_creationTime {moment!r} is not a valid creation time")
    if faults:
        raise developer_error(f"{document['_id']} isn't a valid document: " + "\n ".join(faults))
    if measured.size > sizes.MAX_DOCUMENT_BYTES:
        limit = binary_size(sizes.MAX_DOCUMENT_BYTES)
        raise developer_error(f"Value is too large ({binary_size(measured.size)} > maximum size {limit})")
    return measured
