"""An export while the app goes on writing and erasing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import sync_tool as cm
from running import Sandbox, running_sandbox
from sync_tool.commands.export.export import export
from sync_tool.deployment.client import Client
from sync_tool.deployment.rates import Patience
from sync_tool.encoding.canonical import loads
from sync_tool.parallel.ordered import map_in_order
from syncing import KEYED

SESSIONS = [f"s{number:02}" for number in range(40)]


@pytest.fixture(params=["functions", "system"])
def writing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Sandbox, str]]:
    """A sandbox whose pages are small, so that many reads fall between the writes."""
    with running_sandbox(tmp_path, "--slow-rows", "150") as sandbox:
        yield sandbox, request.param


def document(session: str, content: str) -> dict[str, Any]:
    """A message as LangChain writes it."""
    return {"sessionId": session, "message": {"type": "human", "data": {"content": content}}}


def append(client: Client, session: str, contents: list[str]) -> list[str]:
    """Write messages and return their ids."""
    batch = {"sessionId": session, "documents": [document(session, content) for content in contents]}
    ids: list[str] = client.mutation_value("convexMsgs:append", {"batches": [batch]})["results"][0]["ids"]
    return ids


def test_what_was_there_throughout_is_there_once_and_in_order(writing: tuple[Sandbox, str], tmp_path: Path) -> None:
    """Rows that existed before and after the export are in it exactly once and in order, despite other writes."""
    sandbox, via = writing
    client = Client(sandbox.url, sandbox.key)
    kept: list[str] = []
    for session in SESSIONS:
        append(client, session, [f"goes {number}" for number in range(20)])
        kept += append(client, session, [f"stays {number}" for number in range(60)])
    stop = threading.Event()

    def disturb() -> None:
        own = Client(sandbox.url, sandbox.key)
        for number in range(10_000):
            if stop.is_set():
                return
            session = SESSIONS[number * 7 % len(SESSIONS)]
            append(own, session, [f"new {number}"])
            append(own, f"{session}+", [f"new {number}"])
            if number % 3 == 0:  # never more than the twenty that may go
                args = {"sessionId": session, "limit": 1.0}
                if number < 3 * 20 * len(SESSIONS) // 40:
                    own.mutation_value("convexMsgs:erase", args)

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        for round_ in range(4):
            patience = Patience(concurrency=1 + round_ % 3)
            with cm.connect(sandbox.url, key=sandbox.key, via=via, patience=patience) as history:  # type: ignore[arg-type]
                export(history, tmp_path / f"{round_}.jsonl")
    finally:
        stop.set()
        disturber.join()
    for round_ in range(4):
        rows = [loads(line) for line in (tmp_path / f"{round_}.jsonl").read_bytes().splitlines()]
        ids = [row["_id"] for row in rows]
        assert len(set(ids)) == len(ids)
        assert [row["_id"] for row in rows if row["message"]["data"]["content"].startswith("stays")] == kept
        places = [(row["sessionId"].encode(), row["_creationTime"], row["_id"]) for row in rows]
        assert places == sorted(places)


class _Editing:
    """Calls a function once, when some pages have been written."""

    def __init__(self, act: Callable[[], None], after: int) -> None:
        self._act = act
        self._after = after
        self._pages = 0

    def begin(self, title: str, total: int | None) -> None: ...
    def note(self, text: str) -> None: ...
    def detail(self, text: str) -> None: ...

    def advance(self, rows: int, size: int) -> None:
        self._pages += 1
        if self._pages == self._after:
            self._act()


class _StopError(Exception):
    """Stops an export in the middle."""


def _stop() -> None:
    raise _StopError


def _ids(path: Path) -> list[str]:
    found = [path] if path.is_file() else sorted(path.rglob("*.jsonl"))
    with ExitStack() as stack:
        files = [stack.enter_context(cm.open(one)) for one in found]
        return [row.id for file in files for row in file.messages()]


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox of its own."""
    with running_sandbox(tmp_path) as sandbox:
        yield sandbox


@pytest.mark.parametrize("via", ["functions", "system"])
@pytest.mark.parametrize("output", ["a.jsonl", "parts/", "sessions/"])
def test_a_row_that_moves_to_another_session_is_never_there_twice(
    quiet: Sandbox, tmp_path: Path, via: Any, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session id is edited behind the reader's back: no file says it twice, and the next run is complete.

    A folder that was stopped before the edit also remembers the rows of the parts that it keeps.
    """
    monkeypatch.setitem(map_in_order.__kwdefaults__ or {}, "waiting", 1)  # no page is read long before it is written
    client = Client(quiet.url, quiet.key)
    append(client, "a", ["moves"])
    for session in SESSIONS:
        append(client, session, ["stays" * 2000] * 40)
    path = tmp_path / output
    options: dict[str, Any] = {"format": "jsonl"} if output.endswith("/") else {}
    options |= {"partition_by": "session" if output == "sessions/" else "none"} if output.endswith("/") else {}

    def move() -> None:
        moved = {**KEYED, "key": "a", "document": document("z", "moves")}
        client.mutation_value("langchain/db:upsert", moved)

    def run(act: Callable[[], None]) -> None:
        with cm.connect(quiet.url, key=quiet.key, via=via, patience=Patience(concurrency=1)) as history:
            export(history, path, progress=_Editing(act, 2 if output == "sessions/" else 1), **options)

    if output == "sessions/":
        with pytest.raises(_StopError):
            run(_stop)
        move()
    with pytest.raises(cm.Differs) as caught:
        run(move if output != "sessions/" else lambda: None)
    assert caught.value.exit_code == 4
    assert not path.is_file()
    run(lambda: None)
    ids = _ids(path)
    assert len(set(ids)) == len(ids) == 1 + 40 * 40
