"""HTTP to one deployment: one pooled client, deadlines, retries, proxies; foreign errors end here.

What may be tried again follows the official clients and the backend's error classes
(get-convex/convex-backend, ``crates/errors/src/lib.rs``): everything for reading; for writing only
answers that prove that nothing was committed.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

import stamina
import urllib3
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Timeout

from sync_tool._version import __version__
from sync_tool.deployment.answer import Answer, read_answer, retry_after
from sync_tool.deployment.gate import Gate
from sync_tool.deployment.pool import make_pool, never_sent, wants_proxy_login, what_failed
from sync_tool.errors import ConvexMsgsError, NoStreaming, Refused, Unreachable, UsageError

_RETRIED: Final = frozenset({408, 421, 425, 429, 500, 502, 503, 504})
_UNCOMMITTED_CODES: Final = frozenset({
    "OptimisticConcurrencyControlFailure", "ExpiredInQueue", "WorkerOverloaded", "IsolateNotClean",
    "InitialPermitTimeoutError", "ExecuteFullError", "UpstreamConnectError",
})  # fmt: skip
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_LINE: Final = re.compile(rb"[!-;=-~][ -~]{0,255}")
"""Printable, and not the beginning of HTML."""
_MAX_WAIT: Final = 20.0
_MAX_TIMEOUT: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How to treat a deployment: how long to wait for it (seconds), and how much to ask of it.

    Raises:
        UsageError: a number that nothing could be read with.
    """

    connect: float = 10.0
    read: float = 120.0
    attempts: int = 6
    concurrency: int = 4
    """Calls at a time; halved whenever the deployment says that there are too many."""
    bytes_per_second: float | None = None
    """Most bytes of documents to read a second, on average."""

    def __post_init__(self) -> None:
        for name in ("connect", "read"):
            if not 0 < getattr(self, name) <= _MAX_TIMEOUT:  # nor NaN
                raise UsageError(f"the timeout ({name}) must be more than 0 and at most {_MAX_TIMEOUT:,.0f} seconds.")
        for name in ("attempts", "concurrency"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1.")
        rate = self.bytes_per_second
        if rate is not None and not (math.isfinite(rate) and rate >= 1):
            raise UsageError("the rate must be at least 1 byte a second.", hint=[("like", "2MiB/s")])


class _TryAgain(Exception):
    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.wait = wait


class _Ask(NamedTuple):
    """One request, as it is sent again and again."""

    method: str
    path: str
    body: bytes | None
    headers: dict[str, str]
    again: Callable[[Answer], bool]
    """Whether an answer calls for another attempt."""
    into: BinaryIO | None

    def emptied(self) -> BinaryIO | None:
        """Return the file for the answer, without what an earlier attempt left in it."""
        if self.into is not None:
            self.into.seek(0)
            self.into.truncate()
        return self.into


class Http:
    """Requests to one base URL with one authorization."""

    def __init__(self, url: str, authorization: str, patience: Patience | None = None) -> None:
        self.url = url
        self._patience = patience or Patience()
        self._headers = {
            "Authorization": authorization,
            "Convex-Client": f"convex-msgs-{__version__}",
            "Content-Type": "application/json",
            "Accept-Encoding": "gzip, deflate",
        }
        self._gate = Gate(self._patience.concurrency)
        timeout = Timeout(connect=self._patience.connect, read=self._patience.read)
        self._pool = make_pool(url, timeout, self._patience.concurrency)

    def get(self, path: str, *, text: bool = False) -> Answer:
        """GET `path` and return the answer, with retries; it is JSON, or plain `text`."""
        return self._request("GET", path, None, _text_again if text else _read_again)

    def post(self, path: str, body: bytes, *, writes: bool = False, media_type: str | None = None) -> Answer:
        """POST JSON, or bytes of another media type, and return the answer, which is JSON.

        Args:
            path: such as ``/api/query``.
            body: the JSON text.
            writes: True if the request may change something: then only what certainly was not done is repeated.

        Raises:
            Unreachable: no usable answer after all attempts.
            Refused: the key was refused.
        """
        return self._request("POST", path, body, _write_again if writes else _read_again, media_type)

    def post_into(self, path: str, body: bytes, into: BinaryIO) -> Answer:
        """POST JSON that only reads; a success of any size goes into a file, and little of it into memory.

        Args:
            path: such as ``/api/v1/data/sync``.
            body: the JSON text.
            into: a file to read and write, for the body alone.

        Raises:
            OutputError: no space is left for the file.
            Unreachable: no usable answer after all attempts.
            Refused: the key was refused.
        """
        return self._request("POST", path, body, _read_again, into=into)

    def tell(self, path: str, body: bytes) -> Answer:
        """POST JSON that may be repeated, as what it asks for is then done already; the answer may be empty."""
        return self._request("POST", path, body, _status_again)

    def close(self) -> None:
        """Close all connections."""
        self._pool.clear()

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | None,
        again: Callable[[Answer], bool],
        media_type: str | None = None,
        into: BinaryIO | None = None,
    ) -> Answer:
        headers = self._headers if media_type is None else {**self._headers, "Content-Type": media_type}
        ask = _Ask(method, path, body, headers, again, into)
        waits = stamina.retry_context(
            on=_wait_for, attempts=self._patience.attempts, timeout=None, wait_initial=0.2, wait_max=_MAX_WAIT
        )
        try:
            for attempt in waits:
                with attempt:
                    answer = self._once(ask)
        except _TryAgain as error:
            raise self._unreachable(str(error)) from None
        if answer.status in (401, 403):
            raise _refused(answer)
        return answer

    def _once(self, ask: _Ask) -> Answer:
        again = ask.again
        try:
            with self._gate.passing():
                response = self._pool.request(
                    ask.method,
                    self.url + ask.path,
                    body=ask.body,
                    headers=ask.headers,
                    redirect=False,
                    preload_content=False,
                )
                answer = read_answer(response, self._patience.read, ask.emptied())
        except LocationParseError as error:
            raise UsageError(f"{self.url!r} is not the URL of a deployment: {error}.") from None
        except HTTPError as error:
            if wants_proxy_login(error):
                raise _proxy_login() from None
            what = what_failed(error, self._pool.proxy)
            if again is _write_again and not never_sent(error):
                raise self._unreachable(what) from None
            raise _TryAgain(what) from None
        if answer.status in _REDIRECTS or answer.status == 407:
            raise self._redirected(response.headers) if answer.status != 407 else _proxy_login()
        if answer.status == 429:
            self._gate.too_many()
        if again(answer):
            raise _TryAgain(answer.summary, retry_after(response.headers))
        if answer.status in _RETRIED or (again is _write_again and answer.garbled):
            raise self._unreachable(answer.summary)
        self._gate.went_well()
        return answer

    def _redirected(self, headers: urllib3.HTTPHeaderDict) -> Refused:
        try:
            to = urlsplit(urljoin(self.url, headers.get("Location", "")))
            there = f"{to.scheme}://{to.netloc.rpartition('@')[2]}"
        except ValueError:
            there = "elsewhere"
        return Refused(f"{self.url} redirects to {there}.", hint=[("use that URL", "--url URL, or its variable")])

    def _unreachable(self, what: str) -> ConvexMsgsError:
        return Unreachable(
            f"no usable answer from {self.url}: {what}.",
            hint=[("check", "the URL, the network, HTTPS_PROXY; then run the same command again")],
        )


def _read_again(answer: Answer) -> bool:
    return answer.status in _RETRIED or answer.garbled


def _text_again(answer: Answer) -> bool:
    """Version and instance name are a line of plain text: nothing at all, a page of a proxy or noise is no answer."""
    return answer.status in _RETRIED or (answer.status == 200 and not _LINE.fullmatch(answer.body.strip()))


def _status_again(answer: Answer) -> bool:
    return answer.status in _RETRIED or (answer.garbled and bool(answer.body))


def _write_again(answer: Answer) -> bool:
    return answer.status == 429 or (answer.status == 503 and answer.code in _UNCOMMITTED_CODES)


def _proxy_login() -> Refused:
    return Refused(
        "the proxy wants another login than it got (HTTP 407).",
        hint=[("set", "HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"), ("or except", "the host, in NO_PROXY")],
    )


def _wait_for(error: Exception) -> bool | float:
    """Tell stamina whether to go on, and after how many seconds where the server said so."""
    if not isinstance(error, _TryAgain):
        return False
    return True if error.wait is None else error.wait + random.uniform(0, 0.5)  # noqa: S311


def _refused(answer: Answer) -> Refused:
    said = answer.message or answer.code or f"HTTP {answer.status}"
    if answer.code == "OperationNotPermitted":
        return Refused(f"the key may not do this: {said}", code=answer.code, hint=[("check", "convex-msgs doctor")])
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
