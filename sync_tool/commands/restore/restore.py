"""``restore``: writes a whole table with its ids and times, in one step of the deployment's snapshot import."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Final, Unpack

from sync_tool.commands.journals import ConfirmedImport, RestoreJournal
from sync_tool.commands.opening import Openable, opened, opened_deployment
from sync_tool.commands.options import RestoreKeywords, RestoreOptions
from sync_tool.commands.restore.package import Package, RestorePlan, RestoreReport, packed
from sync_tool.commands.restore.snapshot_import import (
    CancelledByInterrupt,
    cancel_import,
    number_taken,
    refused_import,
)
from sync_tool.deployment.catalog import table_names, table_numbers
from sync_tool.deployment.deployment import Deployment
from sync_tool.deployment.snapshot import COMPLETED, RUNNING, WAITING, ImportStatus, Mode, SnapshotWriter
from sync_tool.errors import Differs, Locked, NotSupported, OutputError, UsageError
from sync_tool.keywords import strict_keywords
from sync_tool.rows.model import Selection
from sync_tool.rows.ports import SILENT, Source
from sync_tool.text import moment, plural, size

_PROD: Final = "prod"


@strict_keywords(RestoreOptions)
def restore(source: Openable, target: Openable, **keywords: Unpack[RestoreKeywords]) -> RestoreReport:
    """Write the rows of a file into the table of a deployment, with their own ``_id`` and ``_creationTime``.

    The table changes in one step or not at all. After an interruption behind the confirmation the deployment
    continues the import, and the same call joins it.

    Args:
        source: an address or a path of rows with their ids, or what `open` returned for it.
        target: a deployment: its address, or what `connect` or `open` returned.
        keywords: `RestoreOptions`. A selection is for an empty table only.

    Raises:
        UsageError: the table is not empty, a missing `yes`, rows without ids, ids of another table's number.
        Refused: the deployment refused the key or the rows.
        Unreachable: no answer; safe to call again.
        Locked: another import is at work in the deployment.
        Differs: less arrived than was sent.
    """
    options = RestoreOptions(**keywords)
    chosen = options.selection()
    with opened(source, as_of=options.as_of, names=options.names) as rows:
        if rows.live:
            raise NotSupported(
                "restore puts back the rows of a file, not of another deployment.",
                hint=[("first", "convex-msgs export -o messages.jsonl")],
            )
        refusal = "restore writes into a deployment."
        with opened_deployment(target, refusal, names=options.names) as deployment:
            return _Restore(rows, deployment, options).run(chosen)


class TableNotEmpty(UsageError):
    """The table holds rows, and replacing them was not allowed."""


class _Restore:
    """One restore under way."""

    def __init__(self, source: Source, target: Deployment, options: RestoreOptions) -> None:
        self._source = source
        self._target = target
        self._options = options
        self._progress = progress = options.progress or SILENT
        self._writer = SnapshotWriter(target.client, progress.note)
        self._table = target.names.table
        self._journal = RestoreJournal(f"{target.client.url} {target.identity.title} {self._table}")
        self._started, self._clock = datetime.now(UTC), time.monotonic()

    def run(self, chosen: Selection) -> RestoreReport:
        """Run it and return the report."""
        self._progress.begin(f"{self._source.title} -> {self._target.title} · table {self._table}", None)
        self._note_new_table()
        begun = None if self._options.dry_run else self._journal.read()
        existing = self._target.count() or 0
        if begun is None:
            self._refuse_early(existing, chosen)
        with packed(self._source, chosen, self._target.names, self._progress) as package:
            earlier = self._to_join(begun, package)
            if earlier is not None:
                with self._cancelling(earlier.import_id):
                    status = self._ended(self._writer.settled(earlier.import_id))
                return self._report(status, package, earlier.deleted, joined=True)
            if begun is not None:
                existing = self._target.count() or 0  # it may have ended meanwhile
                self._refuse_early(existing, chosen)
            self._refuse_number(package)
            self._refuse_other_import()
            return self._import(package, existing)

    def _import(self, package: Package, existing: int) -> RestoreReport:
        mode: Mode = "replace" if self._options.replace or (self._options.dry_run and existing) else "requireEmpty"
        self._progress.detail(f"uploading {size(package.bytes)}")
        import_id = self._writer.upload(package.file, package.bytes, mode)
        with ExitStack() as undo:
            undo.callback(cancel_import, self._writer, import_id, self._progress)
            status = self._writer.settled(import_id)
            if status.state != WAITING:
                raise refused_import(status, self._target.title)
            plan = self._plan(status, package)
            self._progress.note(str(plan))
            if self._options.dry_run:
                return self._report(status, package, plan.deletes)
            self._agree(plan)
            self._remember(ConfirmedImport(import_id, package.digest, plan.deletes))
            undo.pop_all()
        with self._cancelling(import_id):
            return self._report(self._ended(self._writer.performed(import_id)), package, plan.deletes)

    def _cancelling(self, import_id: str) -> CancelledByInterrupt:
        return CancelledByInterrupt(self._writer, import_id, self._progress, self._journal.clear)

    def _plan(self, status: ImportStatus, package: Package) -> RestorePlan:
        found = next((table for table in status.tables if table.table == self._table), None)
        if found is None or found.rows != package.rows or len(status.tables) != 1:
            raise Differs(
                f"{package.rows:,} rows were sent, {found.rows if found else 0:,} arrived; nothing was written.",
                hint=[("", "run it again")],
            )
        return RestorePlan(self._target.title, self._table, found.existing, found.deleted, found.rows)

    def _ended(self, status: ImportStatus) -> ImportStatus:
        """Raise an error for an import that was confirmed and failed."""
        if status.state != COMPLETED:
            self._journal.clear()
            raise refused_import(status, self._target.title)
        return status

    def _refuse_early(self, existing: int, chosen: Selection) -> None:
        """Refuse before the upload if possible."""
        where = f"{self._table} on {self._target.title} holds {plural(existing, 'row')}"
        if existing and (not chosen.everything or self._source.partial):
            raise UsageError(
                f"{where}, and only some messages were selected: the others would be lost.",
                hint=[("restore", "everything (--replace), or into an empty table")],
            )
        if self._options.dry_run:
            return
        if existing and not self._options.replace:
            raise TableNotEmpty(
                f"{where}; nothing was written.",
                hint=[("see first", "--dry-run"), ("replace them", "--replace --yes")],
            )
        if self._needs_yes(existing) and self._options.decide is None:
            what = "its rows would be deleted" if existing else "it is a production deployment"
            raise UsageError(f"{where}: {what}, which needs --yes.", hint=[("see first", "--dry-run")])

    def _needs_yes(self, deletes: int) -> bool:
        return not self._options.yes and (deletes > 0 or self._target.identity.type == _PROD)

    def _agree(self, plan: RestorePlan) -> None:
        if not self._needs_yes(plan.deletes):
            return
        if self._options.decide is None:  # rows came while it was uploaded
            raise UsageError(f"{plan.table} is not empty any more; deleting rows needs --yes. Nothing was written.")
        if not self._options.decide(plan):
            raise UsageError("not confirmed; nothing was written.")

    def _note_new_table(self) -> None:
        """Note a table that does not exist: the import creates it, and the name may be a slip."""
        catalog = self._target.catalog
        if catalog is None or catalog.declared(self._table) is not None:
            return
        tables = table_names(self._target.client)
        if self._table not in tables:
            there = f" (there: {', '.join(tables[:12])})" if tables else ""
            self._progress.note(f"no table {self._table!r} is there yet{there}; it will be made, without an index.")

    def _refuse_number(self, package: Package) -> None:
        """Refuse ids whose table number belongs to another table of the target."""
        owners = table_numbers(self._target.client) or {}
        owner = owners.get(package.table_number or 0, self._table)
        if owner != self._table:
            raise number_taken(package.table_number or 0, owner, self._table, self._target.title)

    def _refuse_other_import(self) -> None:
        """Refuse to start while another import is written: chance would decide which of them wins."""
        other = next((status for status in self._writer.newest() if status.state == RUNNING), None)
        if other is not None:
            since = moment(other.created)
            raise Locked(
                f"{self._target.title} is writing another import since {since:%Y-%m-%d %H:%M} UTC ({other.id}).",
                hint=[("", "wait for its end, or cancel it in the dashboard; nothing was written")],
            )

    def _to_join(self, begun: ConfirmedImport | None, package: Package) -> ConfirmedImport | None:
        """Return the import of an earlier, interrupted call to join, if it was of the same rows.

        One that has ended counts only while the table holds as many rows as it wrote. With ``--replace`` the table
        is written again, since somebody may have changed it.
        """
        status = self._writer.status(begun.import_id) if begun is not None and begun.digest == package.digest else None
        running = status is not None and status.state == RUNNING
        done = status is not None and status.state == COMPLETED and status.rows == self._target.count()
        if status is None or not (running or (done and not self._options.replace)):
            self._drop(begun)
            return None
        self._progress.note(f"an earlier call began this import ({status.id}); waiting for its end")
        return begun

    def _drop(self, begun: ConfirmedImport | None) -> None:
        """Cancel the import of an earlier call if it still waits for a confirmation."""
        if begun is None:
            return
        status = self._writer.status(begun.import_id)
        if status is not None and status.state == WAITING:
            self._writer.cancel(begun.import_id)
        if status is None or status.state != RUNNING:
            self._journal.clear()

    def _remember(self, begun: ConfirmedImport) -> None:
        try:
            self._journal.write(begun)
        except OutputError as error:
            self._progress.note(f"if this call is cut off, it cannot be joined later: {error.message}")

    def _report(self, status: ImportStatus, package: Package, deleted: int, *, joined: bool = False) -> RestoreReport:
        report = RestoreReport(
            source=self._source.title,
            target=self._target.title,
            table=self._table,
            dry_run=self._options.dry_run,
            joined=joined,
            rows=package.rows if self._options.dry_run else status.rows,
            deleted=deleted,
            rows_after=self._target.count(),
            uploaded_bytes=package.bytes,
            import_id=status.id,
            started=self._started,
            ended=datetime.now(UTC),
            seconds=time.monotonic() - self._clock,
        )
        if not self._options.dry_run:
            self._journal.clear()
        return report
