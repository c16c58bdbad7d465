"""The table itself, read and written past the tool: what is in it decides whether a promise was kept."""

from __future__ import annotations

import json
import random
import threading
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Self

from running import Sandbox

Message = dict[str, Any]
_A_CALL = 1000


@dataclass(frozen=True, slots=True)
class Kept:
    """A row of the table."""

    id: str
    time: float
    message: Message


class Table:
    """The messages of a sandbox, read without latency."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def append(self, session: str, messages: Sequence[Message]) -> None:
        """Append messages to a session, whatever its end is."""
        for start in range(0, len(messages), _A_CALL):
            documents = [{"sessionId": session, "message": one} for one in messages[start : start + _A_CALL]]
            self._call("mutation", "append", {"batches": [{"sessionId": session, "documents": documents}]})

    def sessions(self, *, settled: bool = False) -> dict[str, list[Kept]]:
        """Return all rows by session, in order.

        Args:
            settled: read until two readings agree, as requests of a killed command may still be carried out.
        """
        rows = self._rows()
        while settled and (again := self._rows()) != rows:
            rows = again
        return {
            session: [Kept(row["_id"], row["_creationTime"], row["message"]) for row in found]
            for session, found in groupby(rows, key=lambda row: str(row["sessionId"]))
        }

    def clear(self, sessions: Iterable[str]) -> None:
        """Delete the rows of sessions."""
        for session in sessions:
            while not self._call("mutation", "erase", {"sessionId": session, "limit": 4000.0})["isDone"]:
                pass

    def _rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        after: dict[str, Any] = {}
        while True:
            page = self._call("query", "page", {"limit": 4096.0, "maxBytes": float(8 << 20), **after})
            rows += page["rows"]
            if page["isDone"]:
                return rows
            after = {"after": page["cursor"]}

    def _call(self, kind: str, function: str, args: dict[str, Any]) -> Any:
        body = {"path": f"convexMsgs:{function}", "args": args, "format": "convex_encoded_json"}
        request = urllib.request.Request(
            f"{self._sandbox.url}/api/{kind}",
            json.dumps(body).encode(),
            {"Authorization": f"Convex {self._sandbox.key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        assert answer["status"] == "success", answer
        return answer["value"]


class Writer:
    """Somebody who talks in one session meanwhile."""

    def __init__(self, table: Table, session: str, chance: random.Random, count: int, longest_pause: float) -> None:
        self._table = table
        self.session = session
        self._pauses = [chance.uniform(0, longest_pause) for _ in range(count)]
        self._stopped = threading.Event()
        self._said: list[Message] = []
        self._thread = threading.Thread(target=self._talk)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to talk."""
        self._thread.start()

    def stop(self) -> None:
        """Fall silent."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def said(self) -> list[Message]:
        """Return what certainly is in the table."""
        return list(self._said)

    @staticmethod
    def is_mine(message: Message) -> bool:
        """Return whether a writer wrote this."""
        return str(message["data"]["content"]).startswith("meanwhile ")

    def _talk(self) -> None:
        for number, pause in enumerate(self._pauses):
            if self._stopped.wait(pause):
                return
            message = {"type": "human", "data": {"content": f"meanwhile {number}"}}
            self._table.append(self.session, [message])
            self._said.append(message)
