"""The plans of all sessions summed up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sync_tool.deployment.deployment import Deployment
from sync_tool.deployment.schemalevel import LANGCHAIN, schema_level
from sync_tool.jobs.importing.planning import SessionPlan, Status
from sync_tool.jobs.importing.plans import Plans
from sync_tool.jobs.importing.report import Comparison, ConflictFound, ImportPlan
from sync_tool.jobs.importing.staging import Staged
from sync_tool.jobs.parts import Part
from sync_tool.jobs.validation import Tally

SENT: Final = (Status.NEW, Status.EXTEND, Status.REPLACE)
"""What is written."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What was read."""

    parts: tuple[Part, ...]
    staged: Staged
    tally: Tally
    rewritten: dict[str, int]


def make_plan(taken: Taken, plans: Plans, deployment: Deployment, rate: float | None) -> ImportPlan:
    """Return the plan of the whole import; `rate` is in bytes a second."""
    counts = plans.counts()
    catalog = deployment.catalog
    sent = [counts[status] for status in SENT]
    _, messages, size = taken.staged.totals()
    bad_rows, bad_sessions = taken.staged.bad()
    return ImportPlan(
        sources=tuple(part.said for part in taken.parts),
        lost=tuple(lost for part in taken.parts if part.facts for lost in part.facts.lost),
        notes=tuple(note for part in taken.parts if part.facts for note in part.facts.notes),
        target=deployment.title,
        table=deployment.names.table,
        target_rows=deployment.count(),
        schema_level=LANGCHAIN if catalog is None else schema_level(catalog, deployment.names),
        sessions=sum(count.sessions for count in counts.values()),
        messages=messages,
        bytes=size,
        new=counts[Status.NEW].sessions,
        up_to_date=counts[Status.UP_TO_DATE].sessions + counts[Status.AHEAD].sessions,
        ahead=counts[Status.AHEAD].sessions,
        extend=counts[Status.EXTEND].sessions,
        conflict=counts[Status.CONFLICT].sessions,
        replace=counts[Status.REPLACE].sessions,
        held=plans.held(),
        conflicts=tuple(map(_conflict, plans.of(Status.CONFLICT))),
        send_rows=sum(count.missing for count in sent),
        send_sessions=sum(count.sessions for count in sent),
        send_bytes=sum(count.bytes for count in sent),
        rewritten=taken.rewritten,
        bad_rows=bad_rows,
        bad_sessions=bad_sessions,
        faults=taken.tally.faults,
        warnings=taken.tally.warnings,
        damaged=tuple(taken.tally.damaged),
        timeless=_timeless(taken.parts),
        has_times=taken.staged.timeless() is None,
        bytes_per_second=None if rate is None else int(rate),
        concurrency=deployment.patience.writers,
    )


def compare(plans: Iterable[SessionPlan]) -> Comparison:
    """Return how both sides stand to each other after an import."""
    equal = ahead = held = different = 0
    for plan in plans:
        if plan.status in (Status.UP_TO_DATE, Status.AHEAD, Status.NOTHING) and plan.held:
            held += 1
        elif plan.status is Status.UP_TO_DATE:
            equal += 1
        elif plan.status is Status.AHEAD:
            ahead += 1
        elif plan.status is not Status.NOTHING:
            different += 1
    return Comparison(equal, ahead, held, different)


def _timeless(parts: tuple[Part, ...]) -> tuple[str, ...]:
    stores = [part.facts for part in parts if part.facts is not None and not part.facts.times]
    return tuple(sorted({facts.product for facts in stores})) if len(stores) == len(parts) else ()


def _conflict(plan: SessionPlan) -> ConflictFound:
    return ConflictFound(plan.session, f"differs at message {plan.differs_at}", plan.differs_at)
