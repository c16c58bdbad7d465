"""Answers byte by byte: what a client in any language sees of success, refusal and error."""

from __future__ import annotations

import re
from typing import Any

import pytest
import urllib3

from sync_tool.encoding.values import encode

from .backends import Backend
from .table import Table

ENCODED = "convex_encoded_json"
SERVER_ERROR = re.compile(r"\[Request ID: [0-9a-zA-Z]+\] Server Error")


def query(backend: Backend, function: str, args: Any, **more: Any) -> tuple[int, Any]:
    """Call a query with the admin key."""
    return backend.as_admin("/api/query", {"path": f"convexMsgs:{function}", "args": args, "format": ENCODED, **more})


def test_success(backend: Backend) -> None:
    """A result comes as `{status, value}` with status 200."""
    status, answer = query(backend, "info", {})
    assert status == 200
    answer.pop("logLines", None)
    assert answer == {"status": "success", "value": {"name": "convex-msgs", "version": 1.0}}


def test_arguments_may_be_a_list_of_one(backend: Backend) -> None:
    """Arguments are an object, or as the JavaScript client sends them a list of one."""
    assert query(backend, "info", [{}])[1]["status"] == "success"


@pytest.mark.parametrize("args", [[], [{}, {}], None, [None], "text", 1.0, [[]], {"x": {"$what": "AA=="}}])
def test_other_arguments_are_plain_errors(backend: Backend, args: Any) -> None:
    """Anything but one object of Convex values is an error of the function, not of the request."""
    assert_plain_failure(query(backend, "info", args))


@pytest.mark.parametrize("limit", [1, 1.0])
def test_bare_numbers_are_floats(backend: Backend, limit: float) -> None:
    """A number in arguments is a float64 in any notation."""
    assert query(backend, "page", {"limit": limit})[1]["status"] == "success"


def test_an_int64_is_no_number(backend: Backend) -> None:
    """Limits and times are float64; an int64 is refused by the argument's validator."""
    assert_plain_failure(query(backend, "page", {"limit": encode(1)}))
    place = {"sessionId": "s", "creationTime": encode(1), "id": ""}
    assert_plain_failure(query(backend, "page", {"limit": 1.0, "after": place}))


def assert_plain_failure(given: tuple[int, Any]) -> None:
    """Check that a function failed with something else than a ConvexError."""
    status, answer = given
    assert (status, answer["status"]) == (200, "error")
    assert SERVER_ERROR.match(answer["errorMessage"])
    assert not answer.keys() & {"errorData", "value"}


def test_a_refusal_is_a_convex_error(backend: Backend) -> None:
    """A refusal has status 200, a message with a request id, and the error's data with code and message."""
    status, answer = query(backend, "page", {"limit": 0.0})
    assert (status, answer["status"]) == (200, "error")
    assert SERVER_ERROR.match(answer["errorMessage"])
    assert "value" not in answer
    assert answer["errorData"]["code"] == "bad_limit"
    assert isinstance(answer["errorData"]["message"], str)


@pytest.mark.parametrize(
    ("function", "args"),
    [
        ("page", {}),
        ("page", {"limit": None}),
        ("page", {"limit": 1.0, "order": "up"}),
        ("page", {"limit": 1.0, "after": {"creationTime": 1.0}}),
        ("page", {"limit": 1.0, "after": {"creationTime": 1.0, "id": "", "more": 1.0}}),
        ("page", {"limit": 1.0, "after": "cursor"}),
        ("page", {"limit": 1.0, "maxBytes": None}),
        ("page", {"limit": 1.0, "table": 1.0}),
        ("recent", {"limit": 1.0, "until": {"creationTime": "1", "id": ""}}),
        ("sessions", {"limit": 1.0, "times": 1.0}),
        ("sessions", {"limit": 1.0, "afterMissing": "yes"}),
        ("bounds", {}),
        ("count", {"order": "asc"}),
        ("info", {"table": "messages"}),
        ("nothing", {}),
    ],
)
def test_bad_arguments_are_plain_errors(backend: Backend, function: str, args: dict[str, Any]) -> None:
    """Missing, unknown and ill-typed arguments fail in the validator, not as one of our refusals."""
    assert_plain_failure(query(backend, function, args))


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"batches": {}},
        {"batches": [{"sessionId": "s"}]},
        {"batches": [{"sessionId": "s", "documents": {}}]},
        {"batches": [{"sessionId": "s", "documents": [], "expectLastID": None}]},
    ],
)
def test_bad_batches_are_plain_errors(backend: Backend, args: dict[str, Any]) -> None:
    """The same for mutations: a misspelled expectation is an error, not an append without check."""
    assert_plain_failure(backend.as_admin("/api/mutation", {"path": "convexMsgs:append", "args": args}))


def test_queries_and_mutations_are_not_mixed_up(backend: Backend) -> None:
    """A query cannot be called as a mutation, nor a mutation as a query."""
    erase = {"sessionId": "contract nobody", "limit": 1.0}
    assert_plain_failure(query(backend, "erase", erase))
    assert_plain_failure(backend.as_admin("/api/mutation", {"path": "convexMsgs:info", "args": {}}))


def test_results_without_a_format_are_readable(table: Table) -> None:
    """Without `format` int64 and bytes become texts; arguments are understood the same."""
    session = table.session()
    values = [encode(7), encode(b"abc"), encode(float("nan")), 2.5, 3, None]
    batch = {"sessionId": session, "documents": [table.message(session, values)]}
    append = {"path": "convexMsgs:append", "args": {"batches": [batch]}}
    assert table.backend.as_admin("/api/mutation", append)[1]["status"] == "success"
    page = {"path": "convexMsgs:page", "args": {"sessionId": session, "limit": 1}}
    _, answer = table.backend.as_admin("/api/query", page)
    assert answer["value"]["rows"][0]["message"]["data"]["content"] == ["7", "YWJj", "NaN", 2.5, 3.0, None]


def test_floats_are_spelled_as_floats(table: Table) -> None:
    """Numbers in answers have a point or an exponent: the official Python client takes no others."""
    session = table.session()
    table.append_batches({"sessionId": session, "documents": [table.message(session, [5.0, 1e16, 0.5])]})
    body = b'{"path":"convexMsgs:page","format":"convex_encoded_json","args":{"limit":1,"sessionId":"%s"}}'
    headers = {"Authorization": f"Convex {table.backend.key}", "Content-Type": "application/json"}
    with urllib3.PoolManager() as http:
        url = f"{table.backend.url}/api/query"
        answer = http.request("POST", url, body=body % session.encode(), headers=headers)
    assert b"[5.0,1e16,0.5]" in answer.data
    assert re.search(rb'"_creationTime":\d+\.\d+', answer.data)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b'{"args":{}}', b'{"path":"a:b"}'])
def test_a_body_that_is_no_call(backend: Backend, body: bytes) -> None:
    """A body that is no JSON object with path and args is refused with a code, not with a crash."""
    status, answer = backend.as_admin("/api/query", body)
    assert status == 400
    assert answer["code"]


def test_only_json_is_understood(backend: Backend) -> None:
    """Another content type is refused."""
    call = {"path": "convexMsgs:info", "args": {}}
    key = f"Convex {backend.key}"
    status, answer = backend.post("/api/query", call, authorization=key, content_type="text/plain")
    assert (status, answer["code"]) == (400, "BadJsonBody")


@pytest.mark.parametrize(
    "path", ["", ":", "convexMsgs:", "a b:c", "../convexMsgs:info", "convexMsgs:in-fo", "/x:y", "convexMsgs.ts:info"]
)
def test_a_path_that_is_none(backend: Backend, path: str) -> None:
    """A text that cannot be the path of a function is refused with its own code."""
    status, answer = backend.as_admin("/api/query", {"path": path, "args": {}})
    assert (status, answer["code"]) == (400, "BadConvexFunctionIdentifier")


def test_a_path_may_name_the_file(backend: Backend) -> None:
    """`convexMsgs.js:info` is the same function."""
    status, answer = backend.as_admin("/api/query", {"path": "convexMsgs.js:info", "args": {}})
    assert (status, answer["status"]) == (200, "success")


def test_an_unknown_format_is_noticed_too_late(table: Table) -> None:
    """A mutation with a format nobody knows has written when it is refused, so callers must not repeat it."""
    session = table.session()
    args = {"batches": [table.batch(session, ["1"])]}
    body = {"path": "convexMsgs:append", "args": args, "format": "xml"}
    status, answer = table.backend.as_admin("/api/mutation", body)
    assert (status, answer["code"]) == (400, "BadFormat")
    assert len(table.stored(session)) == 1
