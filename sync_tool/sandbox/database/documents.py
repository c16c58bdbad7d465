"""Documents: what Convex stores and refuses to store, and the ids and times it gives them.

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
    """A stored document, not decoded."""

    key: bytes
    """Its key in the index it was read from."""
    size: int
    """Bytes that Convex counts for it."""
    body: bytes
    """Canonical ``convex_encoded_json``."""
    home: bytes
    """Its key in the index that the store keeps documents in the order of."""

    @property
    def document(self) -> dict[str, Value]:
        """The document itself."""
        document: dict[str, Value] = canonical.loads(self.body)
        return document


def new_id(table_number: int) -> str:
    """Return a fresh ``_id``: 14 random bytes and the day, so ids do not tell the order of inserts."""
    return new_ids(table_number, 1)[0]


def new_ids(table_number: int, count: int) -> list[str]:
    """Return fresh ids, as `new_id` does; all randomness is asked for at once, which is what takes time."""
    day = (int(time.time()) // _DAY_SECONDS).to_bytes(2, "big")
    random = os.urandom(_RANDOM_BYTES * count)
    starts = range(0, len(random), _RANDOM_BYTES)
    return [encode_id(DocumentId(table_number, random[start : start + _RANDOM_BYTES] + day)) for start in starts]


def next_time(creation_time: float) -> float:
    """Return the next `_creationTime` that a float64 of milliseconds can tell apart."""
    return math.nextafter(creation_time, math.inf)


def whole_document(fields: Value, document_id: str, creation_time: float) -> dict[str, Value]:
    """Complete the fields of a new document with its system fields.

    Raises:
        FunctionError: it is not an object, or it has other system fields.
    """
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
    """Refuse what may not be stored; return the measures of what may.

    Raises:
        FunctionError: reserved fields, too deep, too large, or a creation time out of range.
    """
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
