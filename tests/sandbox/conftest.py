"""Sandboxes for tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sync_tool.sandbox.instance import Instance
from sync_tool.sandbox.options import SandboxOptions

from .box import KEY, Running, Start, start


@pytest.fixture
def starting() -> Iterator[Start]:
    """Starts sandboxes that are ended after the test."""
    started: list[Running] = []

    def begin(*flags: str, **options: Any) -> Running:
        started.append(start(*flags, **options))
        return started[-1]

    yield begin
    for running in started:
        running.kill()


@pytest.fixture(scope="module")
def box() -> Iterator[Running]:
    """One sandbox for all tests of a file; each uses sessions of its own."""
    running = start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    """The inside of a sandbox, without a border."""
    monkeypatch.setenv("CONVEX_MSGS_SANDBOX_KEY", KEY)
    inside = Instance(SandboxOptions())
    yield inside
    inside.close()
