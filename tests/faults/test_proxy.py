"""The fault proxy itself: it passes every byte on, and each fault is what its name says."""

from __future__ import annotations

import http.client
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import Server, ServerConnection, serve

from faults.plan import FAULTS, HTTP_FAULTS, SOCKET_FAULTS, Fault, Plan
from faults.proxying import TESTS, RunningProxy, running_proxy
from running import clean_environment

LARGE = random.Random(1).randbytes(20_000_000)
ANSWER = b'{"status":"success","value":"the answer of the target"}'


class Target(ThreadingHTTPServer):
    """Answers with a body that is set beforehand, and keeps what it got."""

    daemon_threads = True
    protocol_version = "HTTP/1.1"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = ANSWER
        self.status = 200
        self.chunked = False
        self.got: list[tuple[str, str, list[tuple[str, str]], bytes]] = []

    @property
    def url(self) -> str:
        """Address of the server."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Target
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self._chunks() if self.headers["Transfer-Encoding"] else self._sized()
        self.server.got.append((self.command, self.path, self.headers.items(), body))
        self.send_response(self.server.status)
        self.send_header("X-Twice", "one")
        self.send_header("X-Twice", "two")
        if self.server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(self.server.answer), 7):
                piece = self.server.answer[start : start + 7]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
            return
        if self.server.status != 204:
            self.send_header("Content-Length", str(len(self.server.answer)))
        self.end_headers()
        if self.command != "HEAD" and self.server.status != 204:
            self.wfile.write(self.server.answer)

    do_GET = do_HEAD = do_POST

    def _sized(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"] or 0))

    def _chunks(self) -> bytes:
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size + 2)[:-2]
        self.rfile.readline()
        return whole

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def target() -> Iterator[Target]:
    """A server to stand behind the proxy."""
    server = Target()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def client_of(proxy: RunningProxy, timeout: float = 20.0) -> http.client.HTTPConnection:
    """Return a client that keeps its connection."""
    return http.client.HTTPConnection(urlsplit(proxy.url).netloc, timeout=timeout)


def ask(client: http.client.HTTPConnection, method: str = "POST", **more: Any) -> tuple[int, bytes]:
    """Send one request and read its answer to the end."""
    client.request(method, "/api/query?x=%2F", **{"body": b"{}", **more})
    answer = client.getresponse()
    return answer.status, answer.read()


def test_everything_passes_unchanged(target: Target) -> None:
    """Method, path, headers with their spelling, and 20 MB each way arrive as sent; only Host names the target."""
    target.answer = LARGE[::-1]
    with running_proxy(target.url) as proxy, closing(client_of(proxy)) as client:
        sent = {"Authorization": "Convex prod:x|y", "x-ODD-case": "a  b; ü".encode().decode("latin-1")}
        client.request("POST", "/api/query?x=%2F&y", LARGE, sent)
        answer = client.getresponse()
        assert answer.read() == LARGE[::-1]
    ((method, path, headers, body),) = target.got
    assert (method, path, body == LARGE) == ("POST", "/api/query?x=%2F&y", True)
    assert set(sent.items()) <= set(headers)
    assert dict(headers)["Host"] == urlsplit(target.url).netloc
    assert answer.headers.get_all("X-Twice") == ["one", "two"]


def test_one_connection_serves_many_requests(target: Target) -> None:
    """The client's connection stays, also across chunked bodies, answers without one, and an injected answer."""
    with running_proxy(target.url, Plan.of("5:503-ExpiredInQueue")) as proxy, closing(client_of(proxy)) as client:
        assert ask(client) == (200, ANSWER)
        own = client.sock
        assert ask(client, body=iter([b"a", b"bc"]), encode_chunked=True) == (200, ANSWER)
        assert target.got[-1][3] == b"abc"
        assert ask(client, "HEAD", body=None) == (200, b"")
        target.chunked = True
        assert ask(client, "GET", body=None) == (200, ANSWER)
        assert ask(client)[0] == 503
        target.chunked, target.status = False, 204
        assert ask(client) == (204, b"")
        assert client.sock is own
        assert [event.fault for event in proxy.events()] == [None] * 4 + ["503-ExpiredInQueue", None]


def test_a_target_that_is_down_is_a_broken_connection(target: Target) -> None:
    """The proxy makes up no answer of its own."""
    with running_proxy("http://127.0.0.1:9") as proxy, pytest.raises((ConnectionError, http.client.HTTPException)):
        ask(client_of(proxy))


@pytest.mark.parametrize("name", HTTP_FAULTS)
def test_each_fault_is_what_it_says(target: Target, name: str) -> None:
    """Seen by a client: the reset, the status, the cut, the silence; and whether the target got the request."""
    fault = FAULTS[name]
    with running_proxy(target.url, Plan.of(f"2:{name}")) as proxy:
        client = client_of(proxy, 0.15 if fault.how.startswith("stall") else 20.0)
        assert ask(client) == (200, ANSWER)
        assert_injected(fault, client)
        client.close()
        assert ask(client) == (200, ANSWER)
        client.close()
        assert [event.fault for event in proxy.events()] == [None, name, None]
    assert len(target.got) == 2 + fault.reaches


def assert_injected(fault: Fault, client: http.client.HTTPConnection) -> None:
    """The next answer is broken in the way of this fault."""
    match fault.how:
        case "reset":
            with pytest.raises(ConnectionResetError):
                ask(client)
        case "answer":
            assert ask(client) == (fault.status, fault.body)
        case "truncate":
            with pytest.raises(http.client.IncompleteRead) as caught:
                ask(client)
            assert caught.value.partial == ANSWER[: len(ANSWER) // 2]
        case "stall":
            client.request("POST", "/", b"{}")
            with pytest.raises(TimeoutError):
                client.getresponse()
        case "stall-half":
            client.request("POST", "/", b"{}")
            answer = client.getresponse()
            assert answer.read(len(ANSWER) // 2) == ANSWER[: len(ANSWER) // 2]
            with pytest.raises(TimeoutError):
                answer.read(1)
        case _:
            assert ask(client) == (200, ANSWER)


def test_every_fault_has_a_name_and_only_one_says_how_long_to_wait() -> None:
    """Names are unique and Retry-After is 0, so that no test waits."""
    assert len(HTTP_FAULTS) + len(SOCKET_FAULTS) == len(FAULTS)
    waits = {name: header for name, fault in FAULTS.items() for header in fault.headers if "Retry" in header}
    assert waits == {"429-retry-after": "Retry-After: 0"}


@settings(max_examples=50)
@given(st.integers(0, 1 << 40), st.sampled_from([0.1, 0.5, 1.0]))
def test_a_random_plan_is_its_seed(seed: int, rate: float) -> None:
    """The same seed gives each request the same fault, in whatever order requests come; another seed another."""
    plan, again, other = (Plan.random(given, rate) for given in (seed, seed, seed + 1))
    numbers = list(range(1, 400))
    met = [plan.fault(number) for number in numbers]
    assert [again.fault(number) for number in reversed(numbers)] == met[::-1]
    assert [other.fault(number) for number in numbers] != met
    assert abs(sum(fault is not None for fault in met) / len(met) - rate) < 0.15


def test_a_listed_plan_is_its_text() -> None:
    """A list names requests, ``+`` means from there on, a slip is refused."""
    plan = Plan.of("3:502 4:stall 6+:empty")
    names = [fault and fault.name for fault in map(plan.fault, range(1, 9))]
    assert names == [None, None, "502", "stall", None, "empty", "empty", "empty"]
    assert str(plan) == "--plan '3:502 4:stall 6+:empty'"
    for slip in ("502", "0:502", "1:503", "x:502"):
        with pytest.raises(ValueError, match=slip.split(":")[-1]):
            Plan.of(slip)


def test_by_hand_it_says_where_it_is_and_logs_its_faults(target: Target) -> None:
    """The command of the module docstring prints a ready line, and with -v each injected fault on stderr."""
    flags = ["--target", target.url, "--seed", "7", "--rate", "1", "--kinds", "502,empty", "-v"]
    env = clean_environment({"PYTHONPATH": str(TESTS)})
    command = [sys.executable, "-m", "faults.proxy", *flags]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        ready = process.stdout.readline()
        assert ready.startswith("proxy ready at http://127.0.0.1:")
        client = http.client.HTTPConnection(ready.split("//")[1].strip(), timeout=20)
        codes = [ask(client)[0] for _ in range(6)]
        client.close()
        process.terminate()
        log = process.stderr.read().splitlines()
    plan = Plan.random(7, 1.0, ("502", "empty"))
    expected = [plan.fault(number) for number in range(1, 7)]
    assert codes == [fault.status for fault in expected if fault]
    assert log == [f"request {n} POST /api/query?x=%2F: {fault.name}" for n, fault in enumerate(expected, 1) if fault]


@pytest.fixture
def echo() -> Iterator[str]:
    """A WebSocket server that says everything back."""

    def handler(socket: ServerConnection) -> None:
        for message in socket:
            socket.send(message)

    server: Server
    with serve(handler, "127.0.0.1", 0, max_size=None, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


def test_a_websocket_passes_through(echo: str) -> None:
    """After the upgrade messages of any size pass both ways, until the client closes."""
    with (
        running_proxy(echo) as proxy,
        connect(proxy.url.replace("http", "ws"), max_size=None, compression=None) as talk,
    ):
        for message in ("hi", LARGE[:3_000_000]):
            talk.send(message)
            assert talk.recv(timeout=20) == message


@pytest.mark.parametrize(("fault", "through"), [("cut", 1), ("cut-late", 8)])
def test_a_websocket_is_cut(echo: str, fault: str, through: int) -> None:
    """The connection dies by RST after the first, or the eighth, piece that the target says."""
    got: list[object] = []

    def talk_on(url: str) -> None:
        with connect(url) as talk:
            while True:
                talk.send("hi")
                got.append(talk.recv(timeout=20))

    with running_proxy(echo, Plan.of(f"1:{fault}")) as proxy, pytest.raises((ConnectionClosed, ConnectionError)):
        talk_on(proxy.url.replace("http", "ws"))
    assert len(got) in (through - 1, through)  # an RST overtakes what was sent before it


@pytest.mark.parametrize("fault", ["reset-before", "reset-after", "503-WorkerOverloaded"])
def test_an_upgrade_can_fail(echo: str, fault: str) -> None:
    """Ordinary faults meet the handshake; the next one succeeds."""
    with running_proxy(echo, Plan.of(f"1:{fault}")) as proxy:
        url = proxy.url.replace("http", "ws")
        with pytest.raises(Exception, match=r"did not receive a valid|rejected|reset"):
            connect(url)
        with connect(url) as talk:
            talk.send("hi")
            assert talk.recv(timeout=20) == "hi"
