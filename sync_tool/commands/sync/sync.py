"""``sync``: records the changes of a deployment in an archive."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Unpack

from sync_tool.archive.index import IndexCounts
from sync_tool.archive.layout import Layout, is_archive, make_root, run_name
from sync_tool.archive.opening import Opened, create, opened_archive
from sync_tool.archive.recorder import STEP_BYTES, Recorder
from sync_tool.archive.sealed_files import Manifest, OpenRun, PassPosition, Run
from sync_tool.commands.arguments import parse_size, parse_span
from sync_tool.commands.opening import Openable, opened_deployment
from sync_tool.commands.options import SyncKeywords, SyncOptions, SyncVia
from sync_tool.commands.sync.by_stream import Outcome, PassReader, StreamReading
from sync_tool.commands.sync.by_time import TimeOptions, TimeReading
from sync_tool.commands.sync.report import Reporting, SyncReport
from sync_tool.deployment.client import instance_name
from sync_tool.deployment.deployment import Deployment
from sync_tool.errors import (
    Damaged,
    Differs,
    NoArchive,
    NoStreaming,
    OutputError,
    Refused,
    UsageError,
    only_this_refused,
)
from sync_tool.keywords import strict_keywords
from sync_tool.rows.model import Selection
from sync_tool.rows.ports import SILENT, Progress, Source
from sync_tool.rows.selection import row_filter
from sync_tool.text import plural


def _pass_reader(
    deployment: Deployment, position: PassPosition, options: SyncOptions, in_time: TimeOptions, progress: Progress
) -> PassReader:
    """Return the reader that ``--via`` names, else the first one that works of stream, functions and system.

    Raises:
        UsageError: `deployment` was opened for another reader.
        Refused: the named reader does not work.
        Unreachable: no answer.
    """
    via: SyncVia = options.via
    if via in ("auto", "stream"):
        stream = deployment.stream
        try:
            stream.check()
        except Refused as error:
            if via == "stream" or not (isinstance(error, NoStreaming) or only_this_refused(error)):
                raise
            progress.detail(f"not by the stream of changes: {error.message}")
        else:
            progress.detail("reading the stream of changes: edits and deletions are seen, up to one moment")
            return StreamReading(stream, position, full=options.full, progress=progress)
    if via in ("functions", "system"):
        deployment = deployment.through(via)
    progress.detail(deployment.method)
    return TimeReading(deployment, position, in_time, progress)


# Deletions up to the larger of a number and a share of the rows are recorded without --allow-shrink.
_FEW_DELETED: Final = 100
_SMALL_SHARE: Final = 0.1
# Files that an interrupted creation of an archive may have left.
_OURS: Final = frozenset({".lock", "parts", "runs", "state.json", ".state.json.part", ".convex-msgs.json.part"})


class SyncRun:
    """One run under way."""

    def __init__(self, deployment: Deployment, path: Path, options: SyncOptions, progress: Progress) -> None:
        self._deployment = deployment
        self._layout = Layout(path)
        self._options = options
        self._progress = progress
        self._chosen = _selection(options)
        self._full_every = parse_span(options.full_every, "--full-every")
        self._lookback = parse_span(options.lookback, "--lookback")
        self._lock_wait = parse_span(options.lock_wait, "--lock-wait")
        self._max_read = parse_size(options.max_read, "--max-read")
        self._step_bytes = parse_size(options.step_size, "--step-size") or STEP_BYTES
        self._started, self._clock = datetime.now(UTC), time.monotonic()
        self._instance = ""

    def run(self) -> SyncReport:
        """Run it and return the report."""
        self._require_archive()
        self._deployment.check_names()  # a missing table would look like an empty one
        self._instance = instance_name(self._deployment.client, self._deployment.identity.name)
        table = self._deployment.names.table
        self._progress.begin(f"{self._deployment.title} · table {table}", self._deployment.count())
        with self._layout.locked(self._lock_wait):
            if not is_archive(self._layout.root):
                self._create()
            with opened_archive(self._layout, self._progress.note) as archive:
                return self._record(archive)

    def _require_archive(self) -> None:
        if self._options.create and not is_archive(self._layout.root):
            make_root(self._layout.root)
        else:
            try:
                self._layout.require()
            except NoArchive as error:
                raise NoArchive(f"{error.message} Is the disk mounted? First run: --create.") from None
        if not self._options.allow_shared:
            self._layout.check_owner()

    def _create(self) -> None:
        other = next((path.name for path in self._layout.root.iterdir() if path.name not in _OURS), None)
        if other is not None:
            raise OutputError(
                f"{self._layout.root} is not empty (it holds {other}).", hint=[("give", "a new or empty folder")]
            )
        names = self._deployment.names
        create(self._layout, Manifest(self._instance, names, self._chosen, self._started.isoformat()))

    def _record(self, archive: Opened) -> SyncReport:
        bound = self._check_bound(archive)
        reading = self._reading(archive, archive.state.position if bound else PassPosition())
        open_run = archive.state.open_run
        if open_run is not None and (open_run.progress.way != reading.kind or open_run.deployment != self._instance):
            archive.drop_open()
        recorder = self._recorder(archive)
        resumed = recorder.open.steps > 0
        with closing(recorder):
            outcome = reading.read(recorder)
            counts = recorder.settle()
            self._guard(counts, recorder)
            run = recorder.complete(
                counts, outcome.position, way=reading.way, full=outcome.full, consistent=outcome.consistent
            )
        return self._report(run, outcome, resumed=resumed)

    def _recorder(self, archive: Opened) -> Recorder:
        """Resume the interrupted run, or begin one."""
        open_run = archive.state.open_run
        if open_run is None:
            name = run_name(self._started, archive.state.run)
            state = replace(archive.state, open_run=OpenRun(name, self._started.isoformat(), self._instance))
        else:
            self._progress.note(f"resuming run {open_run.run}, which was interrupted")
            state = archive.state
        selection = archive.manifest.selection
        keep = None if selection.everything else row_filter(selection)
        try:
            return Recorder(self._layout, archive.index, state, archive.before, keep=keep, step_bytes=self._step_bytes)
        except Damaged as error:
            self._progress.note(f"{error.message} That run starts over.")
            archive.drop_open()
            return self._recorder(archive)

    def _reading(self, archive: Opened, position: PassPosition) -> PassReader:
        due = position.full is None or self._age(position.full) >= self._full_every
        in_time = TimeOptions(
            lookback=self._lookback * 1000,
            full=self._options.full or due,
            max_read=self._max_read,
            counts_compare=archive.manifest.selection.everything,
        )
        return _pass_reader(self._deployment, position, self._options, in_time, self._progress)

    def _age(self, moment: str) -> float:
        return (self._started - datetime.fromisoformat(moment)).total_seconds()

    def _check_bound(self, archive: Opened) -> bool:
        """Refuse another table, selection or deployment; return False for another deployment with ``--rebind``."""
        manifest, names = archive.manifest, self._deployment.names
        if names != manifest.names:
            raise UsageError(f"{self._layout.root} is of {manifest.names}, but asked for is {names}.")
        if not self._chosen.everything and self._chosen != manifest.selection:
            raise UsageError(
                f"{self._layout.root} is of another selection; without one it keeps its own.",
                hint=[("for another", "another archive")],
            )
        known = archive.before.deployment if archive.before else manifest.deployment
        if known == self._instance:
            return True
        if not self._options.rebind:
            raise UsageError(
                f"{self._layout.root} is of the deployment {known}, this one is {self._instance}; nothing was read.",
                hint=[("after a restore into it", "--rebind"), ("else", "another archive")],
            )
        self._progress.note(f"the archive was of {known}; from now on it is of {self._instance}")
        return False

    def _guard(self, counts: IndexCounts, recorder: Recorder) -> None:
        """Discard a run that would record too many deletions."""
        before = recorder.before.totals.rows if recorder.before else 0
        few = counts.deleted <= max(_FEW_DELETED, before * _SMALL_SHARE)
        if few or self._options.allow_shrink:
            return
        recorder.discard()
        holds = self._deployment.count()
        says = f"(it now says {plural(holds, 'row')})" if holds is not None else ""
        last = f"restore --as-of {recorder.before.run}" if recorder.before else ""
        raise Differs(
            f"this run would record {counts.deleted:,} of {before:,} rows as deleted. Nothing recorded.",
            hint=[("same deployment?", f"{says}   meant it: --allow-shrink   older state: {last}")],
        )

    def _report(self, run: Run, outcome: Outcome, *, resumed: bool) -> SyncReport:
        return SyncReport(
            archive=str(self._layout.root),
            run=run.run,
            source=self._deployment.title,
            way=run.way,
            full=run.full,
            resumed=resumed,
            rows=run.totals.rows,
            sessions=run.totals.sessions,
            new=run.new,
            changed=run.changed,
            deleted=run.deleted,
            archive_bytes=run.totals.bytes,
            read_bytes=outcome.read_bytes,
            consistent=None if run.consistent is None else datetime.fromisoformat(run.consistent),
            started=datetime.fromisoformat(run.started),
            ended=datetime.fromisoformat(run.ended),
            seconds=time.monotonic() - self._clock,
        )


def _selection(options: SyncOptions) -> Selection:
    chosen = options.selection()
    if chosen.active_after is not None:
        raise UsageError(
            "--active-after does not go with sync: what it selects changes with time.", hint=[("instead", "--after")]
        )
    return chosen


@strict_keywords(SyncOptions)
def sync(source: Openable | Callable[[], Source], archive: str | Path, **keywords: Unpack[SyncKeywords]) -> SyncReport:
    """Record the new, changed and deleted rows of a deployment in an archive.

    The same call resumes an interrupted run; nothing is lost or doubled.

    Args:
        source: a deployment: its address, or what `connect` returned; or a function that connects, so that
            `ping_url` hears of a failure to connect too.
        archive: the archive's folder.
        keywords: `SyncOptions`. A selection belongs to the archive from its first run on.

    Raises:
        NoArchive: there is none, and `create` was not given.
        Locked: another run is at work there.
        Differs: too much would be recorded as deleted; nothing was recorded.
        UsageError: the archive is of another deployment, table or selection; more to read than allowed.
        Refused: the deployment refused.
        Unreachable: no answer; calling again goes on.
        Damaged: a file of the archive is.
    """
    options = SyncOptions(**keywords)
    progress = options.progress or SILENT
    metrics = Path(options.metrics_file) if options.metrics_file else None
    with Reporting(options.ping_url, metrics, str(archive), progress) as reporting:
        place = source() if callable(source) else source
        with opened_deployment(place, "sync reads deployments, not files.") as deployment:
            report = SyncRun(deployment, Path(archive).expanduser(), options, progress).run()
        reporting.report = report
    return report
