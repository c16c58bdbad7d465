"""The sync protocol, message by message."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from sync_tool.sandbox.instance import Instance
from sync_tool.sandbox.sync import session as session_module
from sync_tool.sandbox.sync.session import Session

from .box import Running, Start, start
from .wires import Wire, number


@pytest.fixture(scope="module")
def box() -> Iterator[Running]:
    running = start("--examples")
    yield running
    assert running.stop() == 0


@pytest.fixture
def wire(box: Running) -> Iterator[Wire]:
    with Wire(box) as connection:
        yield connection


def value_of(modifications: list[Any]) -> Any:
    (modification,) = modifications
    assert (modification["type"], modification["journal"]) == ("QueryUpdated", None)
    return modification["value"]


@pytest.mark.parametrize("path", ["/api/sync", "/api/1.48.0/sync"])
def test_one_query(box: Running, path: str) -> None:
    """A query is answered by one step of the version, at both addresses."""
    with Wire(box, path) as wire:
        wire.add(0, "values:echo", {"value": {"$integer": "BwAAAAAAAAA="}})
        assert value_of(wire.step()) == {"$integer": "BwAAAAAAAAA="}
        assert wire.version["querySet"] == 1
        wire.modify({"type": "Remove", "queryId": 0})
        assert wire.step() == [{"type": "QueryRemoved", "queryId": 0}]


def test_empty_set(wire: Wire) -> None:
    """A change of the set that changes nothing is answered too."""
    wire.modify()
    assert wire.step() == []


def test_spellings_of_a_path(wire: Wire) -> None:
    """A path with and without .js is the same query."""
    wire.modify(
        {"type": "Add", "queryId": 0, "udfPath": "values:echo", "args": [{"value": 1}]},
        {"type": "Add", "queryId": 1, "udfPath": "values.js:echo", "args": [{"value": 1}], "journal": None},
    )
    assert [modification["value"] for modification in wire.step()] == [1.0, 1.0]


def test_mutation_is_answered_before_its_step(wire: Wire) -> None:
    """The answer comes first, then a step whose timestamp is not smaller, although nothing is watched."""
    answer = wire.mutate(0, "messages:send", {"author": "a", "body": "b"})
    assert (answer["type"], answer["requestId"], answer["success"]) == ("MutationResponse", 0, True)
    assert answer["logLines"] == ["[LOG] 'a sends a message'"]
    assert wire.step() == []
    assert number(wire.version["ts"]) >= number(answer["ts"])


@pytest.mark.parametrize(
    ("args", "gist", "data"),
    [
        ({"author": "a"}, "Uncaught ConvexError", {"code": 1.0, "message": "A message needs a body."}),
        ({"nope": 1}, "ArgumentValidationError", None),
    ],
)
def test_failed_mutation_is_followed_by_a_step(wire: Wire, args: Any, gist: str, data: Any) -> None:
    """A mutation that failed has no timestamp, data only if it threw some, and a step after it all the same."""
    answer = wire.mutate(0, "messages:send", args)
    assert (answer["success"], answer["ts"]) == (False, None)
    assert gist in answer["result"]
    assert answer.get("errorData") == data
    assert ("errorData" in answer) == (data is not None)
    assert wire.step() == []


def test_action(wire: Wire) -> None:
    """An action is answered, without a timestamp, and followed by a step."""
    wire.send("Action", requestId=7, udfPath="actions:echo", args=[{"value": "x"}])
    assert wire.receive() == {
        "type": "ActionResponse", "requestId": 7, "success": True, "result": "x", "logLines": [],
    }  # fmt: skip
    assert wire.step() == []
    wire.send("Action", requestId=8, udfPath="messages:sendAll", args=[{"author": "x", "bodies": [""]}])
    answer = wire.receive()
    assert (answer["success"], answer["errorData"]["code"]) == (False, 1.0)


def test_watched_query_follows_commits(box: Running, wire: Wire) -> None:
    """A commit over HTTP brings the new result to who watches, at the commit's time or later."""
    wire.add(0, "messages:count")
    before = value_of(wire.step())
    box.call("mutation", "messages:send", {"author": "x", "body": "y"}, key=None)
    assert value_of(wire.step()) == before + 1


def test_only_what_a_commit_concerns_is_run_again(starting: Start) -> None:
    """A commit to one session brings a step to who watches that session, and to nobody else."""
    box = starting()
    with Wire(box) as wire:
        wire.be_admin()
        wire.step()
        for query_id, session in enumerate("ab"):
            wire.add(query_id, "convexMsgs:page", {"sessionId": session, "limit": 10})
            assert value_of(wire.step())["rows"] == []
        for session in "cbca":
            box.append(session, {"from": session})
        for query_id in (1, 0):
            (modification,) = wire.step()
            assert modification["queryId"] == query_id
            assert [row["from"] for row in modification["value"]["rows"]] == ["ba"[1 - query_id]]


def test_full_page_is_not_run_again_for_what_comes_after_it(starting: Start) -> None:
    """A page that ended at its limit watches only up to its last row."""
    box = starting()
    box.append("s", {"n": 1}, {"n": 2})
    with Wire(box) as wire:
        wire.be_admin()
        wire.step()
        wire.add(0, "convexMsgs:page", {"sessionId": "s", "limit": 1})
        row = value_of(wire.step())["rows"][0]
        box.append("s", {"n": 3})
        box.call("mutation", "convexMsgs:erase", {"sessionId": "s", "throughId": row["_id"], "limit": 1})
        assert [row["n"] for row in value_of(wire.step())["rows"]] == [2.0]


def test_query_on_a_table_that_comes_later(wire: Wire, box: Running) -> None:
    """A subscription to a missing table gets its rows once the table exists."""
    wire.add(0, "tasks:get")
    assert value_of(wire.step()) == []
    box.call("mutation", "tasks:add", {"text": "t"}, key=None)
    assert [task["text"] for task in value_of(wire.step())] == ["t"]


def test_unchanged_result_is_not_sent_again(wire: Wire, box: Running) -> None:
    """A query that runs again to the same result gives a step without it."""
    wire.be_admin()
    wire.step()
    wire.add(0, "convexMsgs:sessions", {"limit": 10})
    wire.step()
    box.append("same", {"n": 1})
    wire.step()
    box.append("same", {"n": 2})
    wire.mutate(0, "messages:send", {"body": "x"})
    assert wire.step() == []


def test_failing_query(wire: Wire) -> None:
    """A query that fails is a modification with its data; a missing one has none."""
    wire.be_admin()
    wire.step()
    wire.add(0, "convexMsgs:page", {"limit": 0})
    (failed,) = wire.step()
    assert (failed["type"], failed["errorData"]["code"], failed["logLines"]) == ("QueryFailed", "bad_limit", [])
    wire.add(1, "no:such")
    (failed,) = wire.step()
    assert "errorData" not in failed
    assert "Could not find public function for 'no:such'" in failed["errorMessage"]


def test_identity(wire: Wire) -> None:
    """Showing the key makes internal functions visible to queries that are watched already; leaving hides them."""
    wire.add(0, "convexMsgs:info")
    assert wire.step()[0]["type"] == "QueryFailed"
    wire.be_admin()
    assert value_of(wire.step())["version"] == 1.0
    assert wire.version["identity"] == 1
    wire.send("Authenticate", baseVersion=1, tokenType="None")
    assert wire.step()[0]["type"] == "QueryFailed"


def closing(wire: Wire) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        wire.receive()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


@pytest.mark.parametrize(
    "token", [{"tokenType": "Admin", "value": "wrong|key"}, {"tokenType": "User", "value": "a.b.c"}]
)
def test_wrong_key(wire: Wire, token: Any) -> None:
    """A wrong key or a user's token is an AuthError, and the connection ends."""
    wire.send("Authenticate", baseVersion=0, **token)
    answer = wire.receive()
    assert (answer["type"], answer["baseVersion"], answer["authUpdateAttempted"]) == ("AuthError", 0, False)
    closing(wire)


@pytest.mark.parametrize(
    ("kind", "fields", "code"),
    [
        ("ModifyQuerySet", {"baseVersion": 5, "newVersion": 6, "modifications": []}, "BaseVersionMismatch"),
        ("Authenticate", {"baseVersion": 5, "tokenType": "None"}, "BaseVersionMismatch"),
        ("Mutation", {"requestId": 0, "udfPath": "a b", "args": [{}]}, "BadConvexFunctionIdentifier"),
        ("Nonsense", {}, "WSMessageInvalidJson"),
        ("Mutation", {"requestId": "x"}, "WSMessageInvalidJson"),
    ],
)
def test_fatal_errors(wire: Wire, kind: str, fields: Any, code: str) -> None:
    """A message that a client must not send is a FatalError, and the connection ends."""
    wire.send(kind, **fields)
    answer = wire.receive()
    assert answer["type"] == "FatalError"
    assert answer["error"].startswith(code)
    closing(wire)


def test_write_rate_closes_with_try_again(starting: Start) -> None:
    """Too many writes close the connection with 1013 and the name of the error, so that clients back off."""
    with Wire(starting("--examples", "--write-rate", "10")) as wire:
        assert wire.mutate(0, "messages:send", {"body": "x"})["success"] is True
        wire.step()
        wire.send("Mutation", requestId=1, udfPath="messages:send", args=[{"body": "x"}])
        assert closing(wire) == (1013, "TooManyWrites")


def test_repeated_mutation_runs_once(box: Running) -> None:
    """The same request of the same client is answered as before, on another connection too, and runs once."""
    args = {"author": "once", "body": "x"}
    with Wire(box, session="11111111-0000-4000-8000-000000000000") as wire:
        first = wire.mutate(3, "messages:send", args)
    with Wire(box, session="11111111-0000-4000-8000-000000000000") as wire:
        assert wire.mutate(3, "messages:send", args) == first
        wire.step()
        assert wire.mutate(4, "messages:send", args)["result"] != first["result"]
    with Wire(box, session="22222222-0000-4000-8000-000000000000") as wire:
        assert wire.mutate(3, "messages:send", args)["result"] != first["result"]
    rows = box.call("query", "messages:list", {}, key=None)["value"]
    assert len([row for row in rows if row.get("author") == "once"]) == 3


def test_failed_mutation_may_be_tried_again(box: Running) -> None:
    """A failure is not remembered: the same request can succeed later."""
    with Wire(box, session="33333333-0000-4000-8000-000000000000") as wire:
        assert wire.mutate(0, "messages:send", {})["success"] is False
        wire.step()
        assert wire.mutate(0, "messages:send", {"body": "x"})["success"] is True


def test_mutations_keep_their_order(wire: Wire) -> None:
    """Mutations sent at once run one after the other, in order."""
    for number_ in range(30):
        wire.send(
            "Mutation", requestId=number_, udfPath="messages:send", args=[{"author": "order", "body": str(number_)}]
        )
    answers: list[int] = []
    while len(answers) < 30:
        message = wire.receive()
        if message["type"] == "MutationResponse":
            answers.append(message["requestId"])
    assert answers == list(range(30))


def test_actions_run_side_by_side(wire: Wire) -> None:
    """A slow action holds up neither another action nor a query."""
    wire.send("Action", requestId=0, udfPath="actions:wait", args=[{"seconds": 30}])
    wire.send("Action", requestId=1, udfPath="actions:echo", args=[{"value": 1}])
    assert wire.receive()["requestId"] == 1
    wire.step()
    wire.add(0, "values:echo", {"value": 2})
    assert value_of(wire.step()) == 2.0


def test_long_messages_are_fragmented(starting: Start) -> None:
    """A result of more than 20 MiB comes in frames of at most 1 MiB."""
    with Wire(starting("--examples")) as wire:
        text = '"' * (12 << 20)
        wire.add(0, "values:echo", {"value": text})
        frames = list(wire.socket.recv_streaming(decode=False))
        assert max(map(len, frames)) == 1 << 20
        assert sum(map(len, frames)) > 20 << 20
        assert json.loads(b"".join(bytes(frame) for frame in frames))["modifications"][0]["value"] == text


def test_long_steps_are_divided(starting: Start) -> None:
    """Results that are too long for one message together come in several steps, each once."""
    box = starting("--examples")
    for _ in range(15):
        box.call("mutation", "messages:send", {"body": '"' * 1_000_000})
    with Wire(box) as wire:
        wire.modify(*({"type": "Add", "queryId": n, "udfPath": "messages:list", "args": [{}]} for n in range(3)))
        got = [[modification["queryId"] for modification in wire.step()] for _ in range(3)]
        assert got == [[0], [1], [2]]


def test_result_too_long_for_any_message(starting: Start) -> None:
    """A result of more than 60 MiB of JSON fails, because no Python client could take it."""
    box = starting("--examples")
    for _ in range(12):
        box.call("mutation", "messages:send", {"body": "\x01" * 1_000_000})
    with Wire(box) as wire:
        wire.add(0, "messages:list")
        (failed,) = wire.step()
        assert "too large as JSON" in failed["errorMessage"]


def test_latency_delays_each_message_by_itself(starting: Start) -> None:
    """With --latency messages sent together are answered together, not one after the other."""
    with Wire(starting("--examples", "--latency", "100")) as wire:
        loop_start = asyncio.new_event_loop()
        began = loop_start.time()
        for request in range(10):
            wire.send("Action", requestId=request, udfPath="actions:echo", args=[{}])
        answered = 0
        while answered < 10:
            answered += wire.receive()["type"] == "ActionResponse"
        assert 0.1 <= loop_start.time() - began < 0.9
        loop_start.close()


def test_ping_when_there_is_nothing_to_say(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection on which nothing was sent for a while gets a Ping of the protocol's own."""
    monkeypatch.setattr(session_module, "_QUIET_SECONDS", 0.01)

    async def run() -> bytes:
        sent: asyncio.Queue[bytes] = asyncio.Queue()

        async def receive() -> str:
            await asyncio.Event().wait()
            return ""

        running = asyncio.create_task(Session(instance, sent.put).run(receive))
        message = await asyncio.wait_for(sent.get(), 5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return message

    assert asyncio.run(run()) == b'{"type":"Ping"}'


def test_restart_keeps_answers_and_time(starting: Start, tmp_path: Any) -> None:
    """After a restart on the same file a repeated request is still answered as before, and time has not gone back."""
    flags = ("--examples", "--data", str(tmp_path / "data.sqlite"))
    client = "44444444-0000-4000-8000-000000000000"
    box = starting(*flags)
    with Wire(box, session=client) as wire:
        first = wire.mutate(0, "messages:send", {"body": "x"})
    box.kill()
    with Wire(starting(*flags), session=client) as wire:
        assert wire.mutate(0, "messages:send", {"body": "x"}) == first
        wire.step()
        assert number(wire.version["ts"]) >= number(first["ts"])


def test_production_hides_messages(starting: Start) -> None:
    """A production deployment hides messages and log lines on the socket too."""
    with Wire(starting("--examples", "--type", "prod")) as wire:
        answer = wire.mutate(0, "messages:send", {"author": "x"})
        assert answer["result"].endswith("] Server Error")
        assert answer["errorData"]["code"] == 1.0
        wire.step()
        assert wire.mutate(1, "messages:send", {"body": "x"})["logLines"] == []
