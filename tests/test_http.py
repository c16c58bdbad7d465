"""HTTP to a deployment that misbehaves: what is tried again, what never is, and what is said at the end."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import stamina
import urllib3

from sync_tool.commands.doctor import doctor
from sync_tool.commands.opening import connect
from sync_tool.deployment.catalog import read_catalog
from sync_tool.deployment.client import Client
from sync_tool.deployment.http import failure_of
from sync_tool.deployment.rates import Patience
from sync_tool.errors import FunctionFailed, Refused, Unreachable, UsageError

OK = (200, {"status": "success", "value": 7.0})
KEY = "prod:tall-forest-123|c2VjcmV0LXNlY3JldA=="


class Deployment(ThreadingHTTPServer):
    """Answers each request with the next answer of a script: status, body, headers, or a fault."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[Any] = []
        self.requests: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        """Address of the server."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Deployment

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"null"
        self.server.requests.append({"path": self.path, "headers": dict(self.headers), "body": json.loads(body)})
        step = self.server.script.pop(0)
        if step == "reset":
            self.close_connection = True
            self.connection.close()
            return
        status, content, *headers = step
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers[0] if headers else {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers[0] if headers else {}):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True

    do_GET = do_POST

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    """A scripted deployment; no test waits between attempts."""
    server = Deployment()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    with stamina.set_testing(True, attempts=4):
        yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(deployment: Deployment) -> Iterator[Client]:
    """A client of it with four attempts."""
    client = Client(deployment.url, KEY, Patience(attempts=4))
    yield client
    client.close()


PASSING = [
    (503, {"code": "ExpiredInQueue", "message": ""}),
    (429, {"code": "TooManyConcurrentRequests", "message": ""}),
    (408, b""),
    (500, {"code": "InternalServerError", "message": ""}),
    (502, b"<html>Bad gateway</html>"),
    (200, b"<html>captive portal</html>"),
    (200, b'{"status":"success","val'),
    (200, b""),
    (200, b'{"status":"success","value":7.0}', {"Content-Length": "99"}),
    "reset",
]


@pytest.mark.parametrize("fault", PASSING, ids=str)
def test_reading_is_tried_again(deployment: Deployment, client: Client, fault: Any) -> None:
    """A query gets its answer after any passing fault: status, cut body, foreign page, reset."""
    deployment.script = [fault, fault, OK]
    assert client.query_value("a:b", {}) == 7.0
    assert len(deployment.requests) == 3


@pytest.mark.parametrize("fault", PASSING, ids=str)
def test_a_fault_that_stays_is_unreachable(deployment: Deployment, client: Client, fault: Any) -> None:
    """After the last attempt the error is the one that means: run it again; it never shows the key."""
    deployment.script = [fault] * 4
    with pytest.raises(Unreachable) as caught:
        client.query_value("a:b", {})
    assert deployment.url in caught.value.message
    assert "c2Vjc" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    "fault",
    [
        (429, {"code": "TooManyWrites", "message": ""}),
        (503, {"code": "OptimisticConcurrencyControlFailure", "message": ""}),
        (503, {"code": "ExpiredInQueue", "message": ""}),
    ],
    ids=str,
)
def test_a_write_that_was_not_done_is_tried_again(deployment: Deployment, client: Client, fault: Any) -> None:
    """Answers that prove that nothing was committed are repeated."""
    deployment.script = [fault, OK]
    assert client.mutation_value("a:b", {}) == 7.0


@pytest.mark.parametrize(
    "fault",
    ["reset", (500, b"{}"), (502, b"x"), (408, b""), (503, {"code": "InternalServerError"}), (200, b"{"), (504, b"")],
    ids=str,
)
def test_a_write_that_may_have_been_done_is_not_repeated(deployment: Deployment, client: Client, fault: Any) -> None:
    """Anything ambiguous goes up at once: only the caller can find out whether it was committed."""
    deployment.script = [fault, OK]
    with pytest.raises(Unreachable):
        client.mutation_value("a:b", {})
    assert len(deployment.requests) == 1


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7.0), ("0", 0.0), ("999999", 120.0), ("soon", None), ("9" * 5000, None)]
)
def test_retry_after_is_honoured_within_reason(value: str, seconds: float | None) -> None:
    """The server's own wait is taken, at most two minutes; nonsense is ignored."""
    from urllib3 import HTTPHeaderDict

    from sync_tool.deployment.answers import retry_after

    assert retry_after(HTTPHeaderDict({"Retry-After": value})) == seconds


@pytest.mark.parametrize("status", [200, 403, 500])
def test_json_nested_without_end_is_no_traceback(deployment: Deployment, client: Client, status: int) -> None:
    """Neither an answer nor an error body can exhaust the stack."""
    deep = b"[" * 100_000 + b"]" * 100_000
    inner = b'{"status":"success","value":' + deep + b"}"
    for body in (deep, inner):
        deployment.script = [(status, body)] * 4
        with pytest.raises((Unreachable, Refused)):
            client.query_value("a:b", {})


@pytest.mark.parametrize("location", ["https://user:pa55@new.example/api?k=1", "https://new.example"])
def test_a_redirect_is_refused_with_where_it_goes(deployment: Deployment, client: Client, location: str) -> None:
    """The new host is named, nothing else of the address is, and the key is not sent there."""
    deployment.script = [(301, b"", {"Location": location})]
    with pytest.raises(Refused, match=r"https://new\.example"):
        client.query_value("a:b", {})
    deployment.script = [(302, b"", {"Location": "http://[::1"})]
    with pytest.raises(Refused, match="elsewhere"):
        client.query_value("a:b", {})


def test_a_right_that_is_missing_is_not_a_bad_key(deployment: Deployment, client: Client) -> None:
    """A catalog that the key may not see is None; a refused key stays an error; both say the code."""
    deployment.script = [(403, {"code": "OperationNotPermitted", "message": "no ViewData"})]
    assert read_catalog(client) is None
    deployment.script = [(403, {"code": "BadAdminKey", "message": ""})]
    with pytest.raises(Refused) as caught:
        read_catalog(client)
    assert caught.value.code == "BadAdminKey"


def test_doctor_looks_at_a_key_with_few_rights(deployment: Deployment) -> None:
    """A key that may do next to nothing gets a report, not an error: what it may not is marked as not there."""
    deployment.script = [(403, {"code": "OperationNotPermitted", "message": "no"})] * 20
    with connect(deployment.url, key="chat|c2Vjc") as history:
        report = doctor(history)
    verdicts = [finding.verdict for finding in report.findings]
    assert "warn" in verdicts
    assert "--" in verdicts
    assert any("may not" in finding.text for finding in report.findings)


def test_a_proxy_gets_its_login(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """User and password of the variable are sent, with or without a scheme in it; 407 says what to do."""
    host = deployment.url.removeprefix("http://")
    for proxy in (f"http://me:p%40ss@{host}", f"me:p%40ss@{host}"):
        monkeypatch.setenv("http_proxy", proxy)
        deployment.script = [OK, (407, b"")]
        client = Client("http://chat.invalid", KEY)
        assert client.query_value("a:b", {}) == 7.0
        assert deployment.requests[-1]["headers"]["proxy-authorization"] == "Basic bWU6cEBzcw=="
        with pytest.raises(Refused, match="proxy") as caught:
            client.query_value("a:b", {})
        assert "ss@" not in caught.value.message + caught.value.hint


def test_a_tunnel_without_login_is_refused(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS through a proxy that answers CONNECT with 407 says the same as plain HTTP."""
    monkeypatch.setattr(_Handler, "do_CONNECT", lambda self: self.send_error(407), raising=False)
    monkeypatch.setenv("https_proxy", deployment.url)
    with pytest.raises(Refused, match="proxy"):
        Client("https://chat.invalid", KEY).query_value("a:b", {})


def test_a_proxy_that_refuses_is_named_without_its_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its host and port are shown."""
    monkeypatch.setenv("http_proxy", "me:pa55@127.0.0.1:9")
    with stamina.set_testing(True, attempts=1), pytest.raises(Unreachable, match=r"127\.0\.0\.1:9") as caught:
        Client("http://chat.invalid", KEY).query_value("a:b", {})
    assert "pa55" not in caught.value.message


@pytest.mark.parametrize("proxy", ["socks5://me:pa55@h:1", "http://[::1", "http://h:99999", "http://"])
def test_a_proxy_that_cannot_be_used_is_said(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is named, the login is not shown."""
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(UsageError, match="HTTP_PROXY") as caught:
        Client("http://chat.invalid", KEY)
    assert "pa55" not in caught.value.message


def test_certificates_that_cannot_be_read_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable and the file are named, whether it is missing or something else."""
    (tmp_path / "text.pem").write_text("hello")
    for name in ("missing.pem", "text.pem"):
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / name))
        with pytest.raises(UsageError, match=f"SSL_CERT_FILE.*{name}"):
            Client("https://chat.invalid", KEY)


@pytest.mark.parametrize(
    "numbers",
    [
        {"concurrency": 0},
        {"attempts": 0},
        {"read": float("inf")},
        {"read": float("nan")},
        {"connect": 1e12},
        {"connect": 0},
        {"bytes_per_second": 0},
        {"bytes_per_second": float("nan")},
    ],
    ids=str,
)
def test_patience_that_cannot_work_is_refused(numbers: dict[str, Any]) -> None:
    """Nothing hangs or fails later for a number that was wrong from the start."""
    with pytest.raises(UsageError, match=r"must be"):
        Patience(**numbers)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_not_tried_again(deployment: Deployment, client: Client, status: int) -> None:
    """The error says what it may be and how to make a key, and never the key."""
    deployment.script = [(status, {"code": "BadAdminKey", "message": "The provided deploy key is invalid"})]
    with pytest.raises(Refused) as caught:
        client.query_value("a:b", {})
    assert len(deployment.requests) == 1
    assert "c2Vjc" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("status", [200, 560])
def test_a_function_that_fails_says_why(deployment: Deployment, client: Client, status: int) -> None:
    """The function's own words come through without request id and stack, ConvexError data as values."""
    failure = {
        "status": "error",
        "errorMessage": "[Request ID: 1a2b] Server Error\nUncaught ConvexError: no\n    at handler (x.ts:1:1)",
        "errorData": {"code": "bad_limit", "message": "limit must be 1 to 4096", "n": 5},
    }
    deployment.script = [(status, failure)]
    with pytest.raises(FunctionFailed) as caught:
        client.query_value("a:b", {})
    assert caught.value.message == "limit must be 1 to 4096"
    assert caught.value.code == "bad_limit"
    assert caught.value.data["n"] == 5.0


def test_the_request_is_what_convex_expects(deployment: Deployment, client: Client) -> None:
    """Authorization, client name, content type and encoded arguments are on the wire."""
    deployment.script = [OK]
    client.query_value("a:b", {"n": 5, "f": 5.0})
    (request,) = deployment.requests
    assert request["path"] == "/api/query"
    assert request["headers"]["Authorization"] == f"Convex {KEY}"
    assert request["headers"]["Convex-Client"].startswith("convex-msgs-")
    assert request["body"] == {
        "path": "a:b",
        "args": {"n": {"$integer": "BQAAAAAAAAA="}, "f": 5.0},
        "format": "convex_encoded_json",
    }


def test_an_answer_of_another_shape_is_no_traceback(deployment: Deployment, client: Client) -> None:
    """JSON that is not what a deployment sends ends in a clear error."""
    deployment.script = [(200, {"hello": "world"})]
    with pytest.raises(Unreachable):
        client.query_value("a:b", {})
    deployment.script = [(200, {"status": "success", "value": "text"})]
    with pytest.raises(Unreachable):
        client.query("a:b", {}, msgspec.json.Decoder(dict))


def test_nothing_listening_is_unreachable() -> None:
    """A closed port is said as such, with the URL."""
    with stamina.set_testing(True, attempts=2), pytest.raises(Unreachable):
        Client("http://127.0.0.1:9", KEY).query_value("a:b", {})


def test_a_proxy_is_used_and_excepted(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY takes requests to other hosts, NO_PROXY keeps them from it."""
    monkeypatch.setenv("http_proxy", deployment.url)
    monkeypatch.setenv("no_proxy", "direct.invalid")
    deployment.script = [OK]
    assert Client("http://chat.invalid", KEY).query_value("a:b", {}) == 7.0
    assert deployment.requests[0]["path"] == "http://chat.invalid/api/query"
    with stamina.set_testing(True, attempts=1), pytest.raises(Unreachable):
        Client("http://direct.invalid", KEY).query_value("a:b", {})


@pytest.mark.parametrize("status", [520, 524, 530, 599])
def test_a_status_that_no_backend_sends_is_passing(deployment: Deployment, client: Client, status: int) -> None:
    """A page of a content network in the place of an answer is retried for a read, and ambiguous for a write."""
    deployment.script = [(status, b"<html>Web server is down</html>"), OK]
    assert client.query_value("a:b", {}) == 7.0
    deployment.script = [(status, b"<html>"), OK]
    with pytest.raises(Unreachable):
        client.mutation_value("a:b", {})


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_without_words_of_the_backend_is_not_about_the_key(
    deployment: Deployment, client: Client, status: int
) -> None:
    """A firewall's page does not send the user to make another key."""
    deployment.script = [(status, b"<html>Blocked</html>")]
    with pytest.raises(Refused) as caught:
        client.query_value("a:b", {})
    assert "token create" not in caught.value.hint
    assert "firewall" in caught.value.hint


HTTPX: list[type[Exception]] = [
    httpx.ConnectTimeout, httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout, httpx.ConnectError,
    httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError, httpx.LocalProtocolError,
    httpx.ProxyError, httpx.DecodingError,
]  # fmt: skip
NEVER_SENT = (httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ConnectError, httpx.ProxyError)


@pytest.mark.parametrize("kind", HTTPX)
def test_one_table_translates_both_libraries(kind: type[Exception]) -> None:
    """Only failures before a request was sent let a write be repeated."""
    assert failure_of(kind("x")).sent is not issubclass(kind, NEVER_SENT)
    assert failure_of(TimeoutError()) == failure_of(urllib3.exceptions.ReadTimeoutError(Any, "", ""))  # type: ignore[arg-type]
    assert failure_of(urllib3.exceptions.ProtocolError("x")).words == failure_of(httpx.ReadError("x")).words
