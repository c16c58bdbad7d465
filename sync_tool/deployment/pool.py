"""The pool of connections to one host: through which proxy, whose certificates are believed, what a failure means.

urllib3 itself looks at neither proxy nor certificate variables.
"""

from __future__ import annotations

import os
import ssl
from typing import Final
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout, Url

from sync_tool.errors import UsageError

_CA_VARIABLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def make_pool(url: str, timeout: Timeout, size: int) -> urllib3.PoolManager:
    """Make the pool for a URL.

    Raises:
        UsageError: a proxy or a file of certificates that the environment names is no good.
    """
    parts = urlsplit(url)
    context = tls() if parts.scheme == "https" else None
    proxy = getproxies().get(parts.scheme)
    if not proxy or proxy_bypass(parts.hostname or ""):
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
