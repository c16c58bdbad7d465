"""Telling a watchdog that a job has begun, succeeded or failed, as healthchecks.io and its like take it."""

from __future__ import annotations

import threading
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from urllib3.exceptions import HTTPError
from urllib3.util import Timeout

from sync_tool.deployment.pool import make_pool, what_failed
from sync_tool.errors import UsageError

_SECONDS: Final = 5.0


class Ping:
    """Sends POST to the URL: with ``/start`` behind it at the beginning, bare after success, with ``/fail`` else.

    It neither delays the job, but for at most a few seconds at its end, nor makes it fail.

    Args:
        url: which usually is a secret; it is in no message.

    Raises:
        UsageError: it is no http or https URL.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise UsageError("--ping-url is not a URL that begins with http:// or https://.")
        self._parts = parts
        self._pool = make_pool(url, Timeout(connect=_SECONDS, read=_SECONDS), 2)
        self._starting = threading.Thread(target=self._send, args=("/start", ""), daemon=True)

    def start(self) -> None:
        """Say that the job begins; does not wait."""
        self._starting.start()

    def succeed(self, text: str) -> str | None:
        """Say that the job is done; return why that could not be said, or None."""
        return self._finish("", text)

    def fail(self, text: str) -> str | None:
        """Say that the job has failed; return why that could not be said, or None."""
        return self._finish("/fail", text)

    def _finish(self, end: str, text: str) -> str | None:
        self._starting.join(2 * _SECONDS)  # or the order of the two would be chance
        failed = self._send(end, text)
        self._pool.clear()
        return failed

    def _send(self, end: str, text: str) -> str | None:
        url = urlunsplit(self._parts._replace(path=self._parts.path.rstrip("/") + end))
        try:
            answer = self._pool.request("POST", url, body=text.encode(), redirect=False)
        except HTTPError as error:
            return what_failed(error, self._pool.proxy)
        return None if answer.status < 300 else f"HTTP {answer.status}"
