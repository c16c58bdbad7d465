"""The result of one query as it changes: the official client's subscription, kept from hanging in silence.

The client has no timeout, tries again for ever without a word, and cannot receive more than 16 MiB. It runs in a
process of its own (`sync_tool.deployment.subscriber`), and whoever waits here decides how long.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

from sync_tool.encoding.values import encode


@dataclass(frozen=True, slots=True)
class Failed:
    """The query failed, or the client gave up; nothing more will come."""

    why: str


class Subscription:
    """One subscription. The newest result only is kept: those that nobody took in time are passed over.

    Args:
        url: of the deployment.
        key: the admin or deploy key.
        path: of the query, such as ``convexMsgs:page``.
        args: its arguments, Convex values.
    """

    def __init__(self, url: str, key: str, path: str, args: dict[str, Any]) -> None:
        self._newest: Any = None
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sync_tool.deployment.subscriber"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us; we end it
            text=True,
        )
        asked = {"url": url, "key": key, "path": path, "args": encode(args)}
        self._send(json.dumps(asked) + "\n")
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def next(self, seconds: float) -> Any:
        """Wait for a result that was not taken yet.

        Returns:
            Its ``convex_encoded_json``; `Failed` if there will be none; None if that many seconds brought none.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None, seconds)
            newest, self._newest = self._newest, None
            return newest

    def close(self) -> None:
        """End the subscription; does not wait for the deployment."""
        self._process.kill()
        self._process.wait()
        self._thread.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _send(self, line: str) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            answer = json.loads(line)
            self._put(Failed(answer["failed"]) if "failed" in answer else answer["value"])
        self._put(Failed("the client ended"))

    def _put(self, value: Any) -> None:
        with self._changed:
            if not isinstance(self._newest, Failed):
                self._newest = value
            self._changed.notify()
