"""The level `documented` and the closed schema of LangChain's documentation, as convex-test holds rows to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples

from strategies_messages import DOCUMENTED_ROWS, NEARLY_ROWS
from sync_tool.encoding.canonical import dumps
from sync_tool.encoding.values import encode
from sync_tool.messages.check import explain
from sync_tool.messages.rules import faults_at
from sync_tool.rows.model import Names

from .backends import Backend, Backends
from .backends import Names as BackendNames

_OWN_NAMES = BackendNames("documented", "bySessionId", "sessionId")
_LIMITS = {"system-field", "too-deep", "too-many-fields", "too-many-items", "too-large", "proto-key"}
"""Faults that convex-test does not know (see DIFFERENCES.md)."""


@pytest.fixture(scope="module")
def documented(backends: Backends) -> Iterator[Backend]:
    """A host of its own whose table has the documented schema."""
    backend = backends.get("convex-test", _OWN_NAMES)
    assert backend.as_admin("/host/reset", {"validate": "documented"})[0] == 200
    return backend


@examples(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=DOCUMENTED_ROWS | NEARLY_ROWS)
def test_verdicts_are_those_of_convex_test(documented: Backend, row: dict[str, Any]) -> None:
    """Over generated rows, from good to hopeless: taken by Convex's validator if and only if good at this level."""
    row = {key: value for key, value in row.items() if key not in ("_id", "_creationTime")}
    found, _ = explain(dumps(row), Names(), "js")
    faults = {fault.rule for fault in faults_at(found, "documented")} - _LIMITS
    status, answer = documented.as_admin("/host/try", {"rows": [encode(row)]})
    assert status == 200
    (error,) = answer["value"]["errors"]
    assert (error is None) == (not faults), (error, faults)
