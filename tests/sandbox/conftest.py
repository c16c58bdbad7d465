"""Sandboxes for tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sync_tool.sandbox.instance import Instance
from sync_tool.sandbox.options import SandboxOptions

from .box import KEY, Running, Start, start


@pytest.fixture
def starting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts sandboxes that are ended after the test."""
    started: list[Running] = []
    scratch = {"TMPDIR": str(tmp_path_factory.mktemp("scratch"))}  # a killed one leaves its data behind

    def begin(*flags: str, env: dict[str, str] | None = None) -> Running:
        started.append(start(*flags, env={**scratch, **(env or {})}))
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
