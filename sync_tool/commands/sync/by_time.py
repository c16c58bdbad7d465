"""Reads in time order: rows since the last pass, and from time to time everything.

Creation times do not change, but transactions commit out of their order. So each pass looks back a little, and a full
pass finds edits, deletions and rows that came later still.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from sync_tool.archive.recorder import Recorder
from sync_tool.archive.sealed_files import Pass, PassPosition
from sync_tool.commands.metering import Meter, estimate_all, read_cap
from sync_tool.commands.sync.by_stream import Outcome
from sync_tool.deployment.client import newest_moment
from sync_tool.deployment.deployment import Deployment
from sync_tool.errors import Unreachable
from sync_tool.rows.batch import Page
from sync_tool.rows.ports import Progress

WAY: Final = "time"


@dataclass(frozen=True, slots=True)
class TimeOptions:
    """Options of reading in time order."""

    lookback: float
    """ms before the end of the last pass at which this one begins."""
    full: bool
    """Read everything."""
    max_read: int | None
    counts_compare: bool
    """True if the archive holds all rows of the table, so that their numbers can be compared."""


class TimeReading:
    """Reads through the functions or the dashboard's queries.

    Args:
        deployment: the deployment to read.
        position: of the last run.
        options: lookback and limits.
        progress: shows the progress.
    """

    kind: str = WAY

    def __init__(
        self, deployment: Deployment, position: PassPosition, options: TimeOptions, progress: Progress
    ) -> None:
        self.way: str = deployment.reader.name
        self._deployment = deployment
        self._position = position
        self._options = options
        self._progress = progress
        self._meter = Meter(read_cap(deployment, options.max_read), None)
        self._read_bytes = 0

    def read(self, recorder: Recorder) -> Outcome:
        """Read new rows; everything if that is due or the deployment has another number of rows.

        Raises:
            UsageError: more to read than allowed.
            Refused: the deployment refused.
            Unreachable: no answer.
        """
        at = recorder.open.progress if recorder.open.steps else None
        head = self._position.head
        if self._options.full or head is None or (at is not None and at.since is not None):
            done = self._full(recorder, at if at is not None and at.since is not None else None)
        else:
            done = self._window(recorder, head, at)
            if self._differs(recorder):
                done = self._look_again(recorder, _head(done))
        position = PassPosition(WAY, None, _head(done), done.full_started or self._position.full)
        return Outcome(position, done.full_started is not None, None, self._read_bytes)

    def _window(self, recorder: Recorder, head: float, at: Pass | None = None) -> Pass:
        """Read the rows created since shortly before `head`."""
        if at is None:
            started = newest_moment(self._deployment.client)
            at = Pass(WAY, after=head - self._options.lookback, started_at=started, greatest=head)
        return self._walk(recorder, at)

    def _full(self, recorder: Recorder, at: Pass | None = None) -> Pass:
        """Read all rows; record rows that were not seen as deleted."""
        self._announce(resumed=at is not None)
        if at is None:
            moment = newest_moment(self._deployment.client)
            now = datetime.now(UTC).isoformat()
            at = Pass(WAY, since=recorder.begin_full(), full_started=now, started_at=moment)
        done = self._walk(recorder, at)
        recorder.delete_unseen(done.since or 0)
        return done

    def _look_again(self, recorder: Recorder, head: float) -> Pass:
        """Read new rows once more; everything if the numbers of rows still differ."""
        first = self._deployment.count()
        done = self._window(recorder, head)
        last = self._deployment.count()
        rows = recorder.rows()
        if first is None or last is None or min(first, last) <= rows <= max(first, last):
            return done
        self._progress.note(
            f"the table holds {last:,} rows, the archive would hold {rows:,}: something was deleted, or came late"
        )
        return self._full(recorder)

    def _differs(self, recorder: Recorder) -> bool:
        if not self._options.counts_compare:
            return False
        count = self._deployment.count()
        return count is not None and count != recorder.rows()

    def _announce(self, *, resumed: bool) -> None:
        estimate = estimate_all(self._deployment)
        self._meter = Meter(read_cap(self._deployment, self._options.max_read), None if resumed else estimate)
        what = "resuming a full pass" if resumed else "full pass: everything is read and compared"
        self._progress.note(what if estimate is None else f"{what}, {estimate}")

    def _walk(self, recorder: Recorder, at: Pass) -> Pass:
        for page in self._meter.watch(self._deployment.in_time_order(at.after)):
            recorder.take(_canonical(page), full=at.since is not None)
            times = page.batch.times
            if times:
                at = replace(at, after=times[-1], greatest=max(times[-1], at.greatest or 0.0))
            self._read_bytes += page.bytes
            self._progress.advance(page.count, page.bytes)
            recorder.reached(at, page.bytes)
        return at


def _head(done: Pass) -> float:
    """Return the time before which only late arrivals can be missing.

    Not the greatest time alone: one row dated in the future would hide every row that comes before then.
    """
    started = done.started_at or 0.0
    return started if done.greatest is None else min(done.greatest, started)


def _canonical(page: Page) -> Page:
    try:
        return Page(page.batch.canonical(), page.bytes)
    except ValueError as error:
        raise Unreachable(f"a page of the deployment came garbled: {error}.") from None
