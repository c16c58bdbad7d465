"""The HTTP border: bodies, paths, keys, clients, formats, failures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .box import KEY, Running, Start


def failure(box: Running, path: str, body: Any, **options: Any) -> tuple[int, str]:
    answer = box.request("POST", path, body, **options)
    return answer.status, json.loads(answer.data)["code"]


CALL = {"path": "convexMsgs:info", "args": {}}


@pytest.mark.parametrize("kind", ["application/json", "application/JSON; charset=utf-8", "application/vnd.x+json"])
def test_json_content_types_are_taken(box: Running, kind: str) -> None:
    """Every JSON content type is accepted."""
    assert box.request("POST", "/api/query", CALL, headers={"Content-Type": kind}).status == 200


@pytest.mark.parametrize("kind", ["text/plain", "", "application/jsonp"])
def test_other_content_types_are_refused(box: Running, kind: str) -> None:
    """A body that does not say it is JSON is 400 BadJsonBody."""
    assert failure(box, "/api/query", CALL, headers={"Content-Type": kind}) == (400, "BadJsonBody")


@pytest.mark.parametrize(
    "body", [b"{", b'{"path":"a:b"}', b'{"args":{}}', b'{"path":1,"args":{}}', b'{"path":"a","args":{}}\xff', b"[]"]
)
def test_bad_bodies_are_refused(box: Running, body: bytes) -> None:
    """A body that is no JSON, or has the wrong shape, is 400 BadJsonBody."""
    assert failure(box, "/api/query", body) == (400, "BadJsonBody")


def test_largest_body(box: Running) -> None:
    """A body of 2^24 + 2000 bytes is read, one byte more is refused."""
    shell = len(json.dumps({**CALL, "pad": ""}))
    most = (1 << 24) + 2000
    assert box.request("POST", "/api/query", {**CALL, "pad": "x" * (most - shell)}).status == 200
    assert failure(box, "/api/query", {**CALL, "pad": "x" * (most - shell + 1)}) == (400, "BadJsonBody")


@pytest.mark.parametrize(
    "path", ["", ":f", "a:", "a b:c", "/a:b", "../a:b", "a//b:c", "a:1b", "a:b-c", "m.ts:f", "_:f", f"{'a' * 65}:f"]
)
def test_impossible_paths(box: Running, path: str) -> None:
    """A path that can name no function is 400 BadConvexFunctionIdentifier."""
    assert failure(box, "/api/query", {"path": path, "args": {}}) == (400, "BadConvexFunctionIdentifier")


@pytest.mark.parametrize("path", ["convexMsgs:info", "convexMsgs.js:info"])
@pytest.mark.parametrize("args", [{}, [{}]])
def test_spellings_of_a_call(box: Running, path: str, args: Any) -> None:
    """A path with and without .js, and arguments as object or as list, mean the same."""
    assert box.query(path, args)["name"] == "convex-msgs"


@pytest.mark.parametrize(
    ("kind", "path"),
    [("query", "convexMsgs:page"), ("mutation", "langchain/db:insert"), ("query", "_system/cli/tables")],
)
def test_internal_functions_are_missing_for_strangers(box: Running, kind: str, path: str) -> None:
    """Without a key an internal or system function looks exactly like a missing one, with HTTP 200."""
    answers = [box.call(kind, name, {}, key=None) for name in (path, "no/such:thing")]
    texts = [answer["errorMessage"].partition("\n")[2] for answer in answers]
    assert [answer["status"] for answer in answers] == ["error", "error"]
    assert texts == [f"Could not find public function for '{name}'.\n" for name in (path, "no/such:thing")]


def test_wrong_kind_of_function(box: Running) -> None:
    """A mutation called as a query is a function error that names both kinds."""
    answer = box.call("query", "convexMsgs:append", {"batches": []})
    assert "Trying to execute convexMsgs.js:append as Query, but it is defined as Mutation." in answer["errorMessage"]


@pytest.mark.parametrize(
    ("args", "gist"),
    [
        ([], "received 0 arguments"),
        ([{}, {}], "received 2 arguments"),
        ([5], "Expected to receive an object"),
        ({"limit": "5"}, 'Value does not match validator.\nPath: .limit\nValue: "5"\nValidator: v.float64()'),
        ({}, "Object is missing the required field `limit`."),
        ({"limit": 1, "x": 1}, "Object contains extra field `x` that is not in the validator."),
        ({"limit": 1, "order": "up"}, "Value does not match validator.\nPath: .order"),
    ],
)
def test_arguments_are_validated(box: Running, args: Any, gist: str) -> None:
    """Arguments that do not match are a function error in the backend's words."""
    text = box.call("query", "convexMsgs:page", args)["errorMessage"]
    assert "ArgumentValidationError: " in text
    assert gist in text


@pytest.mark.parametrize(
    ("value", "gist"),
    [
        ({"$x": 1, "y": 2}, "starts with '$'"),
        ({"$x": 1}, "starts with '$'"),
        ({"é": 1}, "invalid character"),
        ({"a\n": 1}, "invalid character"),
        ({"a" * 1025: 1}, "too long"),
        ({"$float": "AAAAAAAA8D8="}, "should be encoded as a number"),
        ({"$integer": "AAAA"}, "8 bytes"),
        ([0] * 8193, "Array length is too long"),
        ({f"f{number}": 0 for number in range(1025)}, "too many fields"),
        (10**400, "Arbitrary precision"),
    ],
)
def test_values_convex_has_none_of(box: Running, value: Any, gist: str) -> None:
    """Arguments that are JSON but no Convex value are a function error."""
    text = box.call("query", "convexMsgs:sessions", {"limit": 1, "after": value})["errorMessage"]
    assert "Invalid arguments for convexMsgs.js:sessions: " in text
    assert gist in text


def test_nesting_of_arguments(box: Running) -> None:
    """Arguments may be 64 levels deep and no deeper."""

    def nested(depth: int) -> Any:
        value: Any = 0
        for _ in range(depth):
            value = [value]
        return {"limit": 1, "after": value}

    assert box.call("query", "convexMsgs:sessions", nested(63))["status"] == "success"
    assert "too nested" in box.call("query", "convexMsgs:sessions", nested(64))["errorMessage"]


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        ("Convex", 400, "InvalidHeaderFailure"),
        ("Basic abcdef", 400, "InvalidAdminKey"),
        ("Convex wrong|key", 401, "BadAdminKey"),
        ("Bearer a.b.c", 401, "NoAuthProvider"),
        (f"Convex {KEY}:%%%", 400, "HeaderParseFailure"),
    ],
)
def test_bad_keys(box: Running, header: str, status: int, code: str) -> None:
    """Each way of showing a bad key has the backend's status and code."""
    assert failure(box, "/api/query", CALL, key=None, headers={"Authorization": header}) == (status, code)


@pytest.mark.parametrize("header", [f"convex {KEY}", f"CONVEX {KEY}", f"Convex prod:{KEY}", f"Convex {KEY}:e30="])
def test_good_keys(box: Running, header: str) -> None:
    """The scheme in any case, a type before the key and a user behind it are all taken."""
    assert box.request("POST", "/api/query", CALL, key=None, headers={"Authorization": header}).status == 200


def test_key_in_the_query_string(box: Running) -> None:
    """Without a header the key may stand in the address."""
    answer = box.request("GET", f"/api/check_admin_key?adminKey={KEY}", key=None)
    assert json.loads(answer.data) == {"success": True, "allowedOps": [], "isReadOnly": False}


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/check_admin_key"), ("GET", "/api/v1/deployment_info")])
def test_admin_only(box: Running, method: str, path: str) -> None:
    """Requests for admins are 403 BadDeployKey for everybody else."""
    answer = box.request(method, path, key=None)
    assert (answer.status, json.loads(answer.data)["code"]) == (403, "BadDeployKey")


def test_function_endpoint(box: Running) -> None:
    """/api/function runs any kind of function, needs an admin, and knows no system functions."""
    assert box.call("function", "convexMsgs:info", {})["value"]["version"] == 1.0
    assert box.call("function", "convexMsgs:append", {"batches": []})["value"] == {"results": []}
    assert failure(box, "/api/function", CALL, key=None) == (403, "BadDeployKey")
    assert "Could not find function for 'nope'" in box.call("function", "nope", {})["errorMessage"]
    assert box.call("function", "_system/cli/tables", {})["status"] == "error"


def test_run_endpoint(box: Running) -> None:
    """/api/run takes the path from the address, decodes it, and answers in the plain format."""
    answer = json.loads(box.request("POST", "/api/run/langchain/db/get", {"args": {"id": "x"}}).data)
    assert answer == {"status": "success", "value": None}
    assert box.request("POST", "/api/run/convex%4Dsgs/info", {"args": {}}).status == 200
    assert failure(box, "/api/run/info", {"args": {}}) == (400, "MissingIdentifier")


def test_unknown_route(box: Running) -> None:
    """An endpoint that the sandbox does not have ends a client at once with 400; other addresses are 404."""
    for method, path in (("GET", "/api/stream_function_logs"), ("POST", "/api/v1/nope")):
        answer = box.request(method, path)
        assert (answer.status, json.loads(answer.data)["code"]) == (400, "NotInSandbox")
    assert box.request("GET", "/nope").status == 404
    assert box.request("GET", "/api/query").status == 405


def test_every_second_mutation_loses_a_conflict(starting: Start) -> None:
    """With --conflicts 2 each second mutation is a 503 that commits nothing."""
    box = starting("--conflicts", "2")
    body = {"path": "convexMsgs:append", "args": {"batches": [{"sessionId": "s", "documents": [{"sessionId": "s"}]}]}}
    statuses = [box.request("POST", "/api/mutation", body).status for _ in range(4)]
    assert statuses == [200, 503, 200, 503]
    assert len(box.page(sessionId="s")["rows"]) == 2


def test_format_is_checked_after_the_function_ran(box: Running) -> None:
    """A mutation with a bad format commits and then answers 400 BadFormat."""
    batch = {"sessionId": "bad format", "documents": [{"sessionId": "bad format"}]}
    body = {"path": "convexMsgs:append", "args": {"batches": [batch]}, "format": "xml"}
    assert failure(box, "/api/mutation", body) == (400, "BadFormat")
    assert len(box.page(sessionId="bad format")["rows"]) == 1


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (None, "7"),
        ("npm-1.48.0", "7"),
        ("python-0.8.1", "7"),
        ("npm-1.4.0", {"$integer": "BwAAAAAAAAA="}),
        ("python-0.4.0", {"$integer": "BwAAAAAAAAA="}),
        ("my-own-client-0.0.1", "7"),
        ("curl-unknown", "7"),
    ],
)
def test_default_format(box: Running, client: str | None, expected: Any) -> None:
    """Without a format the answer is plain, but for clients too old to ask."""
    args = {
        "limit": 1,
        "after": {"$integer": "BwAAAAAAAAA="},
        "table": "empty",
        "index": "by_id",
        "sessionField": "_id",
    }
    headers = {} if client is None else {"Convex-Client": client}
    answer = box.request("POST", "/api/query", {"path": "convexMsgs:sessions", "args": args}, headers=headers)
    assert json.loads(answer.data)["value"]["cursor"] == {"sessionId": expected}


@pytest.mark.parametrize(
    ("client", "code"), [("nodash", "InvalidClientVersion"), ("npm-0.19.1", "ClientVersionUnsupported")]
)
def test_refused_clients(box: Running, client: str, code: str) -> None:
    """A client without a version, or one too old, is refused."""
    assert failure(box, "/api/query", CALL, headers={"Convex-Client": client}) == (400, code)


def test_deprecated_client_is_warned(box: Running) -> None:
    """An old client gets its answer and a warning in two headers."""
    answer = box.request("POST", "/api/query", CALL, headers={"Convex-Client": "python-0.1.0"})
    assert answer.status == 200
    assert answer.headers["x-convex-deprecation-state"] == "UpgradeRequired"
    assert "0.1.0" in answer.headers["x-convex-deprecation-message"]


def test_browsers_may_call(box: Running) -> None:
    """A browser's preflight is answered with its own origin and headers."""
    asked = {
        "Origin": "https://app.test",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-a",
    }
    answer = box.request("OPTIONS", "/api/query", headers=asked)
    assert answer.headers["access-control-allow-origin"] == "https://app.test"
    assert answer.headers["access-control-allow-headers"] == "x-a"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-max-age"] == "86400"


def test_errors_of_functions(box: Running) -> None:
    """A ConvexError is HTTP 200 with its data, a request id, and where it was thrown."""
    answer = box.call("query", "convexMsgs:page", {"limit": 0})
    assert answer["status"] == "error"
    assert answer["errorMessage"].startswith("[Request ID: ")
    assert 'Server Error\nUncaught ConvexError: {"code":"bad_limit",' in answer["errorMessage"]
    assert "    at handler (../convex/convexMsgs.ts)\n" in answer["errorMessage"]
    assert answer["errorData"]["limit"] == 0.0


def test_numbers_keep_their_point(box: Running) -> None:
    """Integral floats are written with a point, without which the Python client fails."""
    answer = box.request("POST", "/api/query", {**CALL, "format": "json"})
    assert answer.data == b'{"status":"success","value":{"name":"convex-msgs","version":1.0}}'


def test_plain_endpoints(box: Running) -> None:
    """Name, versions and greeting are plain text for anybody."""
    answers = {
        path: box.request("GET", path, key=None) for path in ("/", "/version", "/instance_name", "/instance_version")
    }
    assert {answer.status for answer in answers.values()} == {200}
    assert answers["/instance_name"].data == b"sandbox"


def test_url_for_key(box: Running) -> None:
    """The provisioning host's call tells where a deploy key belongs, and refuses other keys."""
    answer = box.request("POST", "/api/deployment/url_for_key", {"deployKey": f"prod:{KEY}"}, key=None)
    assert json.loads(answer.data) == box.url
    assert failure(box, "/api/deployment/url_for_key", {"deployKey": "x|y"}) == (401, "BadAdminKey")


def test_a_deployment_in_production(starting: Start) -> None:
    """A production deployment reports its type, hides messages but not data, and refuses streaming export if asked."""
    key = "prod:happy-otter-1|c2VjcmV0"
    box = starting("--type", "prod", "--name", "happy-otter-1", "--no-streaming", env={"CONVEX_MSGS_SANDBOX_KEY": key})
    box.key = key
    answer = box.call("query", "convexMsgs:page", {"limit": 0})
    assert answer["errorMessage"].endswith("] Server Error")
    assert answer["errorData"]["code"] == "bad_limit"
    missing = box.call("query", "convexMsgs:nope", {})
    assert missing["errorMessage"].endswith("] Server Error")
    info = json.loads(box.request("GET", "/api/v1/deployment_info").data)
    assert (info["kind"], info["deploymentType"]) == ("cloud", "prod")
    streaming = box.request("GET", "/api/test_streaming_export_connection")
    assert (streaming.status, json.loads(streaming.data)["code"]) == (403, "StreamingExportNotEnabled")


def test_streaming_allowed(box: Running) -> None:
    """With the right to stream the test of it answers null."""
    assert box.request("GET", "/api/test_streaming_export_connection").data == b"null"
    assert box.request("GET", "/api/test_streaming_export_connection", key=None).status == 403


def test_without_functions(starting: Start) -> None:
    """Nothing is deployed with --no-functions, but the system's own functions answer."""
    box = starting("--no-functions")
    assert "Could not find public function" in box.call("query", "convexMsgs:info", {})["errorMessage"]
    assert box.query("_system/cli/modules:apiSpec", {}) == []
    assert box.query("_system/cli/tableSize", {"tableName": "messages"}) == 0.0
