"""The official client's subscription in a process of its own: ``python -m sync_tool.deployment.subscriber``.

Takes one line of JSON, ``{"url", "key", "path", "args"}``, on standard input, and answers with a line of JSON for
each result: ``{"value": …}``, at the end ``{"failed": why}``. Ends when standard input is closed.

Why a process: while the client (PyPI ``convex``) connects, it holds Python's lock, so that nothing else of the
program runs, Ctrl-C included; and it prints what functions log on standard output.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from typing import Any, TextIO


def main() -> None:
    """Subscribe, and pass on what comes."""
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what the client prints is no answer
    asyncio.run(_receive(answers, **asked))


async def _receive(answers: TextIO, url: str, key: str, path: str, args: Any) -> None:
    from convex import ConvexClient, convex_to_json, json_to_convex

    client = ConvexClient(url)
    client.set_admin_auth(key)
    given: Any = json_to_convex(args)
    subscription = client.subscribe(path, given)
    while True:
        following = asyncio.ensure_future(anext(subscription))
        await asyncio.wait({following})
        error = following.exception()  # the client raises bare Exceptions, which nobody should catch
        if error is not None:
            answers.write(json.dumps({"failed": str(error)}) + "\n")
            return
        answers.write(json.dumps({"value": convex_to_json(following.result())}) + "\n")


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
