"""``--keep-times``: messages with the times they were said at, as one snapshot import into an empty table."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import closing
from typing import BinaryIO, Final, cast

from sync_tool.commands.import_.planning import SessionPlan
from sync_tool.commands.import_.staging import Staged
from sync_tool.commands.restore.snapshot_import import CancelledByInterrupt, refused_import
from sync_tool.deployment.deployment import Deployment
from sync_tool.deployment.snapshot import COMPLETED, RUNNING, WAITING, SnapshotWriter
from sync_tool.encoding.canonical import dumps, loads
from sync_tool.errors import Differs, OutputError, UsageError
from sync_tool.files.zip import ZipWriter
from sync_tool.rows.model import Names, Page, Row
from sync_tool.rows.ports import Progress, run
from sync_tool.text import one_line, plural

_ROWS_A_PAGE: Final = 500


class TimesKept:
    """Writes everything that is planned into an empty table, in one step.

    Args:
        deployment: whose table it is.
        staged: the records.
        progress: is told of every page.
    """

    def __init__(self, deployment: Deployment, staged: Staged, progress: Progress) -> None:
        self._deployment = deployment
        self._staged = staged
        self._progress = progress
        self._door = SnapshotWriter(deployment.client, progress.note)

    def await_earlier(self) -> None:
        """Wait for an import that an earlier call began and that is being written."""
        for status in self._door.newest():
            if status.state == RUNNING:
                self._progress.note(f"an import is being written there ({status.id}); waiting for its end")
                self._door.settled(status.id)

    def require_times(self) -> None:
        """Raise a UsageError if a message has no time."""
        found = self._staged.timeless()
        if found is not None:
            raise UsageError(
                f"{one_line(found.source)}:{found.line} has no _creationTime that could be kept; nothing was written.",
                hint=[("without it", "rows get the time at which they are written")],
            )

    def write(self, plans: Iterator[SessionPlan]) -> tuple[int, int]:
        """Write the good messages of sessions; return how many and their bytes.

        Raises:
            Refused: the deployment refused the import.
            Differs: less arrived than was sent; nothing was written.
        """
        try:
            with tempfile.TemporaryFile() as temporary:
                return self._write(plans, cast("BinaryIO", temporary))
        except OSError as error:
            raise OutputError(
                f"cannot write into the temporary folder: {error.strerror or error}.",
                hint=[("another", "TMPDIR=/folder/with/space")],
            ) from None

    def _write(self, plans: Iterator[SessionPlan], file: BinaryIO) -> tuple[int, int]:
        with closing(ZipWriter(file, self._deployment.names)) as writer:
            totals = run(_pages(self._staged, plans, self._deployment.names), writer, self._progress)
        file.flush()
        import_id = self._door.upload(file, file.tell(), "requireEmpty")
        with CancelledByInterrupt(self._door, import_id, self._progress):
            status = self._door.settled(import_id)
            arrived = sum(table.rows for table in status.tables)
            if status.state == WAITING and arrived != totals.rows:
                self._door.cancel(import_id)
                raise Differs(f"{plural(totals.rows, 'row')} were sent, {arrived:,} arrived; nothing was written.")
            if status.state == WAITING:
                status = self._door.performed(import_id)
        if status.state != COMPLETED:
            raise refused_import(status, self._deployment.title)
        return totals.rows, totals.read_bytes


def _pages(staged: Staged, plans: Iterator[SessionPlan], names: Names) -> Iterator[Page]:
    rows: list[Row] = []
    for plan in plans:
        for row in _rows(staged, plan, names):
            rows.append(row)
            if len(rows) == _ROWS_A_PAGE:
                yield Page(rows, sum(len(one.raw) for one in rows))
                rows = []
    if rows:
        yield Page(rows, sum(len(one.raw) for one in rows))


def _rows(staged: Staged, plan: SessionPlan, names: Names) -> Iterator[Row]:
    """Yield the good messages of a session with their times; of equal ones the later gets the next double.

    Ids are made anew, so nothing else would keep messages of one time in their order.
    """
    left, before = plan.good, -math.inf
    for item in staged.items(plan.session):
        if left == 0:
            return
        if item.digest is None or item.faults is not None:
            continue
        time = max(item.place[0], math.nextafter(before, math.inf))
        raw = dumps({**loads(item.document), "_creationTime": time})
        yield Row(
            raw=raw, id="", time=time, session=plan.session, n=plan.good - left + 1, message_field=names.message_field
        )
        left, before = left - 1, time
