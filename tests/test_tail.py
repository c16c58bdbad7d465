"""``tail``: each message once, in the order in which it became visible, whatever happens to the connection."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import stamina
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage

import sync_tool as cm
from faults.plan import Plan
from faults.proxying import running_proxy
from running import ROOT, Sandbox, clean_environment, convex_msgs, running_sandbox
from sync_tool.deployment.live import WINDOW, Follower
from sync_tool.langchain import ConvexChatMessageHistory
from sync_tool.rows.batch import Page, of_documents
from sync_tool.rows.model import Names, Position, Row
from sync_tool.rows.reading import RowReader

_LONGEST = 60.0


class Lines:
    """The lines of a process that is under way, each waited for."""

    def __init__(self, stream: Any) -> None:
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.listener = threading.Thread(
            target=lambda: [self._lines.put(line.rstrip("\n")) for line in stream], daemon=True
        )
        self.listener.start()

    def take(self, count: int) -> list[str]:
        """Return the next lines."""
        return [self._lines.get(timeout=_LONGEST) for _ in range(count)]

    def until(self, word: str) -> str:
        """Return the next line that holds a word."""
        while word not in (line := self._lines.get(timeout=_LONGEST)):
            pass
        return line


@contextmanager
def tailing(env_file: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], Lines, Lines]]:
    """Run ``convex-msgs tail``; gives the process, its standard output and its standard error."""
    command = [sys.executable, "-m", "sync_tool", "tail", "--env-file", str(env_file), *flags]
    env = clean_environment({"PYTHONPATH": str(ROOT)})
    with subprocess.Popen(
        command, cwd=env_file.parent, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        out, err = Lines(process.stdout), Lines(process.stderr)
        try:
            yield process, out, err
        finally:
            process.kill()
            out.listener.join()
            err.listener.join()


def stopped(process: subprocess.Popen[str], number: int = signal.SIGINT) -> int:
    """Send a signal and return the exit code."""
    os.kill(process.pid, number)
    return process.wait(_LONGEST)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """An empty deployment; each test uses a session of its own."""
    with running_sandbox(tmp_path_factory.mktemp("tail")) as running:
        yield running


def memory(deployment: Sandbox, session: str) -> ConvexChatMessageHistory:
    """Return the history of a session, by which an app writes."""
    return ConvexChatMessageHistory(session, url=deployment.url, key=deployment.key)


def words(lines: list[str]) -> list[str]:
    """Return the contents of lines of JSONL."""
    return [json.loads(line)["message"]["data"]["content"] for line in lines]


def test_messages_come_as_they_are_written(deployment: Sandbox) -> None:
    """The last ones first, then each turn, a burst larger than what is subscribed to included; Ctrl-C is 130."""
    history = memory(deployment, "a")
    history.add_messages([HumanMessage(str(n)) for n in range(30)])
    with tailing(deployment.env_file, "-s", "a", "-n", "3") as (process, out, err):
        assert words(out.take(3)) == ["27", "28", "29"]
        history.add_messages([HumanMessage("live"), AIMessage("yes")])
        assert words(out.take(2)) == ["live", "yes"]
        history.add_messages([HumanMessage(str(n)) for n in range(3 * WINDOW)])
        assert words(out.take(3 * WINDOW)) == [str(n) for n in range(3 * WINDOW)]
        memory(deployment, "another").add_messages([HumanMessage("not for here")])
        history.clear()
        history.add_messages([HumanMessage("after clearing")])
        assert words(out.take(1)) == ["after clearing"]
        assert stopped(process) == 130
        assert "session a" in err.take(1)[0]
        assert err.until("stopped safely")


def test_it_ends_with_its_reader(deployment: Sandbox) -> None:
    """`tail | head -1` ends when head has its line, not when the next message comes; exit 141."""
    memory(deployment, "head").add_messages([HumanMessage("1"), HumanMessage("2")])
    command = [sys.executable, "-m", "sync_tool", "tail", "-s", "head", "-n", "2"]
    env = clean_environment({"PYTHONPATH": str(ROOT), "CONVEX_MSGS_ENV_FILE": str(deployment.env_file)})
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert words([process.stdout.readline(), process.stdout.readline()]) == ["1", "2"]
        process.stdout.close()
        assert process.wait(_LONGEST) == 141


def test_lines_to_read(deployment: Sandbox) -> None:
    """Time, speaker, text; control characters are escaped, and further lines cannot pose as messages."""
    history = memory(deployment, "lines")
    history.add_messages(
        [
            HumanMessage("\x1b[31mred\n2026-01-01 00:00:00  ai  fake"),
            AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}]),
        ]
    )
    with tailing(deployment.env_file, "-s", "lines", "-n", "9", "-f", "lines") as (process, out, _):
        first, second, third = out.take(3)
        assert first[19:] == "  human  \\x1b[31mred"
        assert second == "    2026-01-01 00:00:00  ai  fake"
        assert third[19:] == "  ai  [calls f]"
        assert stopped(process, signal.SIGTERM) == 143


def test_it_survives_a_restart_of_the_deployment(tmp_path: Path) -> None:
    """Killed and started again on the same data and port, the deployment is followed on, nothing lost or doubled."""
    data = ("--data", str(tmp_path / "data"))
    with running_sandbox(tmp_path, *data) as first:
        memory(first, "a").add_messages([HumanMessage("before")])
        port = first.url.rpartition(":")[2]
        with tailing(first.env_file, "-s", "a", "-n", "1", "--wait") as (process, out, _):
            assert words(out.take(1)) == ["before"]
            memory(first, "a").add_messages([HumanMessage("live")])
            assert words(out.take(1)) == ["live"]
            first.kill()
            with running_sandbox(tmp_path, *data, "--port", port) as second:
                memory(second, "a").add_messages([HumanMessage("while it was away"), HumanMessage("and again")])
                assert words(out.take(2)) == ["while it was away", "and again"]
                assert stopped(process) == 130


class Said:
    """Progress that remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def begin(self, title: str, total: int | None) -> None:
        """Not used."""

    def advance(self, rows: int, size: int) -> None:
        """Not used."""

    def note(self, text: str) -> None:
        """Remember."""
        self.lines.append(text)

    detail = note


def test_silence_is_explained(tmp_path: Path) -> None:
    """Nobody there: that is said and waiting goes on; the functions gone: that is an error."""
    data = ("--data", str(tmp_path / "data"))
    said = Said()
    with stamina.set_testing(True, attempts=2), running_sandbox(tmp_path, *data) as first:
        history = memory(first, "a")
        history.add_messages([HumanMessage("1")])
        with cm.connect(first.url, key=first.key) as db:
            rows = cm.tail(db, "a", last=1, silence=0.2, progress=said)
            assert next(rows).text == "1"
            history.add_messages([HumanMessage("2")])
            assert next(rows).text == "2"
            port = first.url.rpartition(":")[2]
            first.kill()
            started = threading.Event()
            done = threading.Event()

            def restart() -> None:
                with running_sandbox(tmp_path, *data, "--no-functions", "--port", port):
                    started.set()
                    done.wait(_LONGEST)

            threading.Thread(target=lambda: said_until(said, "Still waiting", restart), daemon=True).start()
            with pytest.raises(cm.Refused):
                next(rows)
            assert started.wait(_LONGEST)
            done.set()
    assert any("still valid" in line or "Still waiting" in line for line in said.lines)


def said_until(said: Said, word: str, then: Any) -> None:
    """Do something as soon as a word was said."""
    while not any(word in line for line in list(said.lines)):
        threading.Event().wait(0.02)
    then()


def test_a_live_connection_that_delivers_nothing_is_noticed(deployment: Sandbox) -> None:
    """A message that HTTP shows and the subscription withholds is yielded once, and a new subscription starts."""
    history = memory(deployment, "stalled")
    history.add_messages([HumanMessage("0")])

    def following(plan: str) -> tuple[list[str], list[Any], Said]:
        said = Said()
        with running_proxy(deployment.url, Plan.of(plan)) as proxy, cm.connect(proxy.url, key=deployment.key) as db:
            with closing(cast("Any", cm.tail(db, "stalled", last=1, silence=1.0, progress=said))) as rows:
                texts = [next(rows).text]
                for n in range(3):
                    history.add_messages([HumanMessage(str(n))])
                    texts.append(next(rows).text)
            return texts, proxy.events(), said

    texts, events, _ = following("")
    assert texts == ["0", "0", "1", "2"]
    upgrade = next(event.number for event in events if event.path.endswith("/sync"))
    texts, _, said = following(f"{upgrade}:stall")
    assert texts == ["2", "0", "1", "2"]
    assert any("misses messages" in line for line in said.lines)


def test_the_live_connection_ends_with_the_tool(tmp_path: Path) -> None:
    """Killed without a chance to clean up, while the client hangs in connecting, nothing is left behind."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asked = {"url": f"http://127.0.0.1:{silent.getsockname()[1]}", "key": "a|b", "path": "x:y", "args": {}}
        tool = (
            "import subprocess, sys\n"
            "child = subprocess.Popen([sys.executable, '-m', 'sync_tool.deployment.subscriber'],"
            " stdin=subprocess.PIPE, start_new_session=True)\n"
            f"child.stdin.write({(json.dumps(asked) + chr(10)).encode()!r})\n"
            "child.stdin.flush()\nprint('started', flush=True)\nchild.wait()"
        )
        env = clean_environment({"PYTHONPATH": str(ROOT)})
        with subprocess.Popen(
            [sys.executable, "-c", tool], cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "started\n"
            connection, _ = silent.accept()  # it is connecting now, and gets no answer
            process.kill()
            process.communicate(timeout=_LONGEST)  # the child has this pipe too: its end is the end of both
            connection.close()


def test_an_unknown_session_names_the_nearest(deployment: Sandbox, tmp_path: Path) -> None:
    """A mistyped id ends at once, unless it is one that has not begun."""
    memory(deployment, "cust-42").add_messages([HumanMessage("1")])
    done = convex_msgs("tail", "-s", "cust-4", "--env-file", str(deployment.env_file), cwd=tmp_path)
    assert done.code == 2
    assert "'cust-42'" in done.err
    assert "--wait" in done.err
    with tailing(deployment.env_file, "-s", "begins later", "--wait") as (process, out, err):
        err.until("following")
        memory(deployment, "begins later").add_messages([HumanMessage("first")])
        assert words(out.take(1)) == ["first"]
        assert stopped(process) == 130


def test_without_functions_there_is_nothing_to_follow(bare_sandbox: Sandbox, tmp_path: Path) -> None:
    """Exit 6, and what to do."""
    done = convex_msgs("tail", "-s", "cust-42", "--env-file", str(bare_sandbox.env_file), cwd=tmp_path)
    assert (done.code, "convex-msgs init" in done.err) == (6, True)


def test_a_file_cannot_be_followed() -> None:
    """The library says so too."""
    file = cm.open(ROOT / "sample_data" / "messages.jsonl")
    with pytest.raises(cm.UsageError, match="only a deployment"):
        next(iter(cm.tail(file, "cust-42")))


class Table(Follower):
    """A follower of a session in memory, whose rows become visible in any order."""

    def __init__(self) -> None:
        super().__init__(cast("Any", None), "", Names(), "s")
        self.rows: list[Row] = []
        self._rows_reader = cast("Any", self)

    def pages(self, where: Any) -> Iterator[Page]:
        """Return the rows between two positions, as the reader does."""
        low = where.resume.key() if where.resume else (b"", 0.0, "")
        high = where.until.key() if where.until else (b"\xff", 0.0, "")
        found = [row for row in self.rows if low < row.position.key() < high]
        raws = [row.raw for row in (found[::-1] if where.newest_first else found)]
        yield Page(of_documents(raws, Names()), 0)

    def commit(self, time: float, number: int) -> None:
        """Make a row visible."""
        raw = json.dumps({"_id": f"i{number}", "_creationTime": time, "sessionId": "s"}).encode()
        self.rows.append(RowReader(Names()).row(raw))
        self.rows.sort(key=lambda row: row.position.key())

    def look(self) -> list[str]:
        """Take what a subscription would give now; return the new ids."""
        newest = self.rows[: -WINDOW - 1 : -1]
        return [row.id for row in self._new(newest, len(self.rows) <= WINDOW)]


@given(
    st.lists(st.lists(st.floats(0, 6), max_size=3 * WINDOW), max_size=12),
    st.integers(0, 2 * WINDOW),
    st.lists(st.integers(0, 11), max_size=3),
)
def test_each_row_once_whenever_it_becomes_visible(steps: list[list[float]], there: int, erased: list[int]) -> None:
    """Rows that commit late, bursts, values that were passed over and erased rows: each new row comes exactly once."""
    table, number = Table(), there
    for n in range(there):
        table.commit(float(n + 1), n)
    assert [row.id for row in table.begin(5)] == [f"i{n}" for n in range(there)][-5:]
    shown: list[str] = []
    for at, lags in enumerate(steps):
        for lag in lags:
            table.commit(1000.0 + number - lag, number)  # lagging behind others by a few rows
            number += 1
        shown += table.look()
        if at in erased:
            table.rows = table.rows[len(table.rows) // 2 :]
            assert table.look() == []
    assert sorted(shown) == sorted(f"i{n}" for n in range(there, number))


def test_positions_of_the_test_are_those_of_rows() -> None:
    """The table of the test sorts as an index does."""
    table = Table()
    table.commit(2.0, 1)
    table.commit(1.0, 2)
    assert [row.position for row in table.rows] == [Position("s", 1.0, "i2"), Position("s", 2.0, "i1")]
