"""How Convex identifies, dates and spells a row."""

import base64
import hashlib
import math
import struct
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

TABLE_NUMBER = 10_001
DAY_MS = 86_400_000
# One step of a double of this size: what Convex adds from row to row inside a mutation.
TICK_MS = 2.0**-12

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_T = TypeVar("_T")


class Dice:
    """Random-looking numbers that are the same on every machine and Python version."""

    def __init__(self, seed: str) -> None:
        """Start the sequence that belongs to `seed`."""
        self._seed = seed.encode()
        self._thrown = 0

    def bytes(self, count: int) -> bytes:
        """Return `count` bytes (at most 64)."""
        self._thrown += 1
        text = self._seed + b"/%d" % self._thrown
        return hashlib.blake2b(text, digest_size=count).digest()

    def below(self, limit: int) -> int:
        """Return a number from 0 to `limit` - 1."""
        return int.from_bytes(self.bytes(8), "big") % limit

    def between(self, low: int, high: int) -> int:
        """Return a number from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def pick(self, items: Sequence[_T]) -> _T:
        """Return one of `items`."""
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[_T]) -> list[_T]:
        """Return `items` in another order."""
        rest = list(items)
        return [rest.pop(self.below(len(rest))) for _ in items]

    def word(self, length: int) -> str:
        """Return letters and digits, as in the ids that model providers give."""
        return "".join(self.pick(_ALPHABET) for _ in range(length))

    def uuid(self) -> str:
        """Return a random UUID (version 4)."""
        raw = bytearray(self.bytes(16))
        raw[6] = raw[6] & 0x0F | 0x40
        raw[8] = raw[8] & 0x3F | 0x80
        text = raw.hex()
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def document_id(random: bytes, created_ms: float, table_number: int = TABLE_NUMBER) -> str:
    """Return the id of a document: table number, 14 random bytes, day, checksum."""
    day = int(created_ms // DAY_MS)
    body = _varint(table_number) + random + day.to_bytes(2, "big")
    return _base32(body + _fletcher16(body))


def to_line(row: dict[str, Any]) -> bytes:
    """Return the row as one line of canonical JSONL."""
    return msgspec.json.encode(_stored(row), order="sorted") + b"\n"


def is_storable(value: object) -> bool:
    """Return whether all text in `value` is valid Unicode; Convex holds no other."""
    if isinstance(value, str):
        return not any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, dict):
        return all(is_storable(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return all(is_storable(part) for part in value)
    return True


def _stored(value: object) -> object:
    """Return `value` with every number as Float64; special ones become `$float`."""
    if isinstance(value, dict):
        return {key: _stored(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_stored(part) for part in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    number = float(value)
    if math.isfinite(number) and (number or math.copysign(1, number) > 0):
        return number
    return {"$float": base64.b64encode(struct.pack("<d", number)).decode()}


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >> 7:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _fletcher16(data: bytes) -> bytes:
    low = high = 0
    for byte in data:
        low = (low + byte) % 256
        high = (high + low) % 256
    return bytes((low, high))


def _base32(data: bytes) -> str:
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    return "".join(_ALPHABET[int(bits[i : i + 5], 2)] for i in range(0, len(bits), 5))
