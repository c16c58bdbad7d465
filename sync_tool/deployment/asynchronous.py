"""The same calls of functions as `sync_tool.deployment.client`, for programs with an event loop; needs httpx."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final
from weakref import WeakKeyDictionary

import httpx
import stamina

from sync_tool._version import __version__
from sync_tool.deployment.client import Call, Result, result_of
from sync_tool.deployment.http import (
    MAX_WAIT,
    REDIRECTS,
    Again,
    Answer,
    Patience,
    TryAgain,
    judged,
    proxy_login,
    read_again,
    redirected,
    retry_after,
    tls,
    unreachable,
    wait_for,
    write_again,
)
from sync_tool.deployment.loopback import is_loopback
from sync_tool.errors import UsageError

_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class AsyncClient:
    """Calls queries and mutations with the right to call internal ones.

    A connection belongs to the event loop it was made in, so there is a pool for each loop that uses this.
    """

    def __init__(self, url: str, key: str, patience: Patience | None = None) -> None:
        self.url = url
        self._patience = patience or Patience()
        self._headers = {
            "Authorization": f"Convex {key}",
            "Convex-Client": f"convex-msgs-{__version__}",
            "Content-Type": "application/json",
        }
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()

    async def call(self, call: Call, *, once: bool = False) -> Result:
        """Call a function (as `sync_tool.deployment.client.Client.call`)."""
        again = write_again if once else read_again
        waits = stamina.retry_context(
            on=wait_for, attempts=self._patience.attempts, timeout=None, wait_initial=0.2, wait_max=MAX_WAIT
        )
        unsure = False
        try:
            async for attempt in waits:
                with attempt:
                    try:
                        answer = await self._once(call, again)
                    except TryAgain as error:
                        unsure = unsure or error.unsure
                        raise
        except TryAgain as error:
            raise unreachable(self.url, str(error)) from None
        return result_of(replace(answer, unsure=unsure), self.url)

    async def close(self) -> None:
        """Close the connections that the running event loop has made."""
        pool = self._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.aclose()

    async def _once(self, call: Call, again: Again) -> Answer:
        try:
            async with asyncio.timeout(self._patience.connect + self._patience.read):
                response = await self._pool().post(self.url + call.endpoint, content=call.body)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise UsageError(f"{self.url!r} is not the URL of a deployment: {error}.") from None
        except (httpx.HTTPError, TimeoutError) as error:
            if isinstance(error, httpx.ProxyError) and str(error).startswith("407"):
                raise proxy_login() from None
            sent = not isinstance(error, _NEVER_SENT)
            if again is write_again and sent:
                raise unreachable(self.url, _what_failed(error)) from None
            raise TryAgain(_what_failed(error), unsure=sent) from None
        if response.status_code in REDIRECTS:
            raise redirected(self.url, response.headers.get("Location", ""))
        if response.status_code == 407:
            raise proxy_login()
        answer = Answer(response.status_code, response.content)
        return judged(answer, again, self.url, retry_after(response.headers))

    def _pool(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            timeout = httpx.Timeout(self._patience.read, connect=self._patience.connect)
            context = tls() if self.url.startswith("https:") else True
            proxies = not is_loopback(self.url)
            pool = httpx.AsyncClient(headers=self._headers, timeout=timeout, verify=context, trust_env=proxies)
            self._pools[loop] = pool
        return pool


def _what_failed(error: httpx.HTTPError | TimeoutError) -> str:
    """Say what failed in a few words."""
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return "no answer in time"
    if isinstance(error, httpx.ProxyError):
        return f"the proxy: {error}"
    if isinstance(error, httpx.ConnectError):
        return f"no connection ({error})"
    if isinstance(error, httpx.DecodingError):
        return "the body was cut off"
    return "the connection broke"
