"""Requests that each command sends from start to end, counted by a proxy in front of the deployment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, HumanMessage

import sync_tool as cm
from faults.plan import Plan
from faults.proxying import RunningProxy, running_proxy
from running import Sandbox, convex_msgs, running_sandbox
from sync_tool.langchain import Connection, ConvexChatMessageHistory


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox with the sample data that these tests may write to."""
    with running_sandbox(tmp_path_factory.mktemp("own"), "--sample-data") as running:
        yield running


@pytest.fixture(scope="module")
def proxy(own: Sandbox) -> Iterator[RunningProxy]:
    """A proxy that counts requests."""
    with running_proxy(own.url) as running:
        yield running


@pytest.fixture
def requests(own: Sandbox, proxy: RunningProxy, tmp_path: Path) -> Callable[[str], int]:
    """Run a command and return how many requests it sent."""
    env = {"CONVEX_SELF_HOSTED_URL": proxy.url, "CONVEX_SELF_HOSTED_ADMIN_KEY": own.key}

    def run(command: str) -> int:
        before = len(proxy.events())
        done = convex_msgs(*command.split(), cwd=tmp_path, env=env)
        assert done.code == 0, done.err
        return len(proxy.events()) - before

    return run


@pytest.mark.parametrize(
    ("command", "most"),
    [
        ("export -s cust-42 -o one.jsonl", 4),
        ("export -s cust-42 --after 2026-08-01 -o window.jsonl", 4),
        ("export -s cust-42 -o one.jsonl --via system", 5),
        ("export -o all.jsonl", 8),
        ("export -o all.parquet", 8),
        ("sessions", 4),
        ("sessions -s cust-42", 5),
        ("doctor", 12),
    ],
)
def test_reading_asks_little(requests: Callable[[str], int], command: str, most: int) -> None:
    """A command sends no request whose answer it does not need."""
    assert requests(command) <= most


def test_an_import_of_one_session_asks_little(requests: Callable[[str], int]) -> None:
    """One session goes in with seven requests, and six show that it is there already."""
    requests("export -s cust-4 -o one.jsonl")
    assert requests("import one.jsonl --rename cust-4=copy --to live") <= 7
    assert requests("import one.jsonl --rename cust-4=copy --to live") <= 6


@pytest.mark.parametrize("via", ["stream", "functions"])
def test_a_sync_without_news_asks_little(requests: Callable[[str], int], via: str) -> None:
    """A run from cron that finds nothing new sends at most ten requests."""
    requests(f"sync archive --create --via {via}")
    assert requests(f"sync archive --via {via}") <= 10


def test_an_unknown_session_costs_nothing_more_for_known_ones(own: Sandbox, proxy: RunningProxy) -> None:
    """Only a session without messages is looked for again, to name those with similar ids."""
    with cm.connect(proxy.url, key=own.key) as history:
        assert list(history.messages(session="cust-42"))
        before = len(proxy.events())
        assert list(history.messages(session="cust-42", before=1.0)) == []
        assert len(proxy.events()) - before == 2
        with pytest.raises(cm.UsageError, match="Nearest ids: 'cust-4', 'cust-42'"):
            list(history.messages(session="cust42"))


def test_a_turn_is_one_request(own: Sandbox, proxy: RunningProxy) -> None:
    """Once a connection has seen the end of a session, a turn is one request, also of another object."""

    def count() -> int:
        return len(proxy.events())

    with Connection(proxy.url, key=own.key) as connection:
        history = ConvexChatMessageHistory("turns", connection=connection)
        history.add_messages([HumanMessage("Hi!")])
        before = count()
        history.add_messages([HumanMessage("Hi!")])
        ConvexChatMessageHistory("turns", connection=connection).add_messages([AIMessage("Hello!")])
        assert count() - before == 2
        assert len(history.messages) == 3
        assert count() - before == 3

        async def add() -> None:
            async with connection:
                await history.aadd_messages([AIMessage("Bye!")])

        asyncio.run(add())
        assert count() - before == 4


def test_a_lost_answer_behind_a_known_end_doubles_nothing(own: Sandbox) -> None:
    """The same words twice are two turns; one whose answer was lost is stored once, also where another wrote since."""
    with running_proxy(own.url, Plan.of("3:502-after")) as broken, Connection(broken.url, key=own.key) as connection:
        history = ConvexChatMessageHistory("lost", connection=connection)
        history.add_messages([HumanMessage("Hi!")])
        history.add_messages([HumanMessage("Hi!")])
        assert len(history.messages) == 2
    with Connection(own.url, key=own.key) as connection, Connection(own.url, key=own.key) as other:
        history = ConvexChatMessageHistory("lost", connection=connection)
        history.add_messages([HumanMessage("one")])
        ConvexChatMessageHistory("lost", connection=other).add_messages([HumanMessage("two")])
        history.add_messages([HumanMessage("two")])
        assert [message.content for message in history.messages] == ["Hi!", "Hi!", "one", "two", "two"]
