"""What came back from a deployment: may it be asked again, and what is wrong?

What may be tried again follows the official clients and the backend's error classes
(get-convex/convex-backend, ``crates/errors/src/lib.rs``): everything for reading; for writing only
answers that prove that nothing was committed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

import urllib3

from sync_tool.errors import Refused, Unreachable

_RETRIED: Final = frozenset({408, 421, 425, 429, 500, 502, 503, 504})
_UNCOMMITTED_CODES: Final = frozenset({
    "OptimisticConcurrencyControlFailure", "ExpiredInQueue", "WorkerOverloaded", "IsolateNotClean",
    "InitialPermitTimeoutError", "ExecuteFullError", "UpstreamConnectError",
})  # fmt: skip
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_RETRY_AFTER: Final = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    body: bytes
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

    def _error(self) -> dict[str, object]:
        try:
            error = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return error if isinstance(error, dict) else {}


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
    """Version and instance name are plain text: only nothing at all, or a page of a proxy, is no answer."""
    return answer.status in _RETRIED or (answer.status == 200 and answer.body.strip()[:1] in (b"", b"<"))


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
        raise TryAgain(said(answer), wait, unsure=not write_again(answer))
    if answer.status in _RETRIED or (again is write_again and answer.garbled):
        raise unreachable(url, said(answer))
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


def said(answer: Answer) -> str:
    """Return an answer that is none in a few words."""
    if answer.garbled:
        start = answer.body[:60].decode("utf-8", "replace")
        return f"not a Convex answer: {start!r}…" if start else "an empty answer"
    return f"HTTP {answer.status} {answer.code}".rstrip()


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
        return Refused("the plan of this deployment does not include streaming export.", code=answer.code)
    return Refused(
        f"the deployment refused the key ({answer.code or answer.status}).",
        code=answer.code,
        hint=[
            ("it may be", "of another deployment, deleted, or cut off (quote the '|' in the shell)"),
            ("make one", "npx convex deployment token create convex-msgs --prod --save-env .env.msgs"),
        ],
    )
