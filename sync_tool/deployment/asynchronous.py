"""Client for programs with an event loop; needs httpx, of the extra ``langchain``."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from weakref import WeakKeyDictionary

import httpx

from sync_tool._version import __version__
from sync_tool.deployment.answers import Again, Answer, judged, read_again, write_again
from sync_tool.deployment.client import Call, Result, result_of
from sync_tool.deployment.http import Retries, lost, tls
from sync_tool.deployment.loopback import is_loopback
from sync_tool.deployment.rates import Patience
from sync_tool.errors import UsageError


class AsyncClient:
    """Calls queries and mutations, internal ones too.

    A connection belongs to the event loop that made it, so each loop has a pool of its own.
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
        retries = Retries(self._patience, self.url)
        with retries.ending():
            async for attempt in retries.attempts:
                with attempt, retries.noting():
                    answer = await self._once(call, write_again if once else read_again)
        return result_of(replace(answer, unsure=retries.unsure), self.url)

    async def close(self) -> None:
        """Close the connections of the running event loop."""
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
            raise lost(error, again, self.url) from None
        return judged(Answer(response.status_code, response.content), again, self.url, response.headers)

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
