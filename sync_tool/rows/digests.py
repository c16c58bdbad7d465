"""Fingerprints by which rows and histories are compared without keeping them.

Two of them, since after an import ids and times differ: rows with their ids and times for copies of one
origin, histories in order without ids and times for everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import msgspec

BYTES: Final = 16
_MODULUS: Final = 1 << (8 * BYTES)
_NONE: Final = bytes(BYTES)
_SYSTEM_FIELDS: Final = ("_id", "_creationTime")

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder(order="sorted").encode


def row_digest(canonical: bytes) -> bytes:
    """Return the blake2b-128 of a row in canonical bytes, ``_id`` and ``_creationTime`` included."""
    return blake2b(canonical, digest_size=BYTES).digest()


def content_bytes(canonical: bytes) -> bytes:
    """Return the canonical bytes of a row without ``_id`` and ``_creationTime``.

    Args:
        canonical: the whole row in canonical bytes; their spelling passes through a plain JSON parser unchanged.
    """
    document = _decode(canonical)
    for name in _SYSTEM_FIELDS:
        document.pop(name, None)
    return _encode(document)


@dataclass(slots=True)
class DigestSum:
    """Digests added up mod 2^128, with their count: equal for equal rows, in whatever order.

    A sum, since XOR would not see two equal rows.
    """

    total: int = 0
    count: int = 0

    def add(self, digest: bytes) -> None:
        """Count one more."""
        self.total = (self.total + int.from_bytes(digest, "big")) % _MODULUS
        self.count += 1

    def add_all(self, digests: Sequence[bytes]) -> None:
        """Count more."""
        self.total = (self.total + sum(map(int.from_bytes, digests))) % _MODULUS  # "big" is its default
        self.count += len(digests)

    def __add__(self, other: DigestSum) -> DigestSum:
        """Return the sum of both."""
        return DigestSum((self.total + other.total) % _MODULUS, self.count + other.count)

    def __sub__(self, other: DigestSum) -> DigestSum:
        """Return what is left without another."""
        return DigestSum((self.total - other.total) % _MODULUS, self.count - other.count)

    @property
    def hex(self) -> str:
        """The sum as 32 hexadecimal digits."""
        return f"{self.total:032x}"


def message_digest(document: bytes) -> bytes:
    """Return the digest of one message.

    Args:
        document: the canonical bytes of the row without ``_id`` and ``_creationTime``.
    """
    return blake2b(document, digest_size=BYTES).digest()


class HistoryDigest:
    """The digest of a session: of its messages in order, without ids and times.

    A chain, so that its value is all there is to keep in order to go on.

    Args:
        value: of the messages so far; without it, of none.
    """

    def __init__(self, value: bytes = _NONE) -> None:
        self.value = value

    def add(self, digest: bytes) -> None:
        """Add the next message, given by its `message_digest`."""
        self.value = blake2b(self.value + digest, digest_size=BYTES).digest()

    @property
    def hex(self) -> str:
        """The value as text."""
        return self.value.hex()
