"""Fixtures of the contract suite: backends that run once per worker, and a table of one's own per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .backends import OTHER_NAMES, Backend, Backends, Can, names_of_backends
from .filled import Filled, fill
from .table import Table


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*can): made only for backends that can do this")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend_name" in metafunc.fixturenames:
        marks = metafunc.definition.iter_markers("needs")
        needs: frozenset[Can] = frozenset(can for mark in marks for can in mark.args)
        metafunc.parametrize("backend_name", names_of_backends(needs))


@pytest.fixture(scope="session")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    everything = Backends(tmp_path_factory.mktemp("contract"))
    yield everything
    everything.close()


@pytest.fixture
def backend(backends: Backends, backend_name: str) -> Backend:
    """One of the backends; the test runs once with each."""
    return backends.get(backend_name)


@pytest.fixture
def table(backend: Backend) -> Iterator[Table]:
    """Sessions that no other test has, and that are erased afterwards."""
    own = Table(backend)
    yield own
    own.clean()


@pytest.fixture
def renamed(backends: Backends, backend_name: str) -> Iterator[Table]:
    """The same on a backend whose table, index and session field have other names."""
    own = Table(backends.get(backend_name, OTHER_NAMES))
    yield own
    own.clean()


@pytest.fixture
def filled(table: Table) -> Filled:
    """A table with sessions of awkward names and rows of many sizes, written in turns."""
    return fill(table)
