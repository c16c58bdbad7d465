"""Reads HTTP requests the way a deployment does, and spells its answers.

Source: get-convex/convex-backend, ``crates/common/src/http/{mod,extract}.rs``,
``crates/local_backend/src/public_api.rs``.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from starlette.requests import Request

from sync_tool.encoding.values import Json
from sync_tool.sandbox.calls import Outcome
from sync_tool.sandbox.clients import Client, parse_client
from sync_tool.sandbox.faults import NO_DATA, FunctionError, bad_request
from sync_tool.sandbox.keys import NO_TOKEN, Token, token_of_header, without_type
from sync_tool.sandbox.limits import MAX_REQUEST_BYTES
from sync_tool.sandbox.results import spell, to_json_bytes

JSON_TYPE: Final = "application/json"

T = TypeVar("T")


class RunBody(msgspec.Struct):
    """Body of ``/api/run/…``."""

    args: msgspec.Raw
    format: str | None = None


class CallBody(RunBody, kw_only=True):
    """Body of a function call."""

    path: str


class CallAtBody(CallBody, kw_only=True):
    """Body of ``/api/query_at_ts``."""

    ts: str


class BatchBody(msgspec.Struct):
    """Body of ``/api/query_batch``."""

    queries: list[CallBody]


class UrlForKeyBody(msgspec.Struct, rename="camel"):
    """Body of ``/api/deployment/url_for_key``."""

    deploy_key: str


def client_of(request: Request) -> Client:
    """Return which client is calling."""
    client = parse_client(request.headers.get("convex-client"))
    client.must_be_supported()
    return client


def token_of(request: Request) -> Token:
    """Return the key or token that a request shows."""
    header = request.headers.get("authorization")
    if header is not None:
        return token_of_header(header)
    key = request.query_params.get("adminKey")
    return NO_TOKEN if key is None else Token("admin", without_type(key))


async def read_body(request: Request, shape: type[T]) -> T:
    """Read a JSON body.

    Raises:
        ServerError: 400 `BadJsonBody`: no JSON content type, too long, no JSON, or not of this shape.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not (kind == JSON_TYPE or (kind.startswith("application/") and kind.endswith("+json"))):
        raise bad_request("BadJsonBody", "Expected request with `Content-Type: application/json`")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST_BYTES:
            raise bad_request("BadJsonBody", "Failed to buffer the request body: length limit exceeded")
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        text = f"Failed to deserialize the JSON body into the target type: {error}"
        raise bad_request("BadJsonBody", text) from None


def positional(args: msgspec.Raw) -> list[Json]:
    """Return the positional arguments: a list as it is, anything else as the only one.

    Raises:
        ServerError: 400 `BadJsonBody`.
    """
    try:
        json = msgspec.json.decode(args)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request("BadJsonBody", f"Failed to parse the request body as JSON: {error}") from None
    return json if isinstance(json, list) else [json]


def outcome_bytes(outcome: Outcome, format_name: str, module: str, *, redact: bool) -> bytes:
    """Spell what came of a call, as it stands in an HTTP body.

    Raises:
        ServerError: 400 `BadFormat`, found only now, after the function ran.
    """
    if outcome.failure is not None:
        return _failure_bytes(outcome.failure, outcome.log, format_name, module, redact=redact)
    log = b',"logLines":' + to_json_bytes(outcome.log) if outcome.log and not redact else b""
    return b'{"status":"success","value":' + spell(outcome.value, format_name) + log + b"}"


def _failure_bytes(failure: FunctionError, log: list[str], format_name: str, module: str, *, redact: bool) -> bytes:
    data = b"" if failure.data is NO_DATA else b',"errorData":' + spell(failure.data, format_name)
    text = to_json_bytes(failure.text(module, redact=redact))
    lines = b',"logLines":' + to_json_bytes(log) if log and not redact else b""
    return b'{"status":"error","errorMessage":' + text + data + lines + b"}"
