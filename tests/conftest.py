"""Fixtures that several test files share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from importing import Target
from running import Sandbox, running_sandbox

settings.register_profile("default", deadline=None, max_examples=100)
settings.load_profile("default")


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox with the sample data, for tests that only read. Functions are deployed."""
    with running_sandbox(tmp_path_factory.mktemp("sandbox"), "--sample-data") as running:
        yield running


@pytest.fixture(scope="session")
def bare_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A production deployment on the Free plan with the sample data and nothing deployed; errors are redacted."""
    flags = ("--sample-data", "--no-functions", "--type", "prod", "--name", "tall-forest-123", "--no-streaming")
    with running_sandbox(tmp_path_factory.mktemp("bare"), *flags) as running:
        yield running


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A deployment to import into, for tests that have sessions of their own (`importing.new_session`)."""
    with running_sandbox(tmp_path_factory.mktemp("target")) as running:
        yield Target(running)


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder and a journal of its own for the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
