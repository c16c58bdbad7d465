"""``sync``: what is new in a deployment into an archive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypedDict, Unpack

from sync_tool.jobs.history import History
from sync_tool.jobs.selecting import SelectionKeywords, Span
from sync_tool.jobs.sync_doors import SyncVia
from sync_tool.jobs.sync_report import SyncReport, Telling
from sync_tool.jobs.sync_run import Asked, SyncRun
from sync_tool.ports import SILENT, Progress


class SyncOptions(TypedDict, total=False):
    """The keywords of `sync` beside the selection. Spans are text such as ``10m``, seconds, or a timedelta."""

    create: bool
    """Make the archive if there is none."""
    via: SyncVia
    """``auto`` (stream, else functions, else system), or one of them."""
    full: bool
    """Read everything and compare it."""
    full_every: Span
    """Without the stream: read everything when it was not read for so long; ``7d``."""
    lookback: Span
    """Without the stream: how far before the end of the last pass to begin; ``10m``."""
    allow_shrink: bool
    """Record also that more than 10 % and more than 100 rows were deleted."""
    rebind: bool
    """Go on with a deployment of another instance name."""
    lock_wait: Span
    """How long to wait for another run's end; not at all without it."""
    max_read: str | int | None
    """Most bytes to read, such as ``250MB``; without it 200 MB on a cloud plan without streaming."""
    step_size: str | int | None
    """Bytes of rows between two points from which a run that is cut off can go on; ``32MiB``."""
    ping_url: str | None
    """A watchdog that is told of start, success and failure, as healthchecks.io takes it."""
    metrics_file: str | Path | None
    """Where to write metrics in Prometheus' text format."""
    progress: Progress | None
    """Who is told how far it is."""


class SyncKeywords(SelectionKeywords, SyncOptions, total=False):
    """All keywords of `sync`."""


def sync(source: History | Callable[[], History], archive: str | Path, **keywords: Unpack[SyncKeywords]) -> SyncReport:
    """Record in an archive what is new, changed and deleted in a deployment since the last run.

    A run that is cut off at any point is gone on with by the same call; nothing is lost or doubled.

    Args:
        source: what `connect` returned, or what connects: then `ping_url` is told also if that fails.
        archive: the archive's folder.
        keywords: `SyncOptions`, and those of a selection, which belongs to the archive from its first run on.

    Raises:
        NoArchive: there is none, and `create` was not given.
        Locked: another run is at work there.
        Differs: too much would be recorded as deleted; nothing was recorded.
        UsageError: the archive is of another deployment, table or selection; more to read than allowed.
        Refused: the deployment refused.
        Unreachable: no answer; calling again goes on.
        Damaged: a file of the archive is.
    """
    progress = keywords.get("progress") or SILENT
    metrics = keywords.get("metrics_file")
    telling = Telling(keywords.get("ping_url"), Path(metrics) if metrics else None, str(archive), progress)
    with telling:
        asked = Asked(
            via=keywords.get("via", "auto"),
            create=keywords.get("create", False),
            full=keywords.get("full", False),
            allow_shrink=keywords.get("allow_shrink", False),
            rebind=keywords.get("rebind", False),
            full_every=keywords.get("full_every", "7d"),
            lookback=keywords.get("lookback", "10m"),
            lock_wait=keywords.get("lock_wait", 0),
            max_read=keywords.get("max_read"),
            step_size=keywords.get("step_size"),
            selection=keywords,
        )
        history = source if isinstance(source, History) else source()
        report = SyncRun(history.source, Path(archive).expanduser(), asked, progress).run()
        telling.report = report
    return report
