"""Tells every connection about every commit, on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sync_tool.sandbox.database.engine import Change, Engine

Listener = Callable[[Change], None]


class Hub:
    """The connections of one instance that want to know of commits."""

    def __init__(self, engine: Engine) -> None:
        self._listeners: set[Listener] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        engine.watchers.append(self._on_commit)

    def join(self, listener: Listener) -> None:
        """Call `listener` for every commit from now on."""
        self._loop = asyncio.get_running_loop()
        self._listeners.add(listener)

    def leave(self, listener: Listener) -> None:
        """Call it no longer."""
        self._listeners.discard(listener)

    def _on_commit(self, change: Change) -> None:
        """Runs in the thread that committed."""
        if self._loop is not None and self._listeners:
            self._loop.call_soon_threadsafe(self._spread, change)

    def _spread(self, change: Change) -> None:
        for listener in tuple(self._listeners):
            listener(change)
