"""The connections to one deployment: proxies and certificates as the environment says."""

from __future__ import annotations

import os
import ssl
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
import urllib3
from urllib3.util import Timeout

_CA_VARIABLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def make_pool(url: str, timeout: Timeout, size: int) -> urllib3.PoolManager:
    """Make a pool of `size` connections; urllib3 itself looks at neither proxy nor CA variables."""
    parts = urlsplit(url)
    context = _tls() if parts.scheme == "https" else None
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.hostname or ""):
        return urllib3.ProxyManager(proxy, timeout=timeout, retries=False, maxsize=size, ssl_context=context)
    return urllib3.PoolManager(timeout=timeout, retries=False, maxsize=size, ssl_context=context)


def _tls() -> ssl.SSLContext:
    for name in _CA_VARIABLES:
        if os.environ.get(name):
            return ssl.create_default_context(cafile=os.environ[name])
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
