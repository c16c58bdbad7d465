"""Digests by which histories are compared where ids and times differ."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

DIGEST_BYTES: Final = 16
_NONE: Final = bytes(DIGEST_BYTES)


def message_digest(document: bytes) -> bytes:
    """Return the digest of one message.

    Args:
        document: the canonical bytes of the row without ``_id`` and ``_creationTime``.
    """
    return blake2b(document, digest_size=DIGEST_BYTES).digest()


class HistoryDigest:
    """The digest of a session: of its messages in order, without ids and times.

    A chain, so that its value is all there is to keep in order to go on.

    Args:
        value: of the messages so far; without it, of none.
    """

    def __init__(self, value: bytes = _NONE) -> None:
        self.value = value

    def add(self, digest: bytes) -> None:
        """Go on with the next message, given by its `message_digest`."""
        self.value = blake2b(self.value + digest, digest_size=DIGEST_BYTES).digest()

    @property
    def hex(self) -> str:
        """The value as text."""
        return self.value.hex()
