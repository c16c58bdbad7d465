"""Reads the stream of changes: every edit and deletion, up to one moment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Protocol

from sync_tool.archive.recorder import Recorder
from sync_tool.archive.sealed_files import Pass, PassPosition
from sync_tool.deployment.stream import INVALID_CURSOR, StreamReader
from sync_tool.errors import CursorExpired, Refused
from sync_tool.rows.ports import Progress


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of reading a deployment for a run."""

    position: PassPosition
    """The position from which the next run reads."""
    full: bool
    """True if everything was read and compared."""
    consistent: str | None
    """The moment at which the archive equals the table, ISO 8601; None if pages were read one after the other."""
    read_bytes: int


class PassReader(Protocol):
    """Reads a deployment for a run."""

    kind: str
    """``stream`` or ``time``: an interrupted run is resumed by a reader of the same kind."""
    way: str
    """``stream``, ``functions`` or ``system``."""

    def read(self, recorder: Recorder) -> Outcome:
        """Read all new rows, from the progress of the interrupted run if there is one."""


WAY: Final = "stream"
_NS_A_SECOND: Final = 1_000_000_000


class StreamReading:
    """Reads through ``data/sync``.

    Args:
        stream: of the table.
        position: of the last run.
        full: read everything.
        progress: shows the progress.
    """

    kind: str = WAY
    way: str = WAY

    def __init__(self, stream: StreamReader, position: PassPosition, *, full: bool, progress: Progress) -> None:
        self._stream = stream
        self._position = position
        self._full = full
        self._progress = progress
        self._read_bytes = 0

    def read(self, recorder: Recorder) -> Outcome:
        """Read the changes; everything if the deployment no longer keeps them.

        Raises:
            Refused: the deployment refused.
            Unreachable: no answer.
        """
        at = recorder.open.progress if recorder.open.steps else None
        if at is None and not self._full and self._position.cursor is not None:
            at = Pass(WAY, cursor=self._position.cursor)
        try:
            return self._walk(recorder, at or self._beginning(recorder))
        except CursorExpired:
            self._progress.note(
                "the deployment no longer keeps what changed since the last run: everything is read and compared. "
                "Sync more often to avoid that."
            )
        except Refused as error:
            if error.code != INVALID_CURSOR or at is None:
                raise
            self._progress.note(f"{error.message} Everything is read and compared.")
        return self._walk(recorder, self._beginning(recorder))

    def _beginning(self, recorder: Recorder) -> Pass:
        return Pass(WAY, since=recorder.begin_full(), full_started=datetime.now(UTC).isoformat())

    def _walk(self, recorder: Recorder, at: Pass) -> Outcome:
        snapshot = None
        for page in self._stream.pages(at.cursor):
            if page.truncated and at.cursor is not None:
                at = self._beginning(recorder)
            count = 0
            for changes in page.changes:
                recorder.take(changes.rows, changes.deleted, full=at.since is not None)
                count += len(changes.ts)
            at = replace(at, cursor=page.cursor)
            snapshot = page.snapshot
            self._read_bytes += page.bytes
            self._progress.advance(count, page.bytes)
            recorder.reached(at, page.bytes)
        if at.since is not None:
            recorder.delete_unseen(at.since)
        moment = None if snapshot is None else datetime.fromtimestamp(snapshot / _NS_A_SECOND, UTC).isoformat()
        position = PassPosition(WAY, at.cursor, None, at.full_started or self._position.full)
        return Outcome(position, at.since is not None, moment, self._read_bytes)
