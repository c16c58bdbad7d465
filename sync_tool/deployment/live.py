"""A session as it grows: each message once, in the order in which it became visible.

What is subscribed to is the few newest rows. A row among them that was not there before is new, wherever it
stands: creation order is not the order in which transactions commit. Where half of them are new, there may be more
behind them, which are read by key. So only a row that becomes visible ten rows too late is missed.
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

# The result of one query as it changes: the official client's subscription, kept from hanging in silence. The client
# has no timeout, tries again for ever without a word, and cannot receive more than 16 MiB. It runs in a process of
# its own (`sync_tool.deployment.subscriber`), and whoever waits here decides how long.


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
        self._process = subprocess.Popen(  # -P: no module comes from the folder that the user is in
            [sys.executable, "-P", "-m", "sync_tool.deployment.subscriber"],
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


WINDOW: Final = 20
"""Rows that are subscribed to; each new message sends all of them."""


class Follower:
    """Follows one session.

    Args:
        client: of a deployment that has our functions.
        key: the key that the client uses, for the subscription.
        names: how table, index and fields are called.
        session: its id.
    """

    def __init__(self, client: Client, key: str, names: Names, session: str) -> None:
        self._client = client
        self._key = key
        self._session = session
        self._door = FunctionsReader(client, names, WINDOW)
        self._reader = RowReader(names)
        self._args: dict[str, Any] = {
            "table": names.table, "index": names.index, "sessionField": names.session_field,
            "sessionId": session, "order": "desc", "limit": float(WINDOW),
        }  # fmt: skip
        self._seen: set[str] = set()
        """Ids of the rows in the window that was looked at last."""
        self._floor: Position | None = None
        """Rows up to here are old, seen or not; None if nothing is."""

    def begin(self, last: int) -> list[Row]:
        """Return the `last` newest rows, oldest first; only what comes after this call is new."""
        pages = self._door.pages(KeyRange(session=self._session, newest_first=True))
        newest = list(islice((row for page in pages for row in page.rows), max(last, WINDOW)))
        self._remember(newest[:WINDOW], complete=len(newest) < WINDOW)
        return newest[:last][::-1]

    def follow(self, silence: float, progress: Progress) -> Iterator[Row]:
        """Yield new rows for as long as somebody wants them.

        After `silence` seconds without a word the same query is made over HTTP. That shows whether key and functions
        are still good, and whether the live connection withholds something.

        Raises:
            Refused: the deployment refuses the key, or the functions are gone.
        """
        while True:
            with closing(self._subscription()) as subscription:
                yield from self._until_broken(subscription, silence, progress)
            progress.note("the live connection does not deliver what is there; making a new one.")

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
            progress.detail(f"nothing new for {silence:.0f} s; key and functions are still good.")

    def _new(self, newest_first: list[Row], complete: bool) -> Iterator[Row]:
        """Yield what is new in the window, and what may have passed between it and the one before."""
        rows = newest_first[::-1]
        if sum(map(self._is_new, rows)) >= WINDOW // 2 and not complete:
            gap = KeyRange(session=self._session, resume=self._floor, until=rows[0].position)
            for page in self._door.pages(gap):
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
        if not complete:  # what rises into the window when rows are erased is not new
            self._floor = max(oldest, self._floor or oldest, key=Position.key)

    def _rows(self, documents: list[Any]) -> list[Row]:
        return [self._reader.row(dumps(decode(document))) for document in documents]

    def _subscription(self) -> Subscription:
        return Subscription(self._client.url, self._key, f"{MODULE}:page", self._args)
