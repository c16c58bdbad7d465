"""Planned sessions sent: small ones together, each by one worker, every answer taken into account before the next."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

import stamina

from sync_tool.commands.import_.journal import Known
from sync_tool.commands.import_.planning import Plans, SessionPlan, Status, TargetTable
from sync_tool.commands.import_.quarantine import faults_json, next_names
from sync_tool.commands.import_.reading import compared_digest
from sync_tool.commands.import_.staging import Item, Staged
from sync_tool.deployment.functions import Appended, Batch, Moved
from sync_tool.errors import FunctionFailed, Unreachable
from sync_tool.files.bytes import new_file
from sync_tool.files.jsonl import JsonlWriter
from sync_tool.messages.rules import Fault, Language
from sync_tool.rows.digests import HistoryDigest
from sync_tool.rows.model import Names, Page, Row

# What is missing of one session, while it is sent.

_MOST_ADDED: Final = 2000
"""More rows than calls under way can have added: then somebody else did."""


class Stretch:
    """The messages of a session behind those that the target has.

    Args:
        staged: the records.
        plan: the session, compared.
        skip_bad: True to pass over bad messages.
    """

    def __init__(self, staged: Staged, plan: SessionPlan, *, skip_bad: bool) -> None:
        self._staged = staged
        self._skip_bad = skip_bad
        self._after = plan.after
        self.session = plan.session
        self.status = plan.status
        self.untouched = True
        """True until something of it was written."""
        self.last = plan.last
        """``_id`` of the last row that the target has; None where the session is empty there."""
        self.there = plan.there
        """How many of the messages the target has."""
        self.missing = plan.good - plan.there
        self.bytes = plan.bytes
        self.digest = HistoryDigest(plan.digest)

    @property
    def goes_on(self) -> bool:
        """True while messages are missing."""
        return self.missing > 0

    def next_items(self, rows: int, size: int, *, at_least_one: bool) -> list[Item]:
        """Return the next messages, at most so many and of so many bytes."""
        found: list[Item] = []
        for item in islice(self._good_ones(), min(rows, self.missing)):
            size -= len(item.document)
            if size < 0 and (found or not at_least_one):
                break
            found.append(item)
        return found

    def written(self, items: list[Item], last: str) -> int:
        """Go on behind messages that are in the target now; return their size.

        Args:
            items: the messages, the next ones in order.
            last: ``_id`` of the last of them.
        """
        self.untouched = False
        for item in items:
            self.digest.add(item.digest or b"")
        size = sum(len(item.document) for item in items)
        self.there += len(items)
        self.missing -= len(items)
        self.bytes -= size
        if items:
            self._after = items[-1].place
        self.last = last
        return size

    def refused(self, item: Item) -> None:
        """The target does not take the next message: pass it over, or stop before it."""
        self.missing -= 1
        self._after = item.place
        if not self._skip_bad:
            self.stop()

    def stop(self) -> None:
        """Leave what is missing."""
        self.missing = 0

    def found_there(self, newest: Iterator[Row], names: Names, language: Language) -> tuple[list[Item], str] | None:
        """Compare rows that were added in the target with what is missing.

        A call whose answer was lost may have been carried out, also later and also one larger than the last.

        Args:
            newest: the session's rows in the target from the last one back.
            names: how their fields are called.
            language: what today's form of a message is.

        Returns:
            The messages that are there now with the ``_id`` of the last one; None if it holds something else.
        """
        added: list[Row] = []
        for row in newest:
            if row.id == self.last:
                break
            added.append(row)
            if len(added) > min(self.missing, _MOST_ADDED):
                return None
        else:
            if self.last is not None:
                return None
        added.reverse()
        items = list(islice(self._good_ones(), len(added)))
        if not added or len(items) < len(added):
            return None
        same = all(
            compared_digest(row.value, names, language) == item.digest for row, item in zip(added, items, strict=True)
        )
        return (items, added[-1].id) if same else None

    def _good_ones(self) -> Iterator[Item]:
        items = self._staged.items(self.session, self._after)
        return (item for item in items if item.digest is not None and item.faults is None)


MAX_ROWS: Final = 500
MAX_BYTES: Final = 2 << 20
_GOOD_CALLS_BEFORE_MORE: Final = 8
_MANY_GROUPS: Final = 4
"""Groups that wait for each worker."""

Group = list[Stretch]
"""Sessions that one worker sends, together as long as they fit into one call."""


@dataclass(slots=True)
class Sent:
    """What was written, and what was not."""

    rows: int = 0
    bytes: int = 0
    refused: int = 0
    """Messages that the deployment refused."""
    sessions: Counter[Status] = field(default_factory=Counter)
    """Sessions of which something was written, by what was planned; without those that had to be left."""
    left: list[tuple[str, str, int]] = field(default_factory=list)
    """Sessions that had to be left, why, and at which message."""


class Sender:
    """Sends into one table.

    Args:
        staged: the records.
        target: the table.
        language: what today's form of a message is.
        attempts: how often a call is repeated whose answer was lost.
        skip_bad: True to go on with a session behind a message that the deployment refuses.
    """

    def __init__(
        self, staged: Staged, target: TargetTable, language: Language, attempts: int, *, skip_bad: bool
    ) -> None:
        self._staged = staged
        self._target = target
        self._language = language
        self._door = target.door
        self._attempts = attempts
        self._skip_bad = skip_bad
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self.sent = Sent()

    def send(self, plans: Iterable[SessionPlan], advance: Callable[[int, int], None]) -> None:
        """Send what is missing of every session.

        Args:
            plans: the sessions, compared; those of which nothing is missing are passed over.
            advance: is told of rows and bytes that were written.

        Raises:
            Unreachable: no usable answer; what was written stays, and calling it again goes on.
            Refused: the key may not write.
        """
        workers = self._target.workers
        pool = ThreadPoolExecutor(workers)
        running: set[Future[None]] = set()
        try:
            for group in _grouped(Stretch(self._staged, plan, skip_bad=self._skip_bad) for plan in plans):
                running.add(pool.submit(self._send_group, group, advance))
                if len(running) >= workers * _MANY_GROUPS:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    _raise_first(done)
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                _raise_first(done)
        finally:
            self._stopped.set()
            pool.shutdown(cancel_futures=True)

    def _send_group(self, group: Group, advance: Callable[[int, int], None]) -> None:
        limit, good = MAX_ROWS, 0
        while group and not self._stopped.is_set():
            call = _one_call(group, limit)
            rows = sum(len(items) for _, items in call)
            try:
                results = self._append(call)
            except FunctionFailed as error:
                if self._is_told(error, group):
                    continue
                limit, good = max(1, rows // 2), 0
                if rows > 1:
                    continue
                self._refused(*call[0], error)
                limit = MAX_ROWS if self._skip_bad else limit
            else:
                self._take(call, results, advance)
                good += 1
                if good == _GOOD_CALLS_BEFORE_MORE:
                    limit, good = min(MAX_ROWS, limit * 2), 0
            group = [stretch for stretch in group if stretch.goes_on]

    def _append(self, call: list[tuple[Stretch, list[Item]]]) -> list[Appended | Moved]:
        """Send one call; a lost answer makes it be sent again, which writes nothing twice."""
        batches = [Batch(stretch.session, [item.document for item in items], stretch.last) for stretch, items in call]
        for attempt in stamina.retry_context(on=self._goes_on_after, attempts=self._attempts, timeout=None):
            with attempt:
                return self._door.append(batches)
        raise AssertionError

    def _goes_on_after(self, error: Exception) -> bool:
        return isinstance(error, Unreachable) and not self._stopped.is_set()

    def _take(
        self,
        call: list[tuple[Stretch, list[Item]]],
        results: list[Appended | Moved],
        advance: Callable[[int, int], None],
    ) -> None:
        notes = []
        for (stretch, items), result in zip(call, results, strict=True):
            if isinstance(result, Appended):
                written, last = items, result.last
            else:
                newest = self._door.newest(stretch.session)
                found = stretch.found_there(newest, self._target.names, self._language)
                if found is None:
                    self._leave(stretch, "changed while it was imported")
                    continue
                written, last = found
            first = stretch.untouched
            size = stretch.written(written, last)
            with self._lock:
                self.sent.sessions[stretch.status] += first
                self.sent.rows += len(written)
                self.sent.bytes += size
            advance(len(written), size)
            notes.append((stretch.session, Known(stretch.there, stretch.digest.value, last)))
        if self._target.journal is not None:
            self._target.journal.note(notes)

    def _is_told(self, error: FunctionFailed, group: Group) -> bool:
        """Tell whether the error says of one session that nothing can be appended to it; leave that session."""
        if error.code != "tail_in_future" or not isinstance(error.data, dict):
            return False
        stretch = next((one for one in group if one.session == error.data.get("sessionId")), None)
        if stretch is None:
            return False
        self._leave(stretch, "its last row there is dated in the future: new ones would sort before it")
        group.remove(stretch)
        return True

    def _refused(self, stretch: Stretch, items: list[Item], error: FunctionFailed) -> None:
        """Set a message aside that the deployment does not take even alone."""
        self._staged.blame(items[0].place, faults_json((Fault("refused", "$", error.message),)))
        with self._lock:
            self.sent.refused += 1
        stretch.refused(items[0])

    def _leave(self, stretch: Stretch, why: str) -> None:
        if self._target.journal is not None:
            self._target.journal.forget(stretch.session)
        with self._lock:
            self.sent.left.append((stretch.session, why, stretch.there + 1))
            self.sent.sessions[stretch.status] -= not stretch.untouched
        stretch.stop()


def _grouped(stretches: Iterable[Stretch]) -> Iterator[Group]:
    """Put small sessions together, as many as fit into one call."""
    group: Group = []
    rows = size = 0
    for stretch in stretches:
        if not stretch.goes_on:
            continue
        if group and (rows + stretch.missing > MAX_ROWS or size + stretch.bytes > MAX_BYTES):
            yield group
            group, rows, size = [], 0, 0
        group.append(stretch)
        rows += stretch.missing
        size += stretch.bytes
    if group:
        yield group


def _one_call(group: Group, limit: int) -> list[tuple[Stretch, list[Item]]]:
    """Take from the sessions of a group what one call may hold, at least one message."""
    call: list[tuple[Stretch, list[Item]]] = []
    rows, size = limit, MAX_BYTES
    for stretch in group:
        items = stretch.next_items(rows, size, at_least_one=not call)
        if not items:
            break
        call.append((stretch, items))
        rows -= len(items)
        size -= sum(len(item.document) for item in items)
        if rows <= 0 or size <= 0:
            break
    return call


def _raise_first(done: Iterable[Future[None]]) -> None:
    for future in done:
        future.result()


# Sessions of another history replaced: first all their rows are saved to a file, then they are erased.


def replace_sessions(plans: Plans, target: TargetTable, path: Path | None) -> Path:
    """Save the rows of the sessions that are to be replaced to a file, then erase them.

    Rows that somebody adds meanwhile are not erased; their session is then left when it is to be written. Killed
    in between and called again, what is left of a session is saved to another file and erased.

    Args:
        plans: all sessions.
        target: the table.
        path: the file for the old rows, or the next free name after it; None for ``replaced.jsonl`` here.

    Returns:
        The file.

    Raises:
        OutputError: the file cannot be written; nothing was erased.
        Unreachable: no usable answer; what was saved stays saved.
    """
    # One name for all: a run that was killed while it saved leaves a part under it, which the next run takes over.
    wanted = path or Path("replaced.jsonl")
    # The same command that goes on after a kill has saved to that name already.
    chosen = next(name for name in next_names(wanted) if not name.exists())
    with new_file(chosen) as stream:
        writer = JsonlWriter(stream)
        last = [_save(target.door.rows(plan.session), writer) for plan in plans.of(Status.REPLACE)]
        writer.finish()
    for plan, last_id in zip(plans.of(Status.REPLACE), last, strict=True):
        _erase(plan, last_id, target)
    return chosen


def _save(rows: Iterable[Row], writer: JsonlWriter) -> str | None:
    """Write the rows of one session and return the ``_id`` of the last one; None if there are none any more."""
    last = None
    for row in rows:
        writer.write(Page([row], len(row.raw)))
        last = row.id
    return last


def _erase(plan: SessionPlan, last: str | None, target: TargetTable) -> None:
    if target.journal is not None:
        target.journal.forget(plan.session)
    if last is not None:
        target.door.erase(plan.session, last)
