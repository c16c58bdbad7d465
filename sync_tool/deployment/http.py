"""HTTP to one deployment: one pooled client, deadlines, retries, proxies; foreign errors end here."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import BinaryIO, Final, NamedTuple

import stamina
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Timeout

from sync_tool._version import __version__
from sync_tool.deployment.answers import (
    REDIRECTS,
    Again,
    Answer,
    TryAgain,
    judged,
    proxy_login,
    read_again,
    read_answer,
    redirected,
    retry_after,
    status_again,
    text_again,
    unreachable,
    wait_for,
    write_again,
)
from sync_tool.deployment.gate import Gate
from sync_tool.deployment.pool import make_pool, never_sent, wants_proxy_login, what_failed
from sync_tool.errors import UsageError

MAX_WAIT: Final = 20.0
_MAX_TIMEOUT: Final = 86_400.0
READERS: Final = 6
WRITERS: Final = 4
"""Of the 16 calls of each kind that the smallest deployments take at a time (https://docs.convex.dev, limits): the
rest is the app's."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How to treat a deployment: how long to wait for it (seconds), and how much to ask of it.

    Raises:
        UsageError: a number that nothing could be read with.
    """

    connect: float = 10.0
    read: float = 120.0
    attempts: int = 6
    concurrency: int | None = None
    """Calls at a time; None for 6 to read and 4 to write. Halved when the deployment says that there are too many."""
    bytes_per_second: float | None = None
    """Most bytes of documents to read a second, on average."""

    def __post_init__(self) -> None:
        for name in ("connect", "read"):
            if not 0 < getattr(self, name) <= _MAX_TIMEOUT:  # nor NaN
                raise UsageError(f"the timeout ({name}) must be more than 0 and at most {_MAX_TIMEOUT:,.0f} seconds.")
        for name, number in (("attempts", self.attempts), ("concurrency", self.concurrency)):
            if number is not None and number < 1:
                raise UsageError(f"{name} must be at least 1.")
        rate = self.bytes_per_second
        if rate is not None and not (math.isfinite(rate) and rate >= 1):
            raise UsageError("the rate must be at least 1 byte a second.", hint=[("like", "2MiB/s")])

    @property
    def readers(self) -> int:
        """How many reading calls to make at a time."""
        return self.concurrency or READERS

    @property
    def writers(self) -> int:
        """How many writing calls to make at a time."""
        return self.concurrency or WRITERS


class _Ask(NamedTuple):
    """One request, as it is sent again and again."""

    method: str
    path: str
    body: bytes | None
    headers: dict[str, str]
    again: Again
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
        self._gate = Gate(self._patience.readers)
        timeout = Timeout(connect=self._patience.connect, read=self._patience.read)
        self._pool = make_pool(url, timeout, self._patience.readers)

    def get(self, path: str, *, text: bool = False) -> Answer:
        """GET `path` and return the answer, with retries; it is JSON, or plain `text`."""
        return self._request("GET", path, None, text_again if text else read_again)

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
        return self._request("POST", path, body, write_again if writes else read_again, media_type)

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
        return self._request("POST", path, body, read_again, into=into)

    def tell(self, path: str, body: bytes) -> Answer:
        """POST JSON that may be repeated, as what it asks for is then done already; the answer may be empty."""
        return self._request("POST", path, body, status_again)

    def close(self) -> None:
        """Close all connections."""
        self._pool.clear()

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | None,
        again: Again,
        media_type: str | None = None,
        into: BinaryIO | None = None,
    ) -> Answer:
        headers = self._headers if media_type is None else {**self._headers, "Content-Type": media_type}
        ask = _Ask(method, path, body, headers, again, into)
        waits = stamina.retry_context(
            on=wait_for, attempts=self._patience.attempts, timeout=None, wait_initial=0.2, wait_max=MAX_WAIT
        )
        unsure = False
        try:
            for attempt in waits:
                with attempt:
                    try:
                        answer = self._once(ask)
                    except TryAgain as error:
                        unsure = unsure or error.unsure
                        raise
        except TryAgain as error:
            raise unreachable(self.url, str(error)) from None
        return replace(answer, unsure=unsure)

    def _once(self, ask: _Ask) -> Answer:
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
                raise proxy_login() from None
            what, sent = what_failed(error, self._pool.proxy), not never_sent(error)
            if ask.again is write_again and sent:
                raise unreachable(self.url, what) from None
            raise TryAgain(what, unsure=sent) from None
        if answer.status in REDIRECTS:
            raise redirected(self.url, response.headers.get("Location", ""))
        if answer.status == 407:
            raise proxy_login()
        if answer.status == 429:
            self._gate.too_many()
        answer = judged(answer, ask.again, self.url, retry_after(response.headers))
        self._gate.went_well()
        return answer
