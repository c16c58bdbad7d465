"""A sandbox as a real process, and calls to it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3

ROOT = Path(__file__).parents[2]
KEY = "sandbox|0123456789abcdef"


@dataclass
class Running:
    """A sandbox in a process of its own."""

    process: subprocess.Popen[str]
    url: str
    ready: str
    key: str = KEY
    http: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False, timeout=60))

    def request(
        self, method: str, path: str, body: Any = None, *, key: str | None = "", headers: dict[str, str] | None = None
    ) -> urllib3.BaseHTTPResponse:
        """Send one request; `key` None sends none, "" the admin key."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        if key is not None:
            sent["Authorization"] = f"Convex {key or self.key}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body)
        return self.http.request(method, self.url + path, body=data, headers=sent)

    def call(self, kind: str, path: str, args: Any, *, key: str | None = "", **extra: Any) -> Any:
        """Call a function; return the JSON of the answer, which must have status 200."""
        body = {"path": path, "args": args, "format": "convex_encoded_json", **extra}
        answer = self.request("POST", f"/api/{kind}", body, key=key)
        assert answer.status == 200, answer.data
        return json.loads(answer.data)

    def query(self, path: str, args: Any, **extra: Any) -> Any:
        """Call a query and return its value."""
        return self.call("query", path, args, **extra)["value"]

    def append(self, session: str, *documents: Any, **extra: Any) -> Any:
        """Append documents to a session and return the result of the batch."""
        rows = [{"sessionId": session, **document} for document in documents]
        answer = self.call(
            "mutation", "convexMsgs:append", {"batches": [{"sessionId": session, "documents": rows, **extra}]}
        )
        return answer["value"]["results"][0] if "value" in answer else answer

    def page(self, **args: Any) -> Any:
        """Read a page."""
        return self.query("convexMsgs:page", {"limit": 4096, **args})

    def stop(self) -> int:
        """Close its standard input, wait until it has ended, and return its exit code."""
        self.http.clear()
        self.process.communicate(timeout=20)
        return self.process.returncode

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self.http.clear()
        self.process.kill()
        self.process.communicate()


def start(*flags: str, env: dict[str, str] | None = None) -> Running:
    """Start a sandbox on a free port and wait until it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sync_tool", "sandbox", "--port", "0", "--with-parent", *flags],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "CONVEX_MSGS_SANDBOX_KEY": KEY, **(env or {})},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    match = re.match(r"sandbox ready at (\S+)  \(", line)
    assert match is not None, line
    return Running(process, match[1], line)


Start = Callable[..., Running]
