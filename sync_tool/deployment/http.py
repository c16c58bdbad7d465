"""HTTP to one deployment: one pooled client, deadlines, retries, proxies; foreign errors end here."""

from __future__ import annotations

import json
import math
import os
import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import BinaryIO, Final, NamedTuple, TypeVar
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
import stamina
import urllib3
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Timeout, Url

from sync_tool._version import __version__
from sync_tool.deployment.loopback import is_loopback
from sync_tool.errors import FunctionFailed, NoStreaming, OutputError, Refused, Unreachable, UsageError

# The pool of connections to one host: through which proxy, whose certificates are believed, what a failure means.
# urllib3 itself looks at neither proxy nor certificate variables.

_CA_VARIABLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def make_pool(url: str, timeout: Timeout, size: int) -> urllib3.PoolManager:
    """Make the pool for a URL.

    Raises:
        UsageError: a proxy or a file of certificates that the environment names is no good.
    """
    parts = urlsplit(url)
    context = tls() if parts.scheme == "https" else None
    proxy = getproxies().get(parts.scheme)
    if not proxy or is_loopback(url) or proxy_bypass(parts.hostname or ""):
        return urllib3.PoolManager(timeout=timeout, retries=False, maxsize=size, ssl_context=context)
    address, login = _read_proxy(proxy, f"{parts.scheme.upper()}_PROXY")
    return urllib3.ProxyManager(
        address,
        timeout=timeout,
        retries=False,
        maxsize=size,
        ssl_context=context,
        proxy_ssl_context=tls() if address.startswith("https:") else None,
        proxy_headers=urllib3.make_headers(proxy_basic_auth=login) if login else None,
    )


def never_sent(error: HTTPError) -> bool:
    """Tell whether a request certainly did not reach the deployment."""
    if isinstance(error, urllib3.exceptions.ProxyError):
        return True  # it was not reached, or did not take the connection
    return isinstance(error, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError)


def wants_proxy_login(error: HTTPError) -> bool:
    """Tell whether a proxy refused a tunnel for want of a login; http.client says it in words only."""
    return "Tunnel connection failed: 407" in str(error)


def what_failed(error: HTTPError, proxy: Url | None) -> str:
    """Say what failed in a few words, and whether it was the proxy."""
    if isinstance(error, urllib3.exceptions.ProxyError) and proxy is not None:
        cause = error.original_error
        why = _plain(cause) if isinstance(cause, HTTPError) else "it broke off"
        return f"the proxy {proxy.netloc}: {why}"
    return _plain(error)


def _read_proxy(text: str, variable: str) -> tuple[str, str | None]:
    """Return a proxy's address, and the user and password that it wants."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
        login = ":".join(unquote(part or "") for part in (parts.username, parts.password)) if parts.username else None
        if login:
            login.encode("latin-1")
    except ValueError:
        host = port = login = None
        parts = urlsplit("http://")
    if not host or parts.scheme not in ("http", "https"):
        what = f"a proxy of the kind {parts.scheme}://, which is not supported" if host else "no proxy"
        raise UsageError(
            f"{variable} names {what}.", hint=[("like", "http://HOST:PORT or http://USER:PASSWORD@HOST:PORT")]
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{port or (443 if parts.scheme == 'https' else 80)}", login


def tls() -> ssl.SSLContext:
    """Return what decides which certificates are believed.

    Raises:
        UsageError: a file of certificates that the environment names is no good.
    """
    for name in _CA_VARIABLES:
        file = os.environ.get(name)
        if file:
            try:
                return ssl.create_default_context(cafile=file)
            except OSError as error:
                reason = "it holds no certificates (PEM)" if isinstance(error, ssl.SSLError) else error.strerror
                raise UsageError(f"{name} names {file}, which cannot be used: {reason}.") from None
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _plain(error: HTTPError) -> str:
    """Say what failed in a few words; urllib3's own texts repeat the pool and the URL."""
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "its name is not known here (DNS)"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "connection refused"
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return "no connection in time"
    if isinstance(error, urllib3.exceptions.ReadTimeoutError) or type(error) is urllib3.exceptions.TimeoutError:
        return "no answer in time"
    if isinstance(error, urllib3.exceptions.SSLError):
        return f"its certificate or TLS was not accepted ({error.args[0]})"
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return "the connection broke"
    return type(error).__name__


# What came back from a deployment: how its body is read, may it be asked again, and what is wrong? What may be tried
# again follows the official clients and the backend's error classes (get-convex/convex-backend,
# ``crates/errors/src/lib.rs``): everything for reading; for writing only answers that prove that nothing was
# committed.

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


# How much of the deployment's strength one run takes: calls at a time, and bytes a second.

_GOOD_ANSWERS_BEFORE_MORE: Final = 50


class Gate:
    """Lets so many calls through at a time; half as many after a 429, slowly more again while all goes well."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.limit = most
        self._inside = 0
        self._good = 0
        self._changed = threading.Condition()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Wait for a place and keep it for the block."""
        with self._changed:
            while self._inside >= self.limit:
                self._changed.wait()
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify()

    def too_many(self) -> None:
        """The deployment said 429: halve."""
        with self._changed:
            self.limit = max(1, self.limit // 2)
            self._good = 0

    def went_well(self) -> None:
        """An answer came: after fifty in a row, one more call at a time, up to the first limit."""
        with self._changed:
            self._good += 1
            if self._good >= _GOOD_ANSWERS_BEFORE_MORE and self.limit < self._most:
                self.limit += 1
                self._good = 0
                self._changed.notify()


class Throttle:
    """Keeps an average of bytes a second over everything that passes through it."""

    def __init__(self, bytes_per_second: float | None) -> None:
        self._rate = bytes_per_second
        self._free_at = 0.0
        self._lock = threading.Lock()

    def wait(self, size: int) -> None:
        """Count `size` bytes, and wait until they fit into the rate."""
        if self._rate is None:
            return
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + size / self._rate
            pause = self._free_at - now
        time.sleep(pause)


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


# How many rows to ask for: less after a refusal, slowly more again while all goes well.

T = TypeVar("T")

MAX_ROWS: Final = 4096
DEFAULT_ROWS: Final = 1000
_GOOD_PAGES_BEFORE_MORE: Final = 8


class Pace:
    """The page size of a door's readers, in whatever threads.

    Args:
        rows: how many to ask for at first, and at most; without it, more and more while all goes well.

    A deployment refuses a page that is too large or takes too long by failing the function, and in
    production all it says is "Server Error". So every failure without a code of its own halves the page,
    down to one row; only then is it what it seems.
    """

    def __init__(self, rows: int | None = None) -> None:
        self.rows = DEFAULT_ROWS if rows is None else min(rows, MAX_ROWS)
        self._most = MAX_ROWS if rows is None else self.rows
        self._good = 0
        self._lock = threading.Lock()

    def call(self, ask: Callable[[int], T]) -> T:
        """Call `ask` with a number of rows until it is not refused.

        Raises:
            FunctionFailed: refused even for one row, or for a reason that fewer rows cannot change.
        """
        while True:
            rows = self.rows
            try:
                answer = ask(rows)
            except FunctionFailed as error:
                self.refused(rows, error)
                continue
            self.went_well()
            return answer

    def refused(self, rows: int, error: FunctionFailed) -> None:
        """A call for so many rows failed: ask for half of them; another reader may have gone further down meanwhile.

        Raises:
            FunctionFailed: `error` itself, where fewer rows cannot help.
        """
        if rows == 1 or not _may_be_size(error):
            raise error
        with self._lock:
            self.rows = max(1, min(self.rows, rows // 2))
            self._good = 0

    def went_well(self) -> None:
        """A call succeeded: after several in a row, ask for more again."""
        with self._lock:
            self._good += 1
            if self._good >= _GOOD_PAGES_BEFORE_MORE and self.rows < self._most:
                self.rows = min(self._most, self.rows * 2)
                self._good = 0


def _may_be_size(error: FunctionFailed) -> bool:
    """Tell whether fewer rows could help: not where the function said something of its own (ConvexError data)."""
    return error.data is None and "Could not find" not in error.message and "not found" not in error.message
