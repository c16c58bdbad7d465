"""Opaque cursors: a position in one query of one deployment, encrypted with the deployment's secret.

A cursor is deterministic: the same position always gives the same text. It names an index key, not a row.
Its form follows get-convex/convex-backend, ``crates/keybroker/src/{broker,encryptor}.rs``. The cipher differs: the
standard library has none, and only this deployment reads its cursors.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from sync_tool.sandbox.faults import FunctionError, developer_error

_VERSION: Final = b"\x07"
_TAG: Final = 16
_PRINT: Final = 16
_END: Final = b"\x00"
_AFTER: Final = b"\x01"


class Cursors:
    """Writes and reads the cursors of one deployment."""

    def __init__(self, secret: bytes, instance: str) -> None:
        self._key = hashlib.blake2b(b"cursor:" + instance.encode(), key=secret, digest_size=32).digest()

    def write(self, fingerprint: bytes, key: bytes | None) -> str:
        """Return the cursor of the position after an index key; None stands for the end."""
        plain = fingerprint + (_END if key is None else _AFTER + key)
        tag = hmac.digest(self._key, plain, "sha256")[:_TAG]
        return (_VERSION + tag + self._mask(tag, plain)).hex()

    def read(self, text: str, fingerprint: bytes) -> bytes | None:
        """Return the index key before the position of a cursor, or None at the end."""
        plain = self._open(text)
        if plain[:_PRINT] != fingerprint:
            raise FunctionError(
                "Uncaught ConvexError: InvalidCursor: Tried to run a query starting from a cursor, but it looks"
                " like this cursor is from a different query.",
                data={"isConvexSystemError": True, "paginationError": "InvalidCursor"},
                thrown=True,
            )
        position = plain[_PRINT:]
        return None if position == _END else position[1:]

    def _open(self, text: str) -> bytes:
        try:
            data = bytes.fromhex(text)
        except ValueError:
            data = b""
        tag, body = data[1 : 1 + _TAG], data[1 + _TAG :]
        plain = self._mask(tag, body)
        expected = hmac.digest(self._key, plain, "sha256")[:_TAG]
        if data[:1] != _VERSION or not hmac.compare_digest(expected, tag):
            raise developer_error("Failed to parse cursor")
        return plain

    def _mask(self, tag: bytes, data: bytes) -> bytes:
        """Encrypt or decrypt: XOR with a key stream derived from the tag."""
        stream = hashlib.shake_256(self._key + tag).digest(len(data))
        return (int.from_bytes(data) ^ int.from_bytes(stream)).to_bytes(len(data))


def fingerprint_of(*parts: object) -> bytes:
    """Return a digest of a query: source, range, order and filters."""
    return hashlib.sha256(repr(parts).encode()).digest()[:_PRINT]
