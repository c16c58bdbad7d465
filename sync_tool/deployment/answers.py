"""What came back from a deployment: how its body is read, may it be asked again, and what is wrong?

What may be tried again follows the official clients and the backend's error classes
(get-convex/convex-backend, ``crates/errors/src/lib.rs``): everything for reading; for writing only
answers that prove that nothing was committed.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, Final
from urllib.parse import urljoin, urlsplit

import urllib3

from sync_tool.errors import NoStreaming, OutputError, Refused, Unreachable

_RETRIED: Final = frozenset({408, 421, 425, 429, 500, 502, 503, 504})
_UNCOMMITTED_CODES: Final = frozenset({
    "OptimisticConcurrencyControlFailure", "ExpiredInQueue", "WorkerOverloaded", "IsolateNotClean",
    "InitialPermitTimeoutError", "ExecuteFullError", "UpstreamConnectError",
})  # fmt: skip
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_LINE: Final = re.compile(rb"[!-;=-~][ -~]{0,255}")
"""Printable, and not the beginning of HTML."""

_MAX_RETRY_AFTER: Final = 120.0

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
    unsure: bool = False
    """True if an earlier attempt of the same request may have been done too: its answer was lost."""

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
    def is_none(self) -> bool:
        """True if this is a passing failure or no answer of a deployment at all."""
        return self.status in _RETRIED or self.garbled

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


class TryAgain(Exception):
    """A request got no usable answer and may be repeated.

    Attributes:
        wait: seconds to wait before, where the deployment said so.
        unsure: True if the request may have been done.
    """

    def __init__(self, what: str, wait: float | None = None, *, unsure: bool = False) -> None:
        super().__init__(what)
        self.wait = wait
        self.unsure = unsure


Again = Callable[[Answer], bool]
"""Decides whether a request with this answer is sent again."""


def read_again(answer: Answer) -> bool:
    """For requests that may be repeated whatever became of them."""
    return answer.is_none


def text_again(answer: Answer) -> bool:
    """Version and instance name are a line of plain text: nothing at all, a page of a proxy or noise is no answer."""
    return answer.status in _RETRIED or (answer.status == 200 and not _LINE.fullmatch(answer.body.strip()))


def status_again(answer: Answer) -> bool:
    """For requests whose answer may be empty."""
    return answer.status in _RETRIED or (answer.garbled and bool(answer.body))


def write_again(answer: Answer) -> bool:
    """For requests that may be done once: only where it is certain that nothing was done."""
    return answer.status == 429 or (answer.status == 503 and answer.code in _UNCOMMITTED_CODES)


def judged(answer: Answer, again: Again, url: str, wait: float | None) -> Answer:
    """Return an answer that is one.

    Raises:
        TryAgain: it is none, and `again` allows another attempt.
        Unreachable: it is none, and another attempt might do it twice.
        Refused: the deployment refused the key.
    """
    if again(answer):
        raise TryAgain(answer.summary, wait, unsure=not write_again(answer))
    if answer.status in _RETRIED or (again is write_again and answer.garbled):
        raise unreachable(url, answer.summary)
    if answer.status in (401, 403):
        raise refused(answer)
    return answer


def wait_for(error: Exception) -> bool | float:
    """Tell stamina whether to go on, and after how many seconds where the server said so."""
    if not isinstance(error, TryAgain):
        return False
    return True if error.wait is None else error.wait + random.uniform(0, 0.5)  # noqa: S311


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a ``Retry-After`` asks for, two minutes at most; None without a readable one."""
    try:
        return min(urllib3.Retry().parse_retry_after(headers["Retry-After"]), _MAX_RETRY_AFTER)
    except (KeyError, ValueError, OverflowError, urllib3.exceptions.InvalidHeader):
        return None


def unreachable(url: str, what: str) -> Unreachable:
    """Return the error that says that there was no usable answer."""
    return Unreachable(
        f"no usable answer from {url}: {what}.",
        hint=[("check", "the URL, the network, HTTPS_PROXY; then run the same command again")],
    )


def redirected(url: str, location: str) -> Refused:
    """Return the error that says where the deployment is instead; following would send the key there."""
    try:
        to = urlsplit(urljoin(url, location))
        there = f"{to.scheme}://{to.netloc.rpartition('@')[2]}"
    except ValueError:
        there = "elsewhere"
    return Refused(f"{url} redirects to {there}.", hint=[("use that URL", "--url URL, or its variable")])


def proxy_login() -> Refused:
    """Return the error of a proxy that wants a login."""
    return Refused(
        "the proxy wants another login than it got (HTTP 407).",
        hint=[("set", "HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"), ("or except", "the host, in NO_PROXY")],
    )


def refused(answer: Answer) -> Refused:
    """Return the error of a key that may not do this, or nothing at all."""
    words = answer.message or answer.code or f"HTTP {answer.status}"
    if answer.code == "OperationNotPermitted":
        return Refused(f"the key may not do this: {words}", code=answer.code, hint=[("check", "convex-msgs doctor")])
    if answer.code == "StreamingExportNotEnabled":
        return NoStreaming("the plan of this deployment does not include streaming export.", code=answer.code)
    return Refused(
        f"the deployment refused the key ({answer.code or answer.status}).",
        code=answer.code,
        hint=[
            ("it may be", "of another deployment, deleted, or cut off (quote the '|' in the shell)"),
            ("make one", "npx convex deployment token create convex-msgs --prod --save-env .env.msgs"),
        ],
    )
