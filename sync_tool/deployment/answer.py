"""What came back over HTTP, and how a body is read: within a time, into memory or into a file."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, Final

import urllib3

from sync_tool.errors import OutputError

MAX_RETRY_AFTER: Final = 120.0

_SLOWEST: Final = 64 * 1024
"""Bytes a second that a long body must come at: 200 MB on a slow line have most of an hour, one that drips has none."""

_START: Final = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    body: bytes
    """The body; of one that went into a file only how it begins and ends."""
    size: int = 0
    """Bytes of the body."""

    @property
    def code(self) -> str:
        """The short code of the backend's error body ``{"code", "message"}``; empty where there is none."""
        return str(self._error().get("code", ""))

    @property
    def message(self) -> str:
        """The backend's own words about an error; empty where there are none."""
        return str(self._error().get("message", ""))

    @property
    def garbled(self) -> bool:
        """True if a success carries no whole JSON text: a proxy's page, or a body that was cut off."""
        body = self.body.strip()
        whole = body[:1] in (b"{", b"[", b'"') and body[-1:] in (b"}", b"]", b'"')
        return self.status == 200 and not whole and body not in (b"null", b"true", b"false")

    @property
    def summary(self) -> str:
        """What it is, in a few words for an error."""
        if self.garbled:
            start = self.body[:_START].decode("utf-8", "replace")
            return f"not a Convex answer: {start!r}…" if start else "an empty answer"
        return f"HTTP {self.status} {self.code}".rstrip()

    def _error(self) -> dict[str, object]:
        try:
            error = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return error if isinstance(error, dict) else {}


def read_answer(response: urllib3.BaseHTTPResponse, seconds: float, into: BinaryIO | None = None) -> Answer:
    """Read a body within a time for all of it; urllib3's own timeout is between two bytes.

    Args:
        response: whose body was not read yet.
        seconds: for a small body; a large one has more, as long as it keeps coming.
        into: an empty file for the body of a success, instead of memory.

    Raises:
        HTTPError: it broke off, or took too long.
        OutputError: no space is left for the file.
    """
    begun = time.monotonic()
    file = into if into is not None and response.status == 200 else BytesIO()
    size = 0
    while chunk := response.read1():
        _write(file, chunk)
        size += len(chunk)
        if time.monotonic() - begun > seconds + size / _SLOWEST:
            response.close()
            raise urllib3.exceptions.TimeoutError
    if response.length_remaining:  # read1 takes an early end for the end
        response.close()
        raise urllib3.exceptions.ProtocolError("the body was cut off")
    response.release_conn()
    return Answer(response.status, file.getvalue() if isinstance(file, BytesIO) else _ends(file, size), size)


def _write(file: BinaryIO, chunk: bytes) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        raise OutputError(
            f"cannot keep an answer in the temporary folder: {error.strerror}.",
            hint=[("another", "TMPDIR=/folder/with/space")],
        ) from None


def _ends(file: BinaryIO, size: int) -> bytes:
    file.seek(0)
    start = file.read(_START)
    file.seek(max(len(start), size - _START))
    return start + file.read()


def retry_after(headers: urllib3.HTTPHeaderDict) -> float | None:
    """Return after how many seconds a server wants to be asked again; None where it did not say."""
    try:
        return min(urllib3.Retry().parse_retry_after(headers["Retry-After"]), MAX_RETRY_AFTER)
    except (KeyError, ValueError, OverflowError, urllib3.exceptions.InvalidHeader):
        return None
