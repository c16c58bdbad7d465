"""``migrate`` from every store and dialect into a sandbox: what LangChain reads there is what it reads here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sync_tool as cm
from importing import Target
from stores.told import KINDS, Told, telling
from sync_tool.jobs.importing.report import Comparison

WHEN = "when messages were written"
EXPIRED = "sessions that had a time to live and expired"


@pytest.fixture(params=KINDS)
def told(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Told]:
    """Each store, with a conversation in it."""
    with telling(request.param, request, tmp_path) as found:
        yield found


def migrated(told: Told, target: Target, **keywords: Any) -> cm.ImportReport:
    """Migrate by the library."""
    keywords = {"language": told.language, "level": "loadable", **keywords}
    with told.history() as source, target.connected() as there:
        try:
            return cm.migrate(told.address or source, there, **keywords)
        except cm.Conflict as conflict:
            report: cm.ImportReport = conflict.report
            return report


def there(target: Target, told: Told) -> dict[str, list[Any]]:
    """Return what LangChain reads from the deployment."""
    return told.loaded({session: [row["message"] for row in target.rows(session)] for session in told.now})


def differences(told: Told, target: Target) -> cm.DiffReport:
    """Compare the store with the deployment."""
    with told.history() as source, target.connected() as deployment:
        return cm.diff(source, deployment)


def test_what_langchain_reads_is_the_same_there(told: Told, target: Target) -> None:
    """Message by message and in order; again sends nothing; what is said later is appended; `diff` agrees."""
    first = migrated(told, target)
    count = sum(map(len, told.now.values()))
    assert (first.exit_code, first.new, first.sent_rows, first.bad_rows) == (0, 3, count, 0)
    assert first.compared == Comparison(equal=3, ahead=0, held=0, different=0)
    assert there(target, told) == told.now
    again = migrated(told, target)
    assert (again.sent_rows, again.plan.up_to_date, again.exit_code) == (0, 3, 0)
    same = differences(told, target)
    assert (same.exit_code, same.same, same.by) == (0, 3, "history")

    told.goes_on()
    behind = differences(told, target)
    assert (behind.exit_code, behind.extended, {found.longer for found in behind.sessions}) == (4, 3, {"here"})
    more = migrated(told, target)
    assert (more.extended, more.sent_rows, more.exit_code) == (3, count, 0)
    assert there(target, told) == told.now
    target.append("cust-1", "from the live app")
    ahead = migrated(told, target)
    assert (ahead.sent_rows, ahead.exit_code) == (0, 0)
