"""HTTP to one deployment: one pooled client with deadlines, retries and proxies, and the one table of exceptions."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO, Final, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
import stamina
import urllib3
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Timeout, Url

from sync_tool._version import __version__
from sync_tool.deployment.answers import (
    Again,
    Answer,
    TryAgain,
    judged,
    proxy_login,
    read_again,
    read_answer,
    unreachable,
    wait_for,
    write_again,
)
from sync_tool.deployment.loopback import is_loopback
from sync_tool.deployment.rates import Gate, Patience
from sync_tool.errors import UsageError

_MAX_WAIT: Final = 20.0
_CA_VARIABLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def make_pool(url: str, timeout: Timeout, size: int) -> urllib3.PoolManager:
    """Return a pool of connections; urllib3 itself reads neither proxy nor certificate variables.

    Raises:
        UsageError: a proxy or a file of certificates of the environment is not usable.
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


class Failure(NamedTuple):
    """Meaning of an exception of an HTTP library."""

    words: str
    sent: bool
    """True if the request may have reached the deployment."""


# Classes of urllib3 and httpx by name: the nearest base class in this table gives the meaning.
_MEANINGS: Final = {
    # urllib3
    "NameResolutionError": Failure("its name is not known here (DNS)", sent=False),
    "NewConnectionError": Failure("connection refused", sent=False),
    "ConnectTimeoutError": Failure("no connection in time", sent=False),
    "ReadTimeoutError": Failure("no answer in time", sent=True),
    "SSLError": Failure("its certificate or TLS was not accepted ({error})", sent=True),
    "HTTPError": Failure("the connection broke", sent=True),
    # httpx
    "ConnectTimeout": Failure("no connection in time", sent=False),
    "ConnectError": Failure("no connection ({error})", sent=False),
    "PoolTimeout": Failure("no free connection in time", sent=False),
    "TimeoutException": Failure("no answer in time", sent=True),
    "DecodingError": Failure("the body was cut off", sent=True),
    # both, and asyncio
    "ProxyError": Failure("the proxy{proxy}: {error}", sent=False),
    "TimeoutError": Failure("no answer in time", sent=True),
}


def failure_of(error: Exception, proxy: Url | None = None) -> Failure:
    """Return the meaning of an exception of urllib3 or httpx."""
    meaning = _MEANINGS[_name(error)]
    cause = getattr(error, "original_error", None)  # urllib3's own texts repeat the pool and the URL
    inner = failure_of(cause).words if isinstance(cause, HTTPError) else "it broke off" if cause else str(error)
    where = "" if proxy is None else f" {proxy.netloc}"
    return meaning._replace(words=meaning.words.format(proxy=where, error=inner))


def _name(error: Exception) -> str:
    return next(base.__name__ for base in type(error).__mro__ if base.__name__ in _MEANINGS)


def _read_proxy(text: str, variable: str) -> tuple[str, str | None]:
    """Return the address of a proxy, and its user and password."""
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
    """Return the TLS context with the certificates of the environment, else of certifi.

    Raises:
        UsageError: a file of certificates of the environment is not usable.
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


class _Ask(NamedTuple):
    """One request, for any number of attempts."""

    method: str
    path: str
    body: bytes | None
    headers: dict[str, str]
    again: Again
    into: BinaryIO | None

    def emptied(self) -> BinaryIO | None:
        """Return the file for the answer, emptied of an earlier attempt."""
        if self.into is not None:
            self.into.seek(0)
            self.into.truncate()
        return self.into


class Retries:
    """Attempts of one request, for blocking and asynchronous loops.

    Args:
        patience: number of attempts.
        url: of the deployment, for the error.

    Attributes:
        unsure: True if an attempt without an answer may have been executed.
    """

    def __init__(self, patience: Patience, url: str) -> None:
        self._url = url
        self.unsure = False
        self.attempts = stamina.retry_context(
            on=wait_for, attempts=patience.attempts, timeout=None, wait_initial=0.2, wait_max=_MAX_WAIT
        )

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note within an attempt whether the request may have been executed."""
        try:
            yield
        except TryAgain as error:
            self.unsure = self.unsure or error.unsure
            raise

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Raise `Unreachable` after the last attempt."""
        try:
            yield
        except TryAgain as error:
            raise unreachable(self._url, str(error)) from None


def lost(error: Exception, again: Again, url: str, proxy: Url | None = None) -> Exception:
    """Return the error of a request without an answer: `Unreachable` if another attempt might write twice."""
    # A refused tunnel: urllib3 and httpx tell it in words only.
    if "Tunnel connection failed: 407" in str(error) or (_name(error) == "ProxyError" and str(error)[:3] == "407"):
        return proxy_login()
    failure = failure_of(error, proxy)
    if again is write_again and failure.sent:
        return unreachable(url, failure.words)
    return TryAgain(failure.words, unsure=failure.sent)


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

    def close(self) -> None:
        """Close all connections."""
        self._pool.clear()

    def request(
        self,
        path: str,
        body: bytes | None = None,
        again: Again = read_again,
        *,
        media_type: str | None = None,
        into: BinaryIO | None = None,
    ) -> Answer:
        """POST a body, or GET without one, and return the answer.

        Args:
            path: such as ``/api/query``.
            body: JSON, or bytes of another media type.
            again: rule of retries; the default is for answers in JSON and requests that are safe to repeat.
            media_type: of the body, if it is not JSON.
            into: a file for the body of a success, which is then not held in memory.

        Raises:
            OutputError: no space left for the file.
            Unreachable: no usable answer after all attempts.
            Refused: the key was refused.
        """
        method = "GET" if body is None else "POST"
        headers = self._headers if media_type is None else {**self._headers, "Content-Type": media_type}
        ask = _Ask(method, path, body, headers, again, into)
        retries = Retries(self._patience, self.url)
        with retries.ending():
            for attempt in retries.attempts:
                with attempt, retries.noting():
                    answer = self._once(ask)
        return replace(answer, unsure=retries.unsure)

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
            raise lost(error, ask.again, self.url, self._pool.proxy) from None
        if answer.status == 429:
            self._gate.too_many()
        answer = judged(answer, ask.again, self.url, response.headers)
        self._gate.went_well()
        return answer
