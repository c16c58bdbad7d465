"""New messages of a session, each once, in the order in which they become visible.

The subscription returns the few newest rows. A row that was not among them before is new, at any place: transactions
do not commit in creation order. If half of the rows are new, older new rows may exist, which are read by key. So only
a row that becomes visible ten rows too late is missed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from sync_tool.deployment.client import Client
from sync_tool.deployment.functions import MODULE, ROWS, FunctionsReader
from sync_tool.deployment.ranges import KeyRange
from sync_tool.encoding.canonical import dumps
from sync_tool.encoding.values import decode, encode
from sync_tool.errors import Unreachable
from sync_tool.rows.model import Names, Position, Row
from sync_tool.rows.ports import Progress
from sync_tool.rows.reading import RowReader

# The official client has no timeout, retries forever without a message, and cannot receive more than 16 MiB. So it runs
# in a process of its own (`sync_tool.deployment.subscriber`), and the caller decides how long to wait.


@dataclass(frozen=True, slots=True)
class Failed:
    """The query failed, or the client gave up; no result follows."""

    why: str


class Subscription:
    """Subscription to the result of one query. Only the newest result is kept; older ones are skipped.

    Args:
        url: of the deployment.
        key: the admin or deploy key.
        path: of the query, such as ``convexMsgs:page``.
        args: its arguments, Convex values.
    """

    def __init__(self, url: str, key: str, path: str, args: dict[str, Any]) -> None:
        self._newest: Any = None
        self._changed = threading.Condition()
        self._process = subprocess.Popen(  # -P: no module comes from the folder that the user is in
            [sys.executable, "-P", "-m", "sync_tool.deployment.subscriber"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us; we end it
            text=True,
        )
        request = {"url": url, "key": key, "path": path, "args": encode(args)}
        self._send(json.dumps(request) + "\n")
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def next(self, seconds: float) -> Any:
        """Wait for the next result.

        Returns:
            ``convex_encoded_json``; `Failed` if no result follows; None after that many seconds without one.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None, seconds)
            newest, self._newest = self._newest, None
            return newest

    def close(self) -> None:
        """End the subscription, without waiting for the deployment."""
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


# Rows of the subscription; each new message sends all of them.
WINDOW: Final = 20


class Follower:
    """Follows one session.

    Args:
        client: of a deployment with ``convexMsgs``.
        key: for the subscription.
        names: how table, index and fields are called.
        session: its id.
    """

    def __init__(self, client: Client, key: str, names: Names, session: str) -> None:
        self._client = client
        self._key = key
        self._session = session
        self._rows_reader = FunctionsReader(client, names, WINDOW)
        self._reader = RowReader(names)
        self._args: dict[str, Any] = {
            "table": names.table, "index": names.index, "sessionField": names.session_field,
            "sessionId": session, "order": "desc", "limit": float(WINDOW),
        }  # fmt: skip
        self._seen: set[str] = set()
        """Ids of the rows in the last window."""
        self._floor: Position | None = None
        """Rows up to here are old, seen or not; None if no row is."""

    def begin(self, last: int) -> list[Row]:
        """Return the `last` newest rows, oldest first; all later rows are new."""
        pages = self._rows_reader.pages(KeyRange(session=self._session, newest_first=True))
        newest = list(islice((row for page in pages for row in page.rows), max(last, WINDOW)))
        self._remember(newest[:WINDOW], complete=len(newest) < WINDOW)
        return newest[:last][::-1]

    def follow(self, silence: float, progress: Progress) -> Iterator[Row]:
        """Yield new rows without end.

        After `silence` seconds without a result the same query is sent over HTTP. That shows whether key and functions
        are still valid, and whether the live connection misses rows.

        Raises:
            Refused: the deployment refuses the key, or the functions no longer exist.
        """
        while True:
            with closing(self._subscription()) as subscription:
                yield from self._until_broken(subscription, silence, progress)
            progress.note("the live connection misses messages; opening a new one.")

    def _until_broken(self, subscription: Subscription, silence: float, progress: Progress) -> Iterator[Row]:
        broken = False
        while True:
            found = subscription.next(silence)
            if isinstance(found, Failed):
                progress.detail(f"the live connection ended: {found.why.splitlines()[0] if found.why else 'no reason'}")
                broken = True
            elif found is not None:
                yield from self._new(self._rows(found["rows"]), found["isDone"])
                continue
            try:
                answer = self._client.query(f"{MODULE}:page", self._args, ROWS)
            except Unreachable as error:
                progress.note(f"{error.message} Still waiting.")
                continue
            missed = list(self._new(self._reader.page(answer.rows).rows, answer.is_done))
            yield from missed
            if broken or missed:
                return
            progress.detail(f"nothing new for {silence:.0f} s; key and functions are still valid.")

    def _new(self, newest_first: list[Row], complete: bool) -> Iterator[Row]:
        """Yield the new rows of a window, and those between it and the window before."""
        rows = newest_first[::-1]
        if sum(map(self._is_new, rows)) >= WINDOW // 2 and not complete:
            gap = KeyRange(session=self._session, resume=self._floor, until=rows[0].position)
            for page in self._rows_reader.pages(gap):
                yield from filter(self._is_new, page.rows)
        yield from filter(self._is_new, rows)
        self._remember(newest_first, complete)

    def _is_new(self, row: Row) -> bool:
        return row.id not in self._seen and (self._floor is None or row.position.key() > self._floor.key())

    def _remember(self, newest_first: list[Row], complete: bool) -> None:
        self._seen = {row.id for row in newest_first}
        if not newest_first:
            return
        oldest = newest_first[-1].position
        if not complete:  # erased rows let older ones rise into the window
            self._floor = max(oldest, self._floor or oldest, key=Position.key)

    def _rows(self, documents: list[Any]) -> list[Row]:
        return [self._reader.row(dumps(decode(document))) for document in documents]

    def _subscription(self) -> Subscription:
        return Subscription(self._client.url, self._key, f"{MODULE}:page", self._args)
