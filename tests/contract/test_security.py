"""Only an admin key may call. A public bulk read would hand everybody's chats to anyone."""

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

import pytest

from sync_tool.deployment.client import Client
from sync_tool.errors import Refused

from .backends import STRANGER, Backend, Can
from .table import Table

SESSION: Final = f"contract security {uuid4().hex}"
KEYED: Final = {"table": "messages", "index": "bySessionId", "keyField": "sessionId", "key": SESSION}
DOCUMENT: Final = {"sessionId": SESSION, "message": {"type": "human", "data": {"content": "not let in"}}}
FUNCTIONS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "convexMsgs:info": ("query", {}),
    "convexMsgs:page": ("query", {"limit": 1.0}),
    "convexMsgs:recent": ("query", {"limit": 1.0}),
    "convexMsgs:sessions": ("query", {"limit": 1.0}),
    "convexMsgs:bounds": ("query", {"n": 1.0}),
    "convexMsgs:count": ("query", {}),
    "convexMsgs:append": ("mutation", {"batches": [{"sessionId": SESSION, "documents": [DOCUMENT]}]}),
    "convexMsgs:erase": ("mutation", {"sessionId": SESSION, "limit": 1.0}),
    "langchain/db:get": ("query", {"id": "j57000820c20a1g7104gm2rc1n8jsdxb"}),
    "langchain/db:lookup": ("query", KEYED),
    "langchain/db:insert": ("mutation", {"table": "messages", "document": DOCUMENT}),
    "langchain/db:upsert": ("mutation", {**KEYED, "document": DOCUMENT}),
    "langchain/db:deleteMany": ("mutation", KEYED),
}
"""Every function of both modules, with arguments that it would accept."""


def body_of(path: str) -> dict[str, Any]:
    """Return the request that calls a function."""
    return {"path": path, "args": FUNCTIONS[path][1], "format": "convex_encoded_json"}


@pytest.fixture
def wrong_key(backend: Backend) -> str:
    """A key that looks like the right one."""
    name, _, secret = backend.key.partition("|")
    return f"{name}|{'0' * len(secret)}"


@pytest.mark.parametrize("path", FUNCTIONS)
def test_the_key_opens_every_function(backend: Backend, path: str) -> None:
    """With the admin key each of these calls runs: what the other tests see refused is refused for want of it."""
    status, answer = backend.as_admin(f"/api/{FUNCTIONS[path][0]}", body_of(path))
    assert (status, answer["status"]) == (200, "success")
    backend.as_admin("/api/mutation", body_of("langchain/db:deleteMany"))


@pytest.mark.parametrize("path", FUNCTIONS)
def test_without_a_key_a_function_is_not_there(backend: Backend, path: str) -> None:
    """Without a key every function is refused just as one that does not exist."""
    kind, _ = FUNCTIONS[path]
    status, answer = backend.post(f"/api/{kind}", body_of(path))
    assert (status, answer["status"]) == (200, "error")
    assert not answer.keys() & {"value", "errorData"}
    nothing = {"path": "convexMsgs:nothing", "args": {}, "format": "convex_encoded_json"}
    _, missing = backend.post(f"/api/{kind}", nothing)
    assert shape(missing["errorMessage"], "convexMsgs:nothing") == shape(answer["errorMessage"], path)


def shape(message: str, path: str) -> str:
    """Return an error without its request id and the name of the function."""
    return message.partition("]")[2].replace(path, "…")


@pytest.mark.parametrize("path", FUNCTIONS)
def test_a_wrong_key_is_refused(backend: Backend, wrong_key: str, path: str) -> None:
    """A wrong key is turned away before anything runs."""
    for endpoint in (FUNCTIONS[path][0], "function"):
        status, answer = backend.post(f"/api/{endpoint}", body_of(path), authorization=f"Convex {wrong_key}")
        assert status in (401, 403)
        assert answer["code"]
        assert "value" not in answer


@pytest.mark.parametrize("path", FUNCTIONS)
def test_a_user_is_refused(backend: Backend, path: str) -> None:
    """The token of somebody who uses the app opens nothing."""
    status, answer = backend.post(f"/api/{FUNCTIONS[path][0]}", body_of(path), authorization=STRANGER)
    assert status in (401, 403) or (status, answer["status"]) == (200, "error")
    assert "value" not in answer


@pytest.mark.parametrize("authorization", ["Convex ", "Convex x", "convex |", "Basic dTpw", "Convex null"])
def test_odd_credentials_are_refused(backend: Backend, authorization: str) -> None:
    """Half a credential or one of another kind is an error of its own, and opens nothing."""
    status, answer = backend.post("/api/query", body_of("convexMsgs:page"), authorization=authorization)
    assert status in (400, 401, 403)
    assert answer["code"]


@pytest.mark.parametrize("authorization", [None, STRANGER])
def test_any_kind_of_function_needs_the_key(backend: Backend, authorization: str | None) -> None:
    """`/api/function`, which calls functions of any kind, wants an admin key for all of them."""
    status, answer = backend.post("/api/function", body_of("convexMsgs:info"), authorization=authorization)
    assert status in (401, 403)
    assert answer["code"]
    assert backend.as_admin("/api/function", body_of("convexMsgs:info"))[1]["status"] == "success"


def test_refused_writing_writes_nothing(table: Table, wrong_key: str) -> None:
    """After calls without key, with a wrong one and with a user's token the data is as it was."""
    session = table.session()
    ids = table.append(session, ["1", "2"])
    insert = {"table": "messages", "document": table.message(session, "3")}
    calls = {
        "convexMsgs:append": {"batches": [table.batch(session, ["3"])]},
        "convexMsgs:erase": {"sessionId": session, "limit": 5.0},
        "langchain/db:insert": insert,
        "langchain/db:deleteMany": {**KEYED, "key": session},
    }
    for authorization in (None, f"Convex {wrong_key}", STRANGER):
        for path, args in calls.items():
            table.backend.post("/api/mutation", {"path": path, "args": args}, authorization=authorization)
    assert table.ids(session) == ids


def test_the_client_tells_a_wrong_key(backend: Backend, wrong_key: str) -> None:
    """The tool's own client turns the refusal into its error for it, at the first attempt."""
    client = Client(backend.url, wrong_key)
    with pytest.raises(Refused) as caught:
        client.query_value("convexMsgs:info", {})
    client.close()
    assert wrong_key not in caught.value.message


@pytest.mark.needs(Can.API_SPEC)
def test_all_that_is_deployed_is_internal(backend: Backend) -> None:
    """The deployment itself says that both modules hold these functions, all of them internal."""
    spec = backend.client.query_value("_system/cli/modules:apiSpec", {})
    found = {
        function["identifier"].replace(".js:", ":"): function["visibility"]["kind"]
        for function in spec
        if function.get("identifier", "").startswith(("convexMsgs.js:", "langchain/db.js:"))
    }
    assert found == dict.fromkeys(FUNCTIONS, "internal")
