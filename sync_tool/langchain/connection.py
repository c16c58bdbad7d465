"""A deployment as chat memory: the connections that any number of histories share."""

from __future__ import annotations

import asyncio
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from sync_tool.deployment.asynchronous import AsyncClient
from sync_tool.deployment.client import Client
from sync_tool.deployment.http import Patience
from sync_tool.deployment.identity import find_url
from sync_tool.deployment.settings import Settings, find_target, load_settings
from sync_tool.langchain.steps import Functions, Steps, drive, drive_async

T = TypeVar("T")


class Connection:
    """One deployment and the key to it. Nothing is sent before something is asked.

    Also a context manager, plain and asynchronous, that closes its connections.

    Args:
        url: base URL; without it the key or the environment says where.
        key: a deploy or admin key; without it the environment or `env_file` holds it.
        env_file: a file of ``NAME=value`` lines that alone is looked at.
        key_command: a shell command that prints the key.
        patience: timeouts and attempts.

    Raises:
        UsageError: no key or URL, or ones that do not belong together.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        env_file: str | Path | None = None,
        key_command: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        settings = Settings({}) if key is not None and url is not None else load_settings(env_file)
        if key is not None:
            settings, key_command = settings.with_key(key), None
        self._target = find_target(settings, url, key_command)
        self._patience = patience or Patience()
        self.functions = Functions()
        """Which functions of ours the deployment has, as far as that is known."""

    def __repr__(self) -> str:
        return f"<Connection {self._target.key.label}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def run(self, steps: Steps[T]) -> T:
        """Do something, and wait for it."""
        return drive(steps, self._client.call)

    async def arun(self, steps: Steps[T]) -> T:
        """Do something without blocking the event loop."""
        if "_async_client" not in self.__dict__:
            await asyncio.to_thread(lambda: self._url)  # may ask Convex where the deployment is
        return await drive_async(steps, self._async_client.call)

    def close(self) -> None:
        """Close the connections of blocking calls."""
        if "_client" in self.__dict__:
            self._client.close()

    async def aclose(self) -> None:
        """Close all connections, of asynchronous calls those of the running event loop."""
        self.close()
        if "_async_client" in self.__dict__:
            await self._async_client.close()

    @cached_property
    def _url(self) -> str:
        return find_url(self._target, self._patience)

    @cached_property
    def _client(self) -> Client:
        return Client(self._url, self._target.key.secret, self._patience)

    @cached_property
    def _async_client(self) -> AsyncClient:
        return AsyncClient(self._url, self._target.key.secret, self._patience)
