"""``--keep-times``: one snapshot import into an empty table, with the ``_creationTime`` of every message."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from typing import BinaryIO, Final

from sync_tool.commands.import_.planning import SessionPlan
from sync_tool.commands.import_.staging import Staging
from sync_tool.commands.restore.snapshot_import import CancelledByInterrupt, refused_import
from sync_tool.deployment.deployment import Deployment
from sync_tool.deployment.snapshot import COMPLETED, RUNNING, WAITING, SnapshotWriter
from sync_tool.encoding.canonical import dumps, loads
from sync_tool.errors import Differs, UsageError
from sync_tool.files.zip import ZipWriter
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Names, Row
from sync_tool.rows.ports import Progress, run
from sync_tool.rows.reading import RowReader
from sync_tool.rows.temporary import open_temporary_file, temporary_errors
from sync_tool.text import one_line, plural

_ROWS_A_PAGE: Final = 500


class KeepTimes:
    """Writes all planned messages into an empty table in one step.

    Args:
        deployment: the target.
        staging: the records.
        progress: shows every page.
    """

    def __init__(self, deployment: Deployment, staging: Staging, progress: Progress) -> None:
        self._deployment = deployment
        self._staging = staging
        self._progress = progress
        self._writer = SnapshotWriter(deployment.client, progress.note)

    def await_earlier(self) -> None:
        """Wait for the end of an import that an earlier call started."""
        for status in self._writer.newest():
            if status.state == RUNNING:
                self._progress.note(f"an import is being written there ({status.id}); waiting for its end")
                self._writer.settled(status.id)

    def require_times(self) -> None:
        """Raise a UsageError for a message without a time."""
        found = self._staging.timeless()
        if found is not None:
            raise UsageError(
                f"{one_line(found.source)}:{found.line} has no _creationTime that could be kept; nothing was written.",
                hint=[("without it", "rows get the time at which they are written")],
            )

    def write(self, plans: Iterator[SessionPlan]) -> tuple[int, int]:
        """Write the good messages of sessions; return their number and size.

        Raises:
            Refused: the deployment refused the import.
            Differs: less arrived than was sent; nothing was written.
        """
        with open_temporary_file() as file:
            return self._write(plans, file)

    def _write(self, plans: Iterator[SessionPlan], file: BinaryIO) -> tuple[int, int]:
        with temporary_errors(), closing(ZipWriter(file, self._deployment.names)) as writer:
            totals = run(_pages(self._staging, plans, self._deployment.names), writer, self._progress)
        file.flush()
        import_id = self._writer.upload(file, file.tell(), "requireEmpty")
        with CancelledByInterrupt(self._writer, import_id, self._progress):
            status = self._writer.settled(import_id)
            arrived = sum(table.rows for table in status.tables)
            if status.state == WAITING and arrived != totals.rows:
                self._writer.cancel(import_id)
                raise Differs(f"{plural(totals.rows, 'row')} were sent, {arrived:,} arrived; nothing was written.")
            if status.state == WAITING:
                status = self._writer.performed(import_id)
        if status.state != COMPLETED:
            raise refused_import(status, self._deployment.title)
        return totals.rows, totals.read_bytes


def _pages(staging: Staging, plans: Iterator[SessionPlan], names: Names) -> Iterator[Page]:
    reader = RowReader(names)
    raws = (row.raw for plan in plans for row in _rows(staging, plan, names))
    while some := list(islice(raws, _ROWS_A_PAGE)):
        yield reader.stored_page(some)


def _rows(staging: Staging, plan: SessionPlan, names: Names) -> Iterator[Row]:
    """Yield the good messages of a session with their times; the later of two equal times becomes the next double.

    The ids are new, so only times can keep messages of one time in order.
    """
    left, before = plan.good, -math.inf
    for item in staging.items(plan.session):
        if left == 0:
            return
        if item.digest is None or item.faults is not None:
            continue
        time = max(item.position[0], math.nextafter(before, math.inf))
        raw = dumps({**loads(item.document), "_creationTime": time})
        yield Row(
            raw=raw, id="", time=time, session=plan.session, n=plan.good - left + 1, message_field=names.message_field
        )
        left, before = left - 1, time
