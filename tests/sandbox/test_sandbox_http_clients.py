"""The official clients over HTTP."""

from __future__ import annotations

import json
import math
import subprocess
from typing import Any

import pytest
from convex.http_client import ConvexHttpClient

from convex import ConvexError, ConvexInt64

from .box import KEY, ROOT, Running


@pytest.fixture
def client(box: Running) -> ConvexHttpClient:
    """The Python client with the admin key."""
    client = ConvexHttpClient(box.url)
    client.set_admin_auth(KEY)
    return client


def test_python_round_trip(client: ConvexHttpClient) -> None:
    """Values of every type go through the Python client and back."""
    values = {"i": ConvexInt64(7), "b": b"x", "f": 5, "n": None, "t": True, "z": -0.0, "inf": math.inf, "l": [1.5]}
    row = {"sessionId": "py", "values": values}
    client.mutation("convexMsgs:append", {"batches": [{"sessionId": "py", "documents": [row]}]})
    page = client.query("convexMsgs:page", {"sessionId": "py", "limit": 5})
    got = page["rows"][0]["values"]
    assert (got["i"], got["b"], got["f"], got["n"], got["t"], got["inf"], got["l"]) == (
        7,
        b"x",
        5.0,
        None,
        True,
        math.inf,
        [1.5],
    )
    assert math.copysign(1, got["z"]) == -1


def test_python_errors(client: ConvexHttpClient, box: Running) -> None:
    """A ConvexError keeps its data; a missing function and a wrong key are plain exceptions."""
    with pytest.raises(ConvexError) as raised:
        client.query("convexMsgs:page", {"limit": 0})
    assert raised.value.data["code"] == "bad_limit"
    with pytest.raises(Exception, match="Could not find public function"):
        ConvexHttpClient(box.url).query("convexMsgs:info", {})
    client.set_admin_auth("wrong|key")
    with pytest.raises(Exception, match="401"):
        client.query("convexMsgs:info", {})


def javascript(box: Running, body: str) -> Any:
    """Run a script with an admin's ConvexHttpClient called `client`; return what it hands to `done`."""
    script = f"""
        import {{ ConvexHttpClient }} from "convex/browser";
        const options = {{ skipConvexDeploymentUrlCheck: true, logger: false }};
        const client = new ConvexHttpClient({json.dumps(box.url)}, options);
        client.setAdminAuth({json.dumps(KEY)});
        const bytes = (v) => v instanceof ArrayBuffer ? [...new Uint8Array(v)] : v;
        const show = (_, v) => typeof v === "bigint" ? `${{v}}n` : bytes(v);
        const done = (value) => console.log(JSON.stringify(value, show));
        {body}
    """
    command = ["node", "--input-type=module", "-e", script]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_javascript_round_trip(box: Running) -> None:
    """Values of every type go through the JavaScript client and back."""
    got = javascript(
        box,
        """
        const values = { i: 7n, b: new Uint8Array([1, 2]).buffer, f: 5, n: null, t: "é" };
        const documents = [{ sessionId: "js", values }];
        await client.mutation("convexMsgs:append", { batches: [{ sessionId: "js", documents }] });
        const page = await client.query("convexMsgs:page", { sessionId: "js", limit: 5 });
        done(page.rows[0].values);
        """,
    )
    assert got == {"i": "7n", "b": [1, 2], "f": 5, "n": None, "t": "é"}


def test_javascript_errors_and_functions(box: Running) -> None:
    """The JavaScript client gets ConvexErrors, calls functions of any kind, and reads at one timestamp."""
    got = javascript(
        box,
        """
        const error = await client.query("convexMsgs:page", { limit: 0 }).catch((e) => e);
        const any = await client.function("convexMsgs:info", undefined, {});
        const consistent = await client.consistentQuery("convexMsgs:info", {});
        client.setAdminAuth("wrong|key");
        const refused = await client.query("convexMsgs:info", {}).catch((e) => e.message);
        done({ name: error.name, code: error.data.code, any, consistent, refused: JSON.parse(refused).code });
        """,
    )
    info = {"name": "convex-msgs", "version": 1}
    assert got == {
        "name": "ConvexError",
        "code": "bad_limit",
        "any": info,
        "consistent": info,
        "refused": "BadAdminKey",
    }
