"""Answers of a deployment: how the body is read, whether the request is sent again, which error it means.

Retries follow the official clients and the backend's error classes (get-convex/convex-backend,
``crates/errors/src/lib.rs``): for reading after every passing failure; for writing only after answers that prove that
nothing was committed.
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
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# Printable, and not the beginning of HTML.
_LINE: Final = re.compile(rb"[!-;=-~][ -~]{0,255}")
_MAX_RETRY_AFTER: Final = 120.0

# Bytes a second of the slowest body that is read to its end: 200 MB may take most of an hour.
_SLOWEST: Final = 64 * 1024
_START: Final = 60
_FUNCTION_FAILED: Final = 560


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer of any status."""

    status: int
    body: bytes
    """The body; of one written into a file only its first and last bytes."""
    size: int = 0
    """Bytes of the whole body."""
    unsure: bool = False
    """True if an earlier attempt of the same request may have been executed: its answer was lost."""

    @property
    def code(self) -> str:
        """The short code of the backend's error body ``{"code", "message"}``; empty where there is none."""
        return str(self._error().get("code", ""))

    @property
    def message(self) -> str:
        """Message of the backend's error body; empty where there is none."""
        return str(self._error().get("message", ""))

    @property
    def garbled(self) -> bool:
        """True if a success carries no whole JSON text: a proxy's page, or a body that was cut off."""
        body = self.body.strip()
        whole = body[:1] in (b"{", b"[", b'"') and body[-1:] in (b"}", b"]", b'"')
        return self.status == 200 and not whole and body not in (b"null", b"true", b"false")

    @property
    def passing(self) -> bool:
        """True for a failure that may pass: also any status from 500 on without the backend's own error body."""
        foreign = self.status >= 500 and self.status != _FUNCTION_FAILED and not self.code
        return foreign or self.status in _RETRIED

    @property
    def summary(self) -> str:
        """A few words for an error message."""
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
    """Read a body within a limit for the whole of it; urllib3's own timeout is between two bytes.

    Args:
        response: with an unread body.
        seconds: limit of a small body; a large one has more time, depending on its size.
        into: an empty file for the body of a success, instead of memory.

    Raises:
        HTTPError: the connection broke, or the body took too long.
        OutputError: no space left for the file.
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
    """A request without a usable answer that may be repeated.

    Attributes:
        wait: seconds to wait before, where the deployment named them.
        unsure: True if the request may have been executed.
    """

    def __init__(self, what: str, wait: float | None = None, *, unsure: bool = False) -> None:
        super().__init__(what)
        self.wait = wait
        self.unsure = unsure


Again = Callable[[Answer], bool]
"""Returns whether a request with this answer is sent again."""


def read_again(answer: Answer) -> bool:
    """Rule for requests that are safe to repeat."""
    return answer.passing or answer.garbled


def text_again(answer: Answer) -> bool:
    """Rule for answers that are a line of plain text, such as version and instance name."""
    return answer.passing or (answer.status == 200 and not _LINE.fullmatch(answer.body.strip()))


def status_again(answer: Answer) -> bool:
    """Rule for answers that may be empty."""
    return answer.passing or (answer.garbled and bool(answer.body))


def write_again(answer: Answer) -> bool:
    """Rule for writes: only an answer that proves that nothing was committed."""
    return answer.status == 429 or (answer.status == 503 and answer.code in _UNCOMMITTED_CODES)


def judged(answer: Answer, again: Again, url: str, headers: Mapping[str, str]) -> Answer:
    """Return a usable answer.

    Raises:
        TryAgain: it is not usable, and `again` allows another attempt.
        Unreachable: it is not usable, and another attempt might write twice.
        Refused: the deployment refused the key or redirects, or a proxy requires a login.
    """
    if answer.status in _REDIRECTS:
        raise _redirected(url, headers.get("Location", ""))
    if answer.status == 407:
        raise proxy_login()
    if again(answer):
        raise TryAgain(answer.summary, retry_after(headers), unsure=not write_again(answer))
    if answer.passing or (again is write_again and answer.garbled):
        raise unreachable(url, answer.summary)
    if answer.status in (401, 403):
        raise _refused(answer)
    return answer


def wait_for(error: Exception) -> bool | float:
    """Return for stamina whether to retry, or after how many seconds."""
    if not isinstance(error, TryAgain):
        return False
    return True if error.wait is None else error.wait + random.uniform(0, 0.5)  # noqa: S311


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a ``Retry-After``, two minutes at most; None without a readable one."""
    try:
        return min(urllib3.Retry().parse_retry_after(headers["Retry-After"]), _MAX_RETRY_AFTER)
    except (KeyError, ValueError, OverflowError, urllib3.exceptions.InvalidHeader):
        return None


def unreachable(url: str, what: str) -> Unreachable:
    """Return the error of a request without a usable answer."""
    return Unreachable(
        f"no usable answer from {url}: {what}.",
        hint=[("check", "the URL, the network, HTTPS_PROXY; then run the same command again")],
    )


def _redirected(url: str, location: str) -> Refused:
    """Return the error that names the new host; following a redirect would send the key there."""
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


def _refused(answer: Answer) -> Refused:
    """Return the error of a 401 or 403."""
    words = answer.message or answer.code or f"HTTP {answer.status}"
    if answer.code == "OperationNotPermitted":
        return Refused(f"the key may not do this: {words}", code=answer.code, hint=[("check", "convex-msgs doctor")])
    if answer.code == "StreamingExportNotEnabled":
        return NoStreaming("the plan of this deployment does not include streaming export.", code=answer.code)
    if not answer.code:  # not written by a backend
        return Refused(
            f"something between here and the deployment refuses the request (HTTP {answer.status}).",
            hint=[("check", "proxy, firewall and VPN; the key was not looked at")],
        )
    return Refused(
        f"the deployment refused the key ({answer.code}).",
        code=answer.code,
        hint=[
            ("it may be", "of another deployment, deleted, or cut off (quote the '|' in the shell)"),
            ("make one", "npx convex deployment token create convex-msgs --prod --save-env .env.msgs"),
        ],
    )
