"""LangChain's chat history in a Convex table, from Python: against a real deployment, faults included."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables.history import RunnableWithMessageHistory

import sync_tool as cm
from faults.plan import HTTP_FAULTS, Plan
from faults.proxying import running_proxy
from running import ROOT, Sandbox, convex_msgs, running_sandbox
from sync_tool.langchain import Connection, ConvexChatMessageHistory

NUMBERS = itertools.count(1)
TURN = [HumanMessage("Hi! I'm Jim."), AIMessage("Hello Jim!")]
RICH = [
    HumanMessage("Is it cold in Oslo?", name="Jim"),
    AIMessage(
        "",
        id="run-1",
        tool_calls=[{"name": "weather", "args": {"city": "Oslo", "days": 2, "at": 1.5}, "id": "call_1"}],
        usage_metadata={"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
        response_metadata={"model_name": "m", "logprobs": None},
    ),
    ToolMessage("-3", tool_call_id="call_1", name="weather", artifact={"raw": [1, 2]}),
    AIMessage([{"type": "text", "text": "Yes."}, {"type": "image_url", "image_url": {"url": "data:,"}}]),
    ChatMessage("Wear a hat.", role="mother"),
]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """An empty deployment; each test uses a session of its own."""
    with running_sandbox(tmp_path_factory.mktemp("memory")) as running:
        yield running


@pytest.fixture
def session() -> str:
    """A session id that no other test uses, with letters that mean something elsewhere."""
    return f"team a/чат #{next(NUMBERS)} 'x'"


@pytest.fixture
def history(deployment: Sandbox, session: str) -> Iterator[ConvexChatMessageHistory]:
    """The history of an empty session."""
    opened = ConvexChatMessageHistory(session, url=deployment.url, key=deployment.key)
    yield opened
    opened.close()


def test_what_is_added_is_read_back(history: ConvexChatMessageHistory) -> None:
    """Every kind of message comes back equal, in order; numbers are whole where they were."""
    history.add_messages(RICH)
    history.add_messages([])
    history.add_user_message("one more")
    assert history.messages == [*RICH, HumanMessage("one more")]
    assert repr(history.messages[1].tool_calls[0]["args"]) == "{'at': 1.5, 'city': 'Oslo', 'days': 2}"  # type: ignore[attr-defined]
    assert str(history).splitlines()[0] == "Human: Is it cold in Oslo?"


def test_messages_are_changed_by_methods_only(history: ConvexChatMessageHistory) -> None:
    """Setting the list is refused: it would look as if it had been stored."""
    with pytest.raises(AttributeError, match="add_messages"):
        history.messages = []


@pytest.mark.parametrize("last", [1, 2, 3, 7, 8, 100])
def test_the_newest_messages_alone(history: ConvexChatMessageHistory, last: int) -> None:
    """`last` gives so many from the end, oldest first; all of them where there are fewer."""
    messages = [HumanMessage(str(n)) for n in range(8)]
    history.add_messages(messages)
    assert list(history.iter_messages(last=last)) == messages[-last:]


def test_asking_for_no_message_is_refused(history: ConvexChatMessageHistory) -> None:
    """`last` is at least 1."""
    with pytest.raises(cm.UsageError, match="at least 1"):
        list(history.iter_messages(last=0))


def test_asynchronous_methods_do_the_same_without_blocking(history: ConvexChatMessageHistory) -> None:
    """Reading, adding, paging and clearing run while the event loop goes on, in more than one loop."""

    async def talk() -> list[BaseMessage]:
        await history.aadd_messages(RICH)
        last = [message async for message in history.aiter_messages(last=2)]
        assert last == RICH[-2:]
        found = await history.aget_messages()
        await history.aclear()
        assert await history.aget_messages() == []
        await history.aclose()
        return found

    for _ in range(2):
        assert asyncio.run(talk()) == RICH


def test_many_conversations_at_a_time_share_a_connection(deployment: Sandbox, session: str) -> None:
    """Twenty sessions of one connection are written and read concurrently and do not mix."""

    async def talk(connection: Connection, number: int) -> list[BaseMessage]:
        one = ConvexChatMessageHistory(f"{session} {number}", connection=connection)
        for turn in range(3):
            await one.aadd_messages([HumanMessage(f"{number} {turn}")])
        return await one.aget_messages()

    async def all_at_once() -> list[list[BaseMessage]]:
        async with Connection(deployment.url, key=deployment.key) as connection:
            return await asyncio.gather(*(talk(connection, number) for number in range(20)))

    for number, found in enumerate(asyncio.run(all_at_once())):
        assert [message.content for message in found] == [f"{number} {turn}" for turn in range(3)]


def test_two_writers_of_one_session_both_get_through(deployment: Sandbox, session: str) -> None:
    """A writer that meets another one's rows appends after them; turns stay whole."""
    with Connection(deployment.url, key=deployment.key) as connection:
        one, other = (ConvexChatMessageHistory(session, connection=connection) for _ in range(2))
        assert one.messages == other.messages == []  # both believe that it is empty
        for _ in range(3):
            one.add_messages(TURN)
            other.add_messages(TURN)
        assert one.messages == TURN * 6


def adding(history: ConvexChatMessageHistory, messages: list[BaseMessage], *, blocking: bool) -> None:
    """Add messages in one of the two ways."""
    if blocking:
        history.add_messages(messages)
        return

    async def add() -> None:
        try:
            await history.aadd_messages(messages)
        finally:
            await history.connection.aclose()

    asyncio.run(add())


@pytest.mark.parametrize("fault", HTTP_FAULTS)
@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "asynchronous"])
def test_a_lost_answer_doubles_nothing(deployment: Sandbox, session: str, fault: str, blocking: bool) -> None:
    """Whatever happens to the call that appends, before or after it was done: the turn is there once."""
    patience = cm.Patience(connect=2, read=0.4, attempts=4)
    with stamina.set_testing(True, attempts=4), running_proxy(deployment.url, Plan.of(f"2:{fault}")) as proxy:
        with Connection(proxy.url, key=deployment.key, patience=patience) as connection:
            adding(ConvexChatMessageHistory(session, connection=connection), TURN, blocking=blocking)
        assert [event.fault for event in proxy.events()][1] == fault
    assert ConvexChatMessageHistory(session, url=deployment.url, key=deployment.key).messages == TURN


@pytest.mark.parametrize("fault", ["reset-after", "502-after", "reset-before"])
def test_the_same_call_after_an_error_doubles_nothing(deployment: Sandbox, session: str, fault: str) -> None:
    """A caller who tries again after `Unreachable` has the turn once, whether it had been stored or not."""
    plan = Plan.of(" ".join(f"{number}:{fault}" for number in range(2, 6)))
    with (
        stamina.set_testing(True, attempts=4),
        running_proxy(deployment.url, plan) as proxy,
        Connection(proxy.url, key=deployment.key) as connection,
    ):
        history = ConvexChatMessageHistory(session, connection=connection)
        with pytest.raises(cm.Unreachable):
            history.add_messages(TURN)
        history.add_messages(TURN)
        assert history.messages == TURN
        history.add_messages(TURN)  # said again by the user: that is another turn
        assert history.messages == TURN * 2


def test_what_convex_cannot_hold_is_refused_before_anything_is_sent(history: ConvexChatMessageHistory) -> None:
    """The error names the place, and the good message before the bad one is not written either."""
    bad: list[tuple[BaseMessage, str]] = [
        (AIMessage("x", additional_kwargs={"schema": {"$ref": "a"}}), r"\$ref"),
        (AIMessage("x", response_metadata={"città": 1}), "printable ASCII"),
        (ToolMessage("x", tool_call_id="1", artifact=object()), r"\$\.message\.data\.artifact is a object"),
        (HumanMessage("x", additional_kwargs={"n": 2**70}), "int64"),
        (HumanMessage("half \ud800"), "Unicode"),
        (HumanMessage("x" * (1 << 20)), "1 MiB"),
    ]
    for message, words in bad:
        with pytest.raises(cm.UsageError, match=words):
            history.add_messages([HumanMessage("good"), message])
    with pytest.raises(cm.UsageError):
        history.add_messages([HumanMessage("x")] * 8193)
    assert history.messages == []


@pytest.mark.parametrize("wrong", ["Hi", ("human", "Hi"), {"role": "user", "content": "Hi"}])
def test_what_is_no_message_is_refused(history: ConvexChatMessageHistory, wrong: Any) -> None:
    """Other things that LangChain elsewhere takes for messages are named; nothing is written."""
    with pytest.raises(cm.UsageError, match=f"{type(wrong).__name__} is no message") as caught:
        history.add_messages([HumanMessage("good"), wrong])
    assert caught.value.__notes__ == [caught.value.hint]  # what a traceback shows below the error
    assert history.messages == []


def test_a_connection_knows_its_deployment(deployment: Sandbox) -> None:
    """A URL beside a connection would be ignored, so it is refused; the object says what it is."""
    with Connection(deployment.url, key=deployment.key) as connection:
        with pytest.raises(cm.UsageError):
            ConvexChatMessageHistory("s", url="https://other.convex.cloud", connection=connection)
        said = repr(ConvexChatMessageHistory("s", connection=connection))
    assert said.startswith("<ConvexChatMessageHistory 's' <Connection ")
    assert deployment.key not in said


def test_fifty_thousand_messages(history: ConvexChatMessageHistory) -> None:
    """A session far beyond what one transaction reads is read, extended and cleared."""
    for part in range(10):
        history.add_messages([HumanMessage(f"{part * 5000 + n}") for n in range(5000)])
    assert all(message.content == str(n) for n, message in enumerate(history.iter_messages()))
    history.add_messages(TURN)
    assert len(asyncio.run(_read(history))) == 50_002
    assert list(history.iter_messages(last=3)) == [HumanMessage("49999"), *TURN]
    history.clear()
    assert history.messages == []


async def _read(history: ConvexChatMessageHistory) -> list[BaseMessage]:
    found = await history.aget_messages()
    await history.aclose()
    return found


def test_clearing_leaves_other_sessions_alone(deployment: Sandbox, history: ConvexChatMessageHistory) -> None:
    """Only the one session is erased; clearing an empty one is fine."""
    other = ConvexChatMessageHistory(f"{history.session_id}x", connection=history.connection)
    history.add_messages(TURN)
    other.add_messages(TURN)
    history.clear()
    history.clear()
    assert (history.messages, other.messages) == ([], TURN)


@pytest.mark.parametrize("flags", [(), ("--type", "prod", "--name", "tall-forest-123")], ids=["dev", "prod"])
def test_without_functions_reading_works_and_writing_says_what_to_do(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """The dashboard's queries serve where nothing is deployed, redacted errors or not."""
    rows = [
        {"sessionId": "s", "message": {"type": "human", "data": {"content": str(n)}}, "_creationTime": 1e12 + n}
        for n in range(2500)
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with running_sandbox(tmp_path, "--no-functions", "--load", str(file), *flags) as bare:
        history = ConvexChatMessageHistory("s", url=bare.url, key=bare.key)
        assert [message.content for message in history.messages] == [str(n) for n in range(2500)]
        assert [message.content for message in history.iter_messages(last=2)] == ["2498", "2499"]
        assert len(asyncio.run(_read(history))) == 2500
        for write in (history.clear, lambda: history.add_messages(TURN)):
            with pytest.raises(cm.Refused) as caught:
                write()
            assert "convex-msgs init" in caught.value.hint


def test_other_names(tmp_path: Path) -> None:
    """JavaScript's options for table, index and fields are honoured; another word is refused."""
    names = {"table": "chats", "index": "byUser", "session_id_field": "userId", "message_text_field_name": "msg"}
    flags = ("--table", "chats", "--index", "byUser", "--session-field", "userId")
    with running_sandbox(tmp_path, *flags) as running:
        history = ConvexChatMessageHistory("u", url=running.url, key=running.key, **names)
        history.add_messages(TURN)
        assert history.messages == TURN
        read = cm.connect(running.url, key=running.key, names=cm.Names("chats", "byUser", "userId", "msg"))
        assert set(next(iter(read.messages())).value) == {"_id", "_creationTime", "userId", "msg"}
        read.close()
        history.clear()
    with pytest.raises(TypeError, match="'tabel'"):
        ConvexChatMessageHistory("u", url="http://127.0.0.1:1", key="a|b", tabel="x")


@pytest.mark.parametrize("flags", [(), ("--no-functions",)], ids=["functions", "system"])
def test_a_table_that_is_not_there(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """Production says no more than "Server Error"; the error names the command that says what is wrong."""
    with running_sandbox(tmp_path, "--type", "prod", "--name", "tall-forest-123", *flags) as running:
        history = ConvexChatMessageHistory("s", url=running.url, key=running.key, table="my chats")
        with pytest.raises(cm.FunctionFailed) as caught:
            list(history.messages)
        assert caught.value.hint.endswith("convex-msgs doctor --table 'my chats'")
        history.close()


@pytest.mark.parametrize("session_id", [None, 7, "half \ud800"])
def test_a_session_id_is_text(session_id: Any) -> None:
    """Anything else is refused at once."""
    with pytest.raises(cm.UsageError, match="session id"):
        ConvexChatMessageHistory(session_id, url="http://127.0.0.1:1", key="a|b")


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "asynchronous"])
def test_a_wrong_key_or_url_says_so(deployment: Sandbox, blocking: bool) -> None:
    """The errors are those of the whole package."""
    with stamina.set_testing(True, attempts=2):
        for url, key, error in (
            (deployment.url, "sandbox|wrong", cm.Refused),
            ("http://127.0.0.1:1", deployment.key, cm.Unreachable),
        ):
            history = ConvexChatMessageHistory("s", url=url, key=key)
            with pytest.raises(error) as caught:
                adding(history, TURN, blocking=blocking)
            assert key not in f"{caught.value} {caught.value.hint} {history.connection!r}"


def conversation(model: FakeListChatModel, history: BaseChatMessageHistory) -> Any:
    """Build a chain whose memory is a history."""
    prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("human", "{input}")])
    with pytest.warns(DeprecationWarning, match="RunnableWithMessageHistory"):
        return RunnableWithMessageHistory(
            prompt | model, lambda _: history, input_messages_key="input", history_messages_key="history"
        )


def test_it_is_the_memory_of_a_runnable(history: ConvexChatMessageHistory) -> None:
    """`invoke`, `ainvoke` and `stream` of RunnableWithMessageHistory store whole turns, streamed ones as plain ones."""
    chain = conversation(FakeListChatModel(responses=["Hello Jim!", "Jim.", "Bye."]), history)
    config = {"configurable": {"session_id": history.session_id}}

    async def ask() -> None:
        await chain.ainvoke({"input": "What is my name?"}, config)
        await history.aclose()

    chain.invoke({"input": "Hi! I'm Jim."}, config)
    asyncio.run(ask())
    assert "".join(part.content for part in chain.stream({"input": "Bye!"}, config)) == "Bye."
    stored = [(type(message), message.content) for message in history.messages]
    assert stored == [
        (HumanMessage, "Hi! I'm Jim."),
        (AIMessage, "Hello Jim!"),
        (HumanMessage, "What is my name?"),
        (AIMessage, "Jim."),
        (HumanMessage, "Bye!"),
        (AIMessage, "Bye."),
    ]


def javascript(deployment: Sandbox, session: str, *add: dict[str, Any]) -> list[dict[str, Any]]:
    """Add messages with LangChain's own class in JavaScript and return what it reads."""
    request = {"url": deployment.url, "key": deployment.key, "session": session, "add": add}
    command = ["node", "--import", "tsx", "tests/langchain_js/history.ts"]
    done = subprocess.run(
        command, cwd=ROOT, input=json.dumps(request), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_python_and_javascript_read_each_other(deployment: Sandbox, history: ConvexChatMessageHistory) -> None:
    """LangChain in JavaScript reads what Python wrote and adds to it; Python reads all of that."""
    history.add_messages(RICH)
    call = {"name": "f", "args": {"n": 7}, "type": "tool_call"}  # without an id, as JavaScript may write it
    added = [
        {"type": "ai", "data": {"content": "", "tool_calls": [call], "invalid_tool_calls": []}},
        {"type": "tool", "data": {"content": "ok", "tool_call_id": "call_2"}},
        {"type": "generic", "data": {"content": "hm", "role": "critic"}},
        {"type": "human", "data": {"content": [{"type": "text", "text": "Bye"}]}},
    ]
    read = javascript(deployment, history.session_id, *added)
    assert [message["type"] for message in read] == [
        "human", "ai", "tool", "ai", "generic", "ai", "tool", "generic", "human",
    ]  # fmt: skip
    assert read[1]["data"]["usage_metadata"] == {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    found = history.messages
    assert found[: len(RICH)] == RICH
    assert found[len(RICH) :] == [
        AIMessage("", tool_calls=[{"name": "f", "args": {"n": 7}, "id": None}]),
        ToolMessage("ok", tool_call_id="call_2"),
        ChatMessage("hm", role="critic"),
        HumanMessage([{"type": "text", "text": "Bye"}]),
    ]


def test_the_tool_exports_what_the_memory_holds(
    deployment: Sandbox, history: ConvexChatMessageHistory, tmp_path: Path
) -> None:
    """`export -s` writes the session, and `validate` calls its messages loadable in JavaScript."""
    history.add_messages(RICH)
    connection = ("--env-file", str(deployment.env_file))
    done = convex_msgs("export", "-s", history.session_id, "-o", "a.jsonl", *connection, cwd=tmp_path)
    assert (done.code, len((tmp_path / "a.jsonl").read_text().splitlines())) == (0, len(RICH))
    assert convex_msgs("validate", "a.jsonl", "--level", "loadable", cwd=tmp_path).code == 0
    assert cm.open(tmp_path / "a.jsonl").messages().to_langchain() == RICH
