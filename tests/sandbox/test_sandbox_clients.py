"""The official clients over the WebSocket, each in a process of its own (the Python one holds the GIL)."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .box import KEY, ROOT, Running, Start, start
from .wires import Proxy

PYTHON = """
import asyncio, json, sys
from convex import ConvexClient, ConvexError, ConvexInt64
client = ConvexClient(sys.argv[1])
def done(value): print(json.dumps(value), flush=True)
"""
JAVASCRIPT = """
import { ConvexClient, ConvexHttpClient } from "convex/browser";
const client = new ConvexClient(process.argv[1], { skipConvexDeploymentUrlCheck: true, logger: false });
const done = (value) => console.log(JSON.stringify(value));
"""


@pytest.fixture(scope="module")
def box() -> Iterator[Running]:
    running = start("--examples")
    yield running
    assert running.stop() == 0


@pytest.fixture
def sends(starting: Start) -> Running:
    """A sandbox of its own with the examples."""
    return starting("--examples")


@contextmanager
def script(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        guard = threading.Timer(60, process.kill)  # the Python client waits for ever
        guard.start()
        try:
            yield process
        finally:
            guard.cancel()
            process.kill()


def python(url: str, body: str) -> list[str]:
    return [sys.executable, "-c", PYTHON + body, url]


def javascript(url: str, body: str) -> list[str]:
    return ["node", "--input-type=module", "-e", JAVASCRIPT + body + "\nawait client.close(); process.exit(0);", url]


def says(process: subprocess.Popen[str]) -> Any:
    """Return the next thing that a script says, log lines of functions left out."""
    assert process.stdout is not None
    while (line := process.stdout.readline()).startswith("[LOG]"):
        pass
    return json.loads(line)


def run(command: list[str]) -> Any:
    with script(command) as process:
        return says(process)


def rows(box: Running) -> list[Any]:
    return box.call("query", "messages:list", {}, key=None)["value"]


def test_readme_of_the_python_client(sends: Running) -> None:
    """The README's examples run as they stand."""
    got = run(
        python(
            sends.url,
            """
messages = client.query("messages:list")
client.mutation("messages:send", dict(author="Me", body="Hello!"))
for messages in client.subscribe("messages:list", {}):
    break
try:
    client.mutation("messages:sendMessage", {"body": "", "author": "anjan"})
except ConvexError as err:
    code = err.data["code"]
data, cursor, finished = [], None, False
for n in range(11):
    client.mutation("messages:send", dict(author="Me", body=str(n)))
while not finished:
    result = client.query("listMessages", {"paginationOpts": {"numItems": 5, "cursor": cursor}})
    cursor, finished = result["continueCursor"], result["isDone"]
    data.extend(result["page"])
done([[m["body"] for m in messages], code, [m["body"] for m in data]])
""",
        )
    )
    assert got == [["Hello!"], 1.0, [*map(str, range(10, -1, -1)), "Hello!"]]


def test_quickstart(sends: Running) -> None:
    """The quickstart's query gives the tasks."""
    sends.call("mutation", "tasks:add", {"text": "Buy stamps", "isCompleted": True}, key=None)
    (task,) = run(python(sends.url, 'done(client.query("tasks:get"))'))
    assert (task["text"], task["isCompleted"]) == ("Buy stamps", True)


def test_python_values(box: Running) -> None:
    """Every type goes through the Python client and back."""
    got = run(
        python(
            box.url,
            """
value = {"i": ConvexInt64(7), "b": b"x", "f": 5, "n": None, "inf": float("inf"), "z": -0.0, "l": [True, "é"]}
back = client.query("values:echo", {"value": value})
acted = client.action("actions:echo", {"value": value})
done([repr(back), repr(acted)])
""",
        )
    )
    assert got[0] == got[1]
    for part in ("'b': b'x'", "'f': 5.0", "'inf': inf", "'z': -0.0", "'l': [True, 'é']", "'n': None"):
        assert part in got[0]


def test_python_admin(box: Running) -> None:
    """The Python client calls internal functions with the admin key, and not after it was cleared."""
    got = run(
        python(
            box.url,
            f"""
client.set_admin_auth({KEY!r})
info = client.query("convexMsgs:info")
client.clear_auth()
try: client.query("convexMsgs:info")
except Exception as error: done([info, str(error)])
""",
        )
    )
    assert got[0] == {"name": "convex-msgs", "version": 1.0}
    assert "Could not find public function" in got[1]


def test_python_convex_errors(box: Running) -> None:
    """ConvexErrors of queries, mutations and actions keep their data, and the client goes on afterwards."""
    got = run(
        python(
            box.url,
            f"""
client.set_admin_auth({KEY!r})
seen = []
for call, name, args in ((client.query, "convexMsgs:page", {{"limit": 0}}), (client.mutation, "messages:send", {{}}),
                         (client.action, "messages:sendAll", {{"author": "x", "bodies": [""]}})):
    try: call(name, args)
    except ConvexError as error: seen.append(error.data["code"])
try: client.mutation("no:such", {{}})
except Exception as error: seen.append(type(error).__name__)
done([*seen, client.query("convexMsgs:info")["version"]])
""",
        )
    )
    assert got == ["bad_limit", 1.0, 1.0, "Exception", 1.0]


def test_python_subscription(sends: Running) -> None:
    """A subscription follows what others write; async iteration and watch_all do too."""
    body = """
for count in client.subscribe("messages:count", {}):
    done(count)
    if count >= 2: break
kept = client.subscribe("messages:count", {})
for results in client.watch_all():
    counts = [result["value"] for result in results.values()]
    if counts: done(max(counts)); break
async def follow():
    async for count in client.subscribe("messages:count", {}):
        done(count)
        if count >= 4: return
asyncio.run(follow())
"""
    with script(python(sends.url, body)) as process:
        assert says(process) == 0.0
        sends.call("mutation", "messages:send", {"body": "a"}, key=None)
        assert says(process) == 1.0
        sends.call("mutation", "messages:send", {"body": "b"}, key=None)
        assert [says(process) for _ in range(3)] == [2.0, 2.0, 2.0]
        sends.call("mutation", "messages:send", {"body": "c"}, key=None)
        assert says(process) == 3.0
        sends.call("mutation", "messages:send", {"body": "d"}, key=None)
        assert says(process) == 4.0


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_large_results(sends: Running, language: str) -> None:
    """A result of more than 20 MiB of JSON arrives whole."""
    for _ in range(14):
        sends.call("mutation", "messages:send", {"body": '"' * 1_000_000}, key=None)
    if language == "python":
        command = python(sends.url, 'done(sum(len(m["body"]) for m in client.query("messages:list")))')
    else:
        body = 'done((await client.query("messages:list", {})).reduce((n, m) => n + m.body.length, 0));'
        command = javascript(sends.url, body)
    assert run(command) == 14_000_000


def test_python_reconnects(sends: Running) -> None:
    """Connections cut in the middle of a subscription are made again, and nothing is missed."""
    proxy = Proxy(int(sends.url.rpartition(":")[2]))
    body = """
for count in client.subscribe("messages:count", {}):
    done(count)
"""
    with script(python(proxy.url, body)) as process:
        assert says(process) == 0.0
        for number in range(1, 4):
            proxy.cut()
            sends.call("mutation", "messages:send", {"body": "x"}, key=None)
            while (count := says(process)) != number:
                assert count == number - 1
    proxy.close()


def test_python_call_goes_on_after_a_cut(sends: Running) -> None:
    """A mutation whose answer is lost is sent again by the Python client, under a new session, and answered."""
    proxy = Proxy(int(sends.url.rpartition(":")[2]), cut_at=b"MutationResponse")
    got = run(python(proxy.url, 'done(client.mutation("messages:send", {"body": "x"}))'))
    assert proxy.cuts == 1
    assert got in [row["_id"] for row in rows(sends)]
    assert len(rows(sends)) == 2
    proxy.close()


def test_javascript_calls(box: Running) -> None:
    """The JavaScript client queries, writes, acts, watches and gets errors with their data."""
    got = run(
        javascript(
            box.url,
            f"""
const seen = [];
const counts = new Promise((resolve) => {{
  const all = [];
  client.onUpdate("messages:count", {{}}, (n) => {{ all.push(n); if (all.length === 2) resolve(all); }});
}});
const before = await client.query("messages:count", {{}});
await client.mutation("messages:send", {{ author: "js", body: "hi" }});
const after = await client.query("messages:count", {{}});
const error = await client.mutation("messages:send", {{}}).catch((e) => e);
const acted = await client.action("actions:echo", {{ value: "x" }});
const [first, second] = await counts;
client.client.setAdminAuth({json.dumps(KEY)});
const info = await client.query("convexMsgs:info", {{}});
done({{ added: after - before, follows: second - first, code: error.data.code, acted, info }});
""",
        )
    )
    info = {"name": "convex-msgs", "version": 1}
    assert got == {"added": 1, "follows": 1, "code": 1, "acted": "x", "info": info}


def test_javascript_mutation_runs_once(sends: Running) -> None:
    """A mutation whose answer is lost is sent again by the JavaScript client, and has run exactly once."""
    proxy = Proxy(int(sends.url.rpartition(":")[2]), cut_at=b"MutationResponse")
    got = run(javascript(proxy.url, 'done(await client.mutation("messages:send", { body: "x" }));'))
    assert proxy.cuts == 1
    assert [row["_id"] for row in rows(sends)] == [got]
    proxy.close()


def test_javascript_action_fails_when_cut(sends: Running) -> None:
    """An action under way when the connection is lost fails in the client, and is not run again."""
    proxy = Proxy(int(sends.url.rpartition(":")[2]), cut_at=b"ActionResponse")
    body = """
const error = await client.action("messages:sendAll", { author: "x", bodies: ["1"] }).catch((e) => e.message);
done([error.includes("Connection lost while action was in flight"), await client.query("messages:count", {})]);
"""
    assert run(javascript(proxy.url, body)) == [True, 1]
    proxy.close()


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_restart_of_the_server(starting: Start, tmp_path: Path, language: str) -> None:
    """A client outlives a kill and restart of the server on the same file and port, its subscription included."""
    data = str(tmp_path / "data.sqlite")
    box = starting("--examples", "--data", data)
    port = box.url.rpartition(":")[2]
    if language == "python":
        command = python(box.url, 'for count in client.subscribe("messages:count", {}): done(count)')
    else:
        command = javascript(box.url, 'client.onUpdate("messages:count", {}, done); await new Promise(() => 0);')
    with script(command) as process:
        assert says(process) == 0
        box.call("mutation", "messages:send", {"body": "a"}, key=None)
        assert says(process) == 1
        box.kill()
        box = starting("--examples", "--data", data, "--port", port)
        box.call("mutation", "messages:send", {"body": "b"}, key=None)
        while (count := says(process)) != 2:
            assert count == 1
