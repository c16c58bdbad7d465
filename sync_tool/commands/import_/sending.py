"""Sends planned sessions: several small ones in a call, one worker a session, each answer before the next call."""

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

from sync_tool.commands.import_.planning import Plans, SessionPlan, Status, TargetTable
from sync_tool.commands.import_.quarantine import faults_json, next_names
from sync_tool.commands.import_.reading import compared_digest
from sync_tool.commands.import_.staging import Item, Staging
from sync_tool.commands.journals import KnownSession
from sync_tool.deployment.functions import AppendBatch, Appended, Moved
from sync_tool.errors import FunctionFailed, Unreachable
from sync_tool.files.bytes import new_file
from sync_tool.files.jsonl import JsonlWriter
from sync_tool.messages.rules import Fault, Language
from sync_tool.rows.digests import HistoryDigest
from sync_tool.rows.model import Names, Row
from sync_tool.rows.reading import page_of_row

# Rows that earlier calls can have added at most; more of them were added by somebody else.
_MOST_ADDED: Final = 2000


class PendingSession:
    """The messages of a session that the target does not have yet.

    Args:
        staging: the records.
        plan: the session, compared.
        skip_bad: True to leave out bad messages.
    """

    def __init__(self, staging: Staging, plan: SessionPlan, *, skip_bad: bool) -> None:
        self._staging = staging
        self._skip_bad = skip_bad
        self._after = plan.after
        self.session = plan.session
        self.status = plan.status
        self.untouched = True
        """True until something of it was written."""
        self.last = plan.last
        """``_id`` of the last row in the target; None without rows."""
        self.there = plan.there
        """The number of messages that the target has."""
        self.missing = plan.good - plan.there
        self.bytes = plan.bytes
        self.digest = HistoryDigest(plan.digest)

    @property
    def unfinished(self) -> bool:
        """True while messages are missing."""
        return self.missing > 0

    def next_items(self, rows: int, size: int, *, at_least_one: bool) -> list[Item]:
        """Return the next messages, limited by number and bytes."""
        found: list[Item] = []
        for item in islice(self._good_ones(), min(rows, self.missing)):
            size -= len(item.document)
            if size < 0 and (found or not at_least_one):
                break
            found.append(item)
        return found

    def written(self, items: list[Item], last: str) -> int:
        """Count messages that are in the target now, and return their size.

        Args:
            items: the next messages in order.
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
            self._after = items[-1].position
        self.last = last
        return size

    def refused(self, item: Item) -> None:
        """Skip a message that the target refuses, or stop before it."""
        self.missing -= 1
        self._after = item.position
        if not self._skip_bad:
            self.stop()

    def stop(self) -> None:
        """Send nothing more."""
        self.missing = 0

    def written_meanwhile(
        self, newest: Iterator[Row], names: Names, language: Language
    ) -> tuple[list[Item], str] | None:
        """Compare the rows that were added to the target with the missing messages.

        A call whose answer was lost may have been executed, even late and even one larger than the last.

        Args:
            newest: the session's rows in the target, from the last one back.
            names: their field names.
            language: decides today's form of a message.

        Returns:
            The messages that are there now, with the ``_id`` of the last one; None if other rows were added.
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
        items = self._staging.items(self.session, self._after)
        return (item for item in items if item.digest is not None and item.faults is None)


MAX_ROWS: Final = 500
MAX_BYTES: Final = 2 << 20
_GOOD_CALLS_BEFORE_MORE: Final = 8
# Groups that wait for each worker.
_MANY_GROUPS: Final = 4

# Sessions that one worker sends, several in a call while they fit.
Group = list[PendingSession]
Call = list[tuple[PendingSession, list[Item]]]


@dataclass(slots=True)
class Sent:
    """Counts of written messages, and the sessions that were skipped."""

    rows: int = 0
    bytes: int = 0
    sessions: Counter[Status] = field(default_factory=Counter)
    """Sessions with written messages by planned status, without the skipped ones."""
    skipped: list[tuple[str, str, int]] = field(default_factory=list)
    """Sessions that had to be skipped: id, reason, and the message at which it happened."""


class Sender:
    """Sends into one table.

    Args:
        staging: the records.
        target: the table.
        language: decides today's form of a message.
        attempts: attempts of a call whose answer is lost.
        skip_bad: True to continue a session after a message that the deployment refuses.
    """

    def __init__(
        self, staging: Staging, target: TargetTable, language: Language, attempts: int, *, skip_bad: bool
    ) -> None:
        self._staging = staging
        self._target = target
        self._language = language
        self._writer = target.writer
        self._attempts = attempts
        self._skip_bad = skip_bad
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self.sent = Sent()

    def send(self, plans: Iterable[SessionPlan], advance: Callable[[int, int], None]) -> None:
        """Send the missing messages of every session.

        Args:
            plans: the plans of the sessions.
            advance: called with rows and bytes that were written.

        Raises:
            Unreachable: no usable answer; written messages stay, and another call continues.
            Refused: the key may not write.
        """
        workers = self._target.workers
        pool = ThreadPoolExecutor(workers)
        running: set[Future[None]] = set()
        try:
            for group in _grouped(PendingSession(self._staging, plan, skip_bad=self._skip_bad) for plan in plans):
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
                if self._refuses_session(error, group):
                    continue
                limit, good = max(1, rows // 2), 0
                if rows > 1:
                    continue
                self._refused(*call[0], error)
                limit = MAX_ROWS if self._skip_bad else limit
            else:
                self._record(call, results, advance)
                good += 1
                if good == _GOOD_CALLS_BEFORE_MORE:
                    limit, good = min(MAX_ROWS, limit * 2), 0
            group = [pending for pending in group if pending.unfinished]

    def _append(self, call: Call) -> list[Appended | Moved]:
        """Send one call, and repeat it after a lost answer, which writes nothing twice."""
        batches = [
            AppendBatch(pending.session, [item.document for item in items], pending.last) for pending, items in call
        ]
        for attempt in stamina.retry_context(on=self._repeats_after, attempts=self._attempts, timeout=None):
            with attempt:
                return self._writer.append(batches)
        raise AssertionError

    def _repeats_after(self, error: Exception) -> bool:
        return isinstance(error, Unreachable) and not self._stopped.is_set()

    def _record(
        self,
        call: Call,
        results: list[Appended | Moved],
        advance: Callable[[int, int], None],
    ) -> None:
        entries = []
        for (pending, items), result in zip(call, results, strict=True):
            if isinstance(result, Appended):
                written, last = items, result.last
            else:
                newest = self._writer.newest(pending.session)
                found = pending.written_meanwhile(newest, self._target.names, self._language)
                if found is None:
                    self._skip(pending, "changed while it was imported")
                    continue
                written, last = found
            first = pending.untouched
            size = pending.written(written, last)
            with self._lock:
                self.sent.sessions[pending.status] += first
                self.sent.rows += len(written)
                self.sent.bytes += size
            advance(len(written), size)
            entries.append((pending.session, KnownSession(pending.there, pending.digest.value, last)))
        if self._target.journal is not None:
            self._target.journal.record(entries)

    def _refuses_session(self, error: FunctionFailed, group: Group) -> bool:
        """Skip the session to which the error says that nothing can be appended; False if it names none."""
        if error.code != "tail_in_future" or not isinstance(error.data, dict):
            return False
        pending = next((one for one in group if one.session == error.data.get("sessionId")), None)
        if pending is None:
            return False
        self._skip(pending, "its last row there is dated in the future: new ones would sort before it")
        group.remove(pending)
        return True

    def _refused(self, pending: PendingSession, items: list[Item], error: FunctionFailed) -> None:
        """Quarantine a message that the deployment refuses even alone."""
        self._staging.mark_faulty(items[0].position, faults_json((Fault("refused", "$", error.message),)))
        pending.refused(items[0])

    def _skip(self, pending: PendingSession, why: str) -> None:
        if self._target.journal is not None:
            self._target.journal.forget(pending.session)
        with self._lock:
            self.sent.skipped.append((pending.session, why, pending.there + 1))
            self.sent.sessions[pending.status] -= not pending.untouched
        pending.stop()


def _grouped(sessions: Iterable[PendingSession]) -> Iterator[Group]:
    """Group small sessions, as many as fit into one call."""
    group: Group = []
    rows = size = 0
    for pending in sessions:
        if not pending.unfinished:
            continue
        if group and (rows + pending.missing > MAX_ROWS or size + pending.bytes > MAX_BYTES):
            yield group
            group, rows, size = [], 0, 0
        group.append(pending)
        rows += pending.missing
        size += pending.bytes
    if group:
        yield group


def _one_call(group: Group, limit: int) -> Call:
    """Return the next messages of a group that fit into one call, at least one."""
    call: Call = []
    rows, size = limit, MAX_BYTES
    for pending in group:
        items = pending.next_items(rows, size, at_least_one=not call)
        if not items:
            break
        call.append((pending, items))
        rows -= len(items)
        size -= sum(len(item.document) for item in items)
        if rows <= 0 or size <= 0:
            break
    return call


def _raise_first(done: Iterable[Future[None]]) -> None:
    for future in done:
        future.result()


def replace_sessions(plans: Plans, target: TargetTable, path: Path | None) -> Path:
    """Save the rows of all sessions to replace in a file, then erase them.

    Rows that somebody adds meanwhile are not erased, and their session is skipped later. A call after a kill saves
    the remaining rows to another file and erases them.

    Args:
        plans: all sessions.
        target: the table.
        path: the file for the old rows, or the next free name after it; None for ``replaced.jsonl`` here.

    Returns:
        The file.

    Raises:
        OutputError: the file cannot be written; nothing was erased.
        Unreachable: no usable answer; the saved rows stay saved.
    """
    # The same command may have saved to the first name before it was killed.
    chosen = next(name for name in next_names(path or Path("replaced.jsonl")) if not name.exists())
    with new_file(chosen) as stream:
        writer = JsonlWriter(stream)
        last = [_save(target.writer.rows(plan.session), writer) for plan in plans.of(Status.REPLACE)]
        writer.finish()
    for plan, last_id in zip(plans.of(Status.REPLACE), last, strict=True):
        _erase(plan, last_id, target)
    return chosen


def _save(rows: Iterable[Row], writer: JsonlWriter) -> str | None:
    """Write the rows of one session and return the ``_id`` of the last one; None without rows."""
    last = None
    for row in rows:
        writer.write(page_of_row(row))
        last = row.id
    return last


def _erase(plan: SessionPlan, last: str | None, target: TargetTable) -> None:
    if target.journal is not None:
        target.journal.forget(plan.session)
    if last is not None:
        target.writer.erase(plan.session, last)
