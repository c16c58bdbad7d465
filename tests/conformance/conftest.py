"""Every kind of source, opened as a user opens it."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import sync_tool as cm
from running import ROOT, Sandbox
from stores.conftest import (  # noqa: F401  # fixtures
    dynamodb_server,
    dynamodb_url,
    postgres_folder,
    postgres_url,
    redis_socket,
    redis_url,
    short_folder,
)
from stores.told import telling
from sync_tool.rows.model import Row, Selection
from sync_tool.rows.ports import Source

SAMPLE = ROOT / "sample_data" / "messages.jsonl"
STORES = (
    "files_of_python",
    "file_of_javascript",
    "sqlite",
    "postgres_of_python",
    "langchain_postgres",
    "redis_of_python",
    "mongodb_of_python",
    "dynamodb_of_python",
)


@dataclass(frozen=True)
class Subject:
    """A source, with the rows that it holds in session order."""

    source: Source
    rows: list[Row]
    exact: bool
    """True if rows have ids and times, and are those of the sample data byte for byte."""


@pytest.fixture(scope="session")
def sample() -> list[Row]:
    """The sample data in session order."""
    return list(cm.open(SAMPLE).messages())


class Sources:
    """Makes a source of each kind that holds the sample data."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path, stack: ExitStack) -> None:
        self._request = request
        self._folder = folder
        self._stack = stack

    def functions(self) -> Source:
        return self._connected("functions")

    def system(self) -> Source:
        return self._connected("system")

    def _connected(self, via: Any) -> Source:
        sandbox: Sandbox = self._request.getfixturevalue("sandbox")
        return cm.connect(sandbox.url, key=sandbox.key, via=via)

    def jsonl(self) -> Source:
        return cm.open(SAMPLE)

    def jsonl_in_no_order(self) -> Source:
        path = self._folder / "mixed.jsonl"
        path.write_bytes(b"".join(sorted(SAMPLE.read_bytes().splitlines(keepends=True), key=lambda line: line[::-1])))
        return cm.open(path)

    def gz(self) -> Source:
        return self._converted("messages.jsonl.gz")

    def zst(self) -> Source:
        return self._converted("messages.jsonl.zst")

    def parquet(self) -> Source:
        return self._converted("messages.parquet")

    def zip(self) -> Source:
        return self._converted("messages.zip")

    def folder(self) -> Source:
        return self._converted("messages/")

    def _converted(self, name: str) -> Source:
        cm.export(SAMPLE, f"{self._folder}/{name}")
        return cm.open(self._folder / name)

    def stdin(self) -> Source:
        patch = self._stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(sys, "stdin", io.TextIOWrapper(self._stack.enter_context(SAMPLE.open("rb"))))
        return cm.open("-")

    def archive(self) -> Source:
        sandbox: Sandbox = self._request.getfixturevalue("sandbox")
        path = self._request.getfixturevalue("tmp_path_factory").getbasetemp() / f"archive-{os.getpid()}"
        if not path.exists():
            with cm.connect(sandbox.url, key=sandbox.key) as history:
                cm.sync(history, path, create=True)
        return cm.open(path)


EXACT = tuple(name for name in vars(Sources) if not name.startswith("_"))


@pytest.fixture(params=(*EXACT, *STORES))
def subject(request: pytest.FixtureRequest, tmp_path: Path, sample: list[Row]) -> Iterator[Subject]:
    """One source of every kind."""
    with ExitStack() as stack:
        if request.param in STORES:
            told = stack.enter_context(telling(request.param, request, tmp_path))
            source: Source = stack.enter_context(told.history())
            yield Subject(source, [row for page in source.pages(Selection()) for row in page.rows], exact=False)
            return
        make: Callable[[], Source] = getattr(Sources(request, tmp_path, stack), request.param)
        source = make()
        stack.callback(source.close)
        yield Subject(source, sample, exact=True)
