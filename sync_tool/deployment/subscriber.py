"""The official client's subscription in a process of its own: ``python -m sync_tool.deployment.subscriber``.

Reads one line of JSON, ``{"url", "key", "path", "args"}``, from standard input, and writes a line of JSON for each
result: ``{"value": …}``, at the end ``{"failed": why}``. Ends with the process that started it.

Reason for a process: while the client (PyPI ``convex``) connects, it holds the GIL, so that nothing else of the program
runs, Ctrl-C included; and it prints logs of functions on standard output.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any, Final, TextIO

_SECONDS_BETWEEN_LOOKS: Final = 2.0


def subscribe_main() -> None:
    """Subscribe, and write every result."""
    request = json.loads(sys.stdin.readline())
    _end_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # keeps logs out of the results
    asyncio.run(_receive(answers, **request))


async def _receive(answers: TextIO, url: str, key: str, path: str, args: Any) -> None:
    from convex import ConvexClient, convex_to_json, json_to_convex

    client = ConvexClient(url)
    client.set_admin_auth(key)
    given: Any = json_to_convex(args)
    subscription = client.subscribe(path, given)
    while True:
        following = asyncio.ensure_future(anext(subscription))
        await asyncio.wait({following})
        error = following.exception()  # the client raises bare Exceptions
        if error is not None:
            answers.write(json.dumps({"failed": str(error)}) + "\n")
            return
        answers.write(json.dumps({"value": convex_to_json(following.result())}) + "\n")


def _end_with_parent() -> None:
    """Check from time to time that the parent runs; while the client connects, signals work but threads do not."""
    parent = os.getppid()

    def look(*_: object) -> None:
        if os.getppid() != parent:
            os._exit(0)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _SECONDS_BETWEEN_LOOKS, _SECONDS_BETWEEN_LOOKS)


if __name__ == "__main__":
    subscribe_main()
