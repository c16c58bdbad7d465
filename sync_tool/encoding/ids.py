"""Convex document ids: table number, 16 random bytes and a checksum in Crockford base32.

Source: get-convex/convex-backend, ``crates/value/src/id_v6.rs`` and ``base32.rs``.
"""

from __future__ import annotations

from functools import cache
from itertools import accumulate
from typing import Final, NamedTuple

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = [one + other for one in ALPHABET for other in ALPHABET]
_DIGITS: Final = {letter: number for number, letter in enumerate(ALPHABET)}
_INTERNAL_BYTES: Final = 16


class DocumentId(NamedTuple):
    """The parts of an ``_id``."""

    table_number: int
    """Number of the table inside its deployment; user tables start at 10,001."""
    internal: bytes
    """16 bytes that name the document."""


def encode_id(document_id: DocumentId) -> str:
    """Return the 31 to 37 characters that Convex shows for `document_id`."""
    body = _varint(document_id.table_number) + document_id.internal
    return _base32(body + _checksum(body))


def decode_id(text: str) -> DocumentId:
    """Take an ``_id`` apart.

    Raises:
        ValueError: `text` is not the canonical form of any document id.
    """
    try:
        data = _unbase32(text)
    except KeyError as error:
        raise ValueError(f"{text!r} is not a document id: letter {error.args[0]!r}") from None
    number, used = _unvarint(data)
    document_id = DocumentId(number, data[used:-2])
    if len(document_id.internal) != _INTERNAL_BYTES or encode_id(document_id) != text:
        raise ValueError(f"{text!r} is not a document id: its checksum or length is wrong")
    return document_id


@cache
def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _unvarint(data: bytes) -> tuple[int, int]:
    number = 0
    for position, byte in enumerate(data[:5]):
        number |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return number, position + 1
    raise ValueError("not a document id: no table number")


def _checksum(data: bytes) -> bytes:
    """Return the sum of the bytes, and the sum of what it was after each byte."""
    return bytes((sum(data) % 256, sum(accumulate(data)) % 256))


def _base32(data: bytes) -> str:
    count = -(-len(data) * 8 // 5)
    pairs = -(-count // 2)
    number = int.from_bytes(data, "big") << (pairs * 10 - len(data) * 8)
    return "".join([_PAIRS[number >> shift & 1023] for shift in range((pairs - 1) * 10, -1, -10)])[:count]


def _unbase32(text: str) -> bytes:
    number = 0
    for letter in text:
        number = number << 5 | _DIGITS[letter]
    spare = len(text) * 5 % 8
    return (number >> spare).to_bytes(len(text) * 5 // 8, "big")
