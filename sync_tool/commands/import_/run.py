"""``import``: messages of files, folders or another deployment into a deployment, none lost and none doubled."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Unpack

from sync_tool.commands.arguments import parse_size
from sync_tool.commands.import_.keep_times import KeepTimes
from sync_tool.commands.import_.planning import (
    SENT,
    Planner,
    Plans,
    SessionPlan,
    SourceTotals,
    Status,
    TargetTable,
    compare,
    make_plan,
)
from sync_tool.commands.import_.quarantine import (
    Fixes,
    count_quarantined,
    faults_from_json,
    require_place,
    write_quarantine,
)
from sync_tool.commands.import_.reading import Renaming, Requirements, SourceReader, place_of
from sync_tool.commands.import_.report import (
    Comparison,
    ConflictFound,
    ImportPlan,
    ImportReport,
    plan_lines,
)
from sync_tool.commands.import_.sending import Sender, Sent, replace_sessions
from sync_tool.commands.import_.staging import Staging
from sync_tool.commands.inputs import InputOptions, InputPart, input_parts
from sync_tool.commands.journals import ImportJournal
from sync_tool.commands.metering import Meter, estimate_all, read_cap
from sync_tool.commands.opening import Openable, each_openable, opened, opened_deployment
from sync_tool.commands.options import ImportKeywords, ImportOptions, MigrateOptions
from sync_tool.commands.validate.report import DamagedSource, Tally
from sync_tool.deployment.deployment import Deployment
from sync_tool.encoding.validators import ANY, from_json
from sync_tool.errors import Conflict, Damaged, Exit, NotSupported, UsageError
from sync_tool.files.bytes import check_output
from sync_tool.keywords import strict_keywords
from sync_tool.messages.check import Verdict
from sync_tool.rows.batch import Page
from sync_tool.rows.ports import SILENT, Progress, Source
from sync_tool.rows.selection import unknown_session
from sync_tool.stores.opening import StoreRows
from sync_tool.text import plural

DEFAULT_RATE: Final = 2 << 20
"""Bytes a second into a deployment that real users may depend on."""
_PROD: Final = "prod"
_WRITES: Final = "import writes into a deployment."
_LISTED: Final = 100
Sources = Openable | Iterable[Openable]


@strict_keywords(ImportOptions)
def import_(source: Sources, target: Openable, **keywords: Unpack[ImportKeywords]) -> ImportReport:
    """Bring messages into a deployment: only what it does not have, each session in order.

    Killed at any point and called again, it ends as if it had not been killed. Whatever is not written is named
    in the report, and bad messages are in its quarantine file.

    Args:
        source: a file, a folder that an export wrote, an archive, ``-`` (JSONL on standard input), what `open` or
            `connect` returned, or several of them.
        target: a deployment: its address, or what `connect` or `open` returned.
        keywords: `ImportOptions`.

    Raises:
        Conflict: sessions were left as they are, because the target has another history of them, and `on_conflict`
            is ``error``; its ``report`` says what was done with all others.
        UsageError: a missing `yes`, an unknown session, two rows with one ``_id``, a table that is not empty.
        Refused: the deployment refused the key, or cannot be written to.
        Unreachable: no usable answer; what was written stays, and the same call goes on.
        OutputError: no room for temporary files, or for the quarantine file.
    """
    return _import(source, target, ImportOptions(**keywords))


def _import(source: Sources, target: Openable, options: ImportOptions) -> ImportReport:
    if options.keep_times and options.on_conflict == "replace":
        raise UsageError("--keep-times writes into an empty table, where there is nothing to replace.")
    with ExitStack() as stack:
        deployment = stack.enter_context(opened_deployment(target, _WRITES, names=options.names))
        report = _Import(deployment, options, stack).run(each_openable(source))
    if report.conflicts and options.on_conflict == "error" and not report.dry_run:
        first = report.conflicts[0]
        raise Conflict(
            f"left as they are: {plural(len(report.conflicts), 'session')} (first: {first.session!r} {first.reason}).",
            report,
            hint=[("look", "convex-msgs diff, report.conflicts"), ("go on", "on_conflict='skip' or 'replace'")],
        )
    return report


class _Import:
    """One import under way."""

    def __init__(self, deployment: Deployment, options: ImportOptions, stack: ExitStack) -> None:
        self._deployment = deployment
        self._options = options
        self._stack = stack
        self._chosen = options.selection()
        self._progress: Progress = options.progress or SILENT
        self._skip_bad = options.skip_bad
        self._staging = stack.enter_context(closing(Staging(deployment.names)))
        self._plans = stack.enter_context(closing(Plans()))
        self._tally = Tally(_LISTED)
        self._rate = deployment.patience.bytes_per_second or (None if deployment.on_this_machine else DEFAULT_RATE)
        place = f"{deployment.client.url} {deployment.title} {deployment.names}"
        self._target = TargetTable(
            names=deployment.names,
            read=partial(deployment.pages, missing_ok=True),
            writer=deployment.writer(self._rate),
            journal=stack.enter_context(closing(ImportJournal(place))),
            rows=deployment.count(),
            workers=deployment.patience.writers,
        )
        given = options.quarantine
        self._quarantine = None if given is None else Path(given)
        if self._quarantine is not None:
            check_output(self._quarantine, overwrite=True)
        self._clock = time.monotonic()

    def run(self, sources: list[Openable]) -> ImportReport:
        """Read the sources, plan, send, and return the report."""
        parts = self._open(sources)
        keeper = KeepTimes(self._deployment, self._staging, self._progress) if self._options.keep_times else None
        if keeper is not None:
            keeper.await_earlier()
            self._target = replace(self._target, rows=self._deployment.count())
        plan = self._plan(parts, self._read(parts), keep_times=keeper is not None)
        if keeper is not None and plan.send_rows:
            self._require_empty()
            keeper.require_times()
        if self._options.dry_run:
            return self._report(plan, Sent(), None)
        require_place(self._staging, self._quarantine, skip_bad=self._skip_bad)
        self._confirm(plan)
        return self._send(plan, keeper)

    def _open(self, sources: list[Openable]) -> list[InputPart]:
        options = InputOptions(
            names=self._options.names or self._deployment.names,
            as_of=self._options.as_of,
            max_unpacked=parse_size(self._options.max_unpacked, "--max-unpacked"),
            pages=self._metered,
        )
        parts = [part for source in sources for part in input_parts(source, options, self._stack)]
        if not parts:
            raise UsageError("nothing to import.", hint=[("give", "files, folders, or - for standard input")])
        self._progress.begin(f"{self._deployment.title} · table {self._deployment.names.table}", None)
        return parts

    def _plan(self, parts: list[InputPart], rewritten: dict[str, int], *, keep_times: bool) -> ImportPlan:
        """Compare all sessions with the target, and show the plan."""
        for found in self._planner(self._target).sessions():
            self._plans.add(self._planned(found))
        totals = SourceTotals(tuple(parts), self._staging, self._tally, rewritten)
        plan = make_plan(totals, self._plans, self._deployment, self._rate)
        quarantine = str(self._quarantine or "quarantine.jsonl")
        for line in plan_lines(plan, keep_times=keep_times, quarantine=quarantine):
            self._progress.note(line)
        return plan

    def _metered(self, source: Source) -> Iterator[Page]:
        cap = read_cap(source, parse_size(self._options.max_read, "--max-read"))
        return Meter(cap, estimate_all(source) if self._chosen.everything else None).watch(source.pages(self._chosen))

    def _read(self, parts: list[InputPart]) -> dict[str, int]:
        """Read all sources into the staging database; return the number of rewritten messages by rewrite."""
        fixes = Fixes(tuple(self._options.fixes))
        reader = SourceReader(self._staging, self._requirements(), self._chosen, fixes, self._tally)
        for part in parts:
            try:
                reader.read(part, self._progress)
            except Damaged as error:
                self._tally.damaged.append(DamagedSource(part.title, error.message))
                self._progress.note(f"damaged: {error.message}")
        missing = sorted(set(self._chosen.sessions) - reader.met)
        if missing and not self._tally.damaged:
            raise unknown_session(missing[0], self._staging.met())
        fixes.require_used()
        self._staging.arrange()
        if self._chosen.active_after is not None:
            self._staging.keep_active(self._chosen.active_after)
        for item in self._staging.faulty():
            line = item.line if item.lines else None
            session = item.session if item.own_session is None else item.own_session
            place = place_of(item.source, line, item.id, session, item.where)
            self._tally.add(place, Verdict(faults_from_json(item.faults or "[]")))
        return dict(sorted(reader.rewritten.items()))

    def _requirements(self) -> Requirements:
        catalog = self._deployment.catalog
        declared = None if catalog is None else catalog.declared(self._deployment.names.table)
        document = (declared or {}).get("documentType")
        checks = catalog is not None and bool((catalog.schema or {}).get("schemaValidation", True)) and document
        return Requirements(
            level=self._options.level,
            language=self._options.language,
            names=self._deployment.names,
            rewriting=self._options.rewrite,
            validator=from_json(document) if checks else ANY,
            renaming=Renaming(self._options.rename, self._options.rename_regex) or None,
        )

    def _planner(self, target: TargetTable) -> Planner:
        return Planner(self._staging, target, self._options.language, skip_bad=self._skip_bad)

    def _planned(self, plan: SessionPlan) -> SessionPlan:
        """Return the plan of a session as it will be carried out; one that a bad message stops is not replaced."""
        replacing = self._options.on_conflict == "replace"
        if plan.status is Status.CONFLICT and replacing and not plan.held:
            return replace(plan, status=Status.REPLACE)
        return plan

    def _require_empty(self) -> None:
        if self._target.rows != 0:
            there = "rows" if self._target.rows is None else plural(self._target.rows, "row")
            raise UsageError(
                f"--keep-times needs an empty table: {self._deployment.names.table} on {self._deployment.title} "
                f"holds {there}.",
                hint=[("without it", "rows get the time at which they are written")],
            )

    def _confirm(self, plan: ImportPlan) -> None:
        """Ask for confirmation, or raise UsageError without a terminal."""
        needed = plan.replace > 0 or (self._deployment.identity.type == _PROD and plan.send_rows > 0)
        if not needed or self._options.yes:
            return
        decide = self._options.decide
        if decide is None:
            why = "sessions would be replaced" if plan.replace else f"{plan.target} is a production deployment"
            raise UsageError(f"{why}, which needs --yes; nothing was written.", hint=[("see first", "--dry-run")])
        if not decide(plan):
            raise UsageError("not confirmed; nothing was written.")

    def _send(self, plan: ImportPlan, keeper: KeepTimes | None) -> ImportReport:
        if plan.send_rows:
            self._progress.begin(f"sending to {plan.target}", plan.send_rows)
        sender = Sender(
            self._staging,
            self._target,
            self._options.language,
            self._deployment.patience.attempts,
            skip_bad=self._skip_bad,
        )
        saved: Path | None = None
        if keeper is not None and plan.send_rows:
            sender.sent.rows, sender.sent.bytes = keeper.write(self._plans.of(Status.NEW))
            sender.sent.sessions[Status.NEW] = plan.new
        elif plan.send_rows:
            saved = self._replace(plan)
            sender.send(self._plans.of(*SENT), self._progress.advance)
        return self._report(plan, sender.sent, saved)

    def _replace(self, plan: ImportPlan) -> Path | None:
        if not plan.replace:
            return None
        given = self._options.save_replaced
        path = replace_sessions(self._plans, self._target, None if given is None else Path(given))
        self._progress.note(f"the rows that are replaced are saved in {path}")
        return path

    def _report(self, plan: ImportPlan, sent: Sent, saved: Path | None) -> ImportReport:
        dry_run = self._options.dry_run
        bad, held = count_quarantined(self._staging, skip_bad=self._skip_bad)
        quarantine = None
        if (bad or held) and not dry_run:
            quarantine = write_quarantine(self._staging, self._quarantine, skip_bad=self._skip_bad)
        conflicts = (*plan.conflicts, *(ConflictFound(session, why, at) for session, why, at in sent.skipped))
        skips = self._options.on_conflict == "skip"
        return ImportReport(
            plan=plan,
            dry_run=dry_run,
            sent_rows=sent.rows,
            sent_bytes=sent.bytes,
            new=sent.sessions[Status.NEW],
            extended=sent.sessions[Status.EXTEND],
            replaced=sent.sessions[Status.REPLACE],
            conflicts=conflicts,
            bad_rows=bad,
            held_rows=held,
            quarantine=None if quarantine is None else str(quarantine),
            saved=None if saved is None else str(saved),
            compared=self._compare() if self._options.compare and not dry_run else None,
            seconds=time.monotonic() - self._clock,
            exit_code=int(
                _exit_code(plan, aside=0 if dry_run else bad + held + len(sent.skipped if skips else conflicts))
            ),
        )

    def _compare(self) -> Comparison:
        """Read the target again, without notes, and compare every session."""
        target = replace(self._target, journal=None, rows=self._deployment.count())
        return compare(self._planner(target).sessions())


def _exit_code(plan: ImportPlan, *, aside: int) -> Exit:
    if plan.damaged:
        return Exit.DAMAGED
    return Exit.SET_ASIDE if aside else Exit.DONE


# ``migrate``: an import whose source is a deployment or another store, with both sides compared at the end.


@strict_keywords(MigrateOptions)
def migrate(source: Openable, target: Openable, **keywords: Unpack[ImportKeywords]) -> ImportReport:
    """Bring the messages of a deployment, or of another store of LangChain's, into a deployment.

    Args:
        source: what `connect` or `open` returned for a deployment, or an address: of a deployment, or of a store
            (``redis://host:6379/0``, ``env:NAME``, the path of a JSON file that LangChain wrote).
        target: a deployment: its address, or what `connect` or `open` returned.
        keywords: `MigrateOptions`: those of `import_`, with `compare` on.

    Raises:
        UsageError: source and target are one table, the source is a file of messages, a package is not installed,
            or as `import_`.
        Conflict: as `import_`.
        Refused: source or target refused the key, user or password, or the target cannot be written to.
        Unreachable: no usable answer; the same call goes on.
    """
    options = MigrateOptions(**keywords)
    names = options.names
    with opened(source, names=names) as one, opened_deployment(target, _WRITES, names=names) as other:
        _refuse_same(one, other)
        return _import(one, other, options)


def _refuse_same(source: Source, target: Deployment) -> None:
    if source.capability(StoreRows) is not None:
        return
    deployment = source.capability(Deployment)
    if deployment is None:
        raise NotSupported(
            f"{source.title} is a file; migrate reads deployments and LangChain's other stores.",
            hint=[("files", "convex-msgs import FILE…")],
        )
    if deployment.client.url == target.client.url and deployment.names == target.names:
        raise UsageError(f"source and target are the same table of {target.title}.")
