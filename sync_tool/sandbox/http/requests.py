"""Requests and answers in the form of a deployment.

Source: get-convex/convex-backend, ``crates/common/src/http/{mod,extract}.rs``,
``crates/local_backend/src/public_api.rs``.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from sync_tool.encoding.values import Json
from sync_tool.sandbox.faults import NO_DATA, FunctionError, ServerError, bad_request, internal_error
from sync_tool.sandbox.functions.calls import Outcome
from sync_tool.sandbox.functions.results import CLEAN, ENCODED, encode_result, to_json_bytes
from sync_tool.sandbox.keys import NO_TOKEN, Token, token_of_header, without_type
from sync_tool.sandbox.limits import MAX_REQUEST_BYTES

# The ``Convex-Client`` header: name and version of the client. Source: get-convex/convex-backend,
# ``crates/common/src/version.rs``, ``crates/common/deprecation.json``.

Version = tuple[int, int, int]

_SEMVER: Final = re.compile(r"(.+?)-(\d+)\.(\d+)\.(\d+)(?:[-+].*)?")
_NEWEST: Final = (1 << 30, 0, 0)
_NPM: Final = ("npm", "npm-cli", "actions")

_UNSUPPORTED: Final[dict[str, Version]] = {
    **dict.fromkeys(_NPM, (0, 19, 1)),
    "python": (0, 0, 2),
    "rust": (0, 0, 1),
}
_DEPRECATED: Final[dict[str, Version]] = {**_UNSUPPORTED, "python": (0, 2, 0)}
_CLEAN_SINCE: Final[dict[str, Version]] = {**dict.fromkeys(_NPM, (1, 4, 1)), "python": (0, 5, 0)}


class Client(NamedTuple):
    """Calling program."""

    name: str
    version: Version
    text: str

    @property
    def default_format(self) -> str:
        """Format of answers if the request names none; very old clients expect the encoded one."""
        return CLEAN if self.version >= _CLEAN_SINCE.get(self.name, (0, 0, 0)) else ENCODED

    @property
    def warning(self) -> tuple[str, str] | None:
        """State and text for the deprecation headers, or None."""
        if self.version <= _UNSUPPORTED.get(self.name, (-1, 0, 0)):
            return (
                "Unsupported",
                f"The Convex {self.name} package at version {self.text} is no longer supported.",
            )
        if self.version <= _DEPRECATED.get(self.name, (-1, 0, 0)):
            text = f"The Convex {self.name} package at {self.text} is deprecated"
            return "UpgradeRequired", f"{text} and will no longer be supported soon."
        return None

    def must_be_supported(self) -> None:
        """Raise ServerError 400 for a client that is too old."""
        warning = self.warning
        if warning is not None and warning[0] == "Unsupported":
            raise bad_request("ClientVersionUnsupported", warning[1])


UNKNOWN: Final = Client("unknown", _NEWEST, "unknown")


def parse_client(header: str | None) -> Client:
    """Parse the header; it may be absent."""
    if header is None:
        return UNKNOWN
    match = _SEMVER.fullmatch(header)
    if match is None:
        name, dash, version = header.partition("-")
        if not dash:
            raise ServerError(400, "InvalidClientVersion", f"Failed to parse client version string: '{header}'.")
        return Client(_canonical(name), _NEWEST, version)
    name, major, minor, patch = match.groups()
    version = header[len(name) + 1 :]
    return Client(_canonical(name), (int(major), int(minor), int(patch)), version)


def _canonical(name: str) -> str:
    lowered = name.lower()
    return "python" if lowered == "python-convex" else lowered


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
    """Return the calling program."""
    client = parse_client(request.headers.get("convex-client"))
    client.must_be_supported()
    return client


def token_of(request: Request) -> Token:
    """Return the key or token of a request."""
    header = request.headers.get("authorization")
    if header is not None:
        return token_of_header(header)
    key = request.query_params.get("adminKey")
    return NO_TOKEN if key is None else Token("admin", without_type(key))


async def read_body(request: Request, shape: type[T]) -> T:
    """Read a JSON body of this shape, or raise ServerError 400."""
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
    """Return the positional arguments: a list as it is, any other value as the only one."""
    try:
        json = msgspec.json.decode(args)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request("BadJsonBody", f"Failed to parse the request body as JSON: {error}") from None
    return json if isinstance(json, list) else [json]


def outcome_bytes(outcome: Outcome, format_name: str, module: str, *, redact: bool) -> bytes:
    """Return the HTTP body for the outcome of a call; a bad format is found only now, after the function ran."""
    if outcome.failure is not None:
        return _failure_bytes(outcome.failure, outcome.log, format_name, module, redact=redact)
    log = b',"logLines":' + to_json_bytes(outcome.log) if outcome.log and not redact else b""
    return b'{"status":"success","value":' + encode_result(outcome.value, format_name) + log + b"}"


def _failure_bytes(failure: FunctionError, log: list[str], format_name: str, module: str, *, redact: bool) -> bytes:
    data = b"" if failure.data is NO_DATA else b',"errorData":' + encode_result(failure.data, format_name)
    text = to_json_bytes(failure.text(module, redact=redact))
    lines = b',"logLines":' + to_json_bytes(log) if log and not redact else b""
    return b'{"status":"error","errorMessage":' + text + data + lines + b"}"


Handler = Callable[[Request], Awaitable[Response]]

_log = logging.getLogger(__name__)


def json_bytes(body: bytes) -> Response:
    """Answer with JSON text."""
    return Response(body, media_type=JSON_TYPE)


def json_response(json: Json) -> Response:
    """Answer with JSON."""
    return json_bytes(to_json_bytes(json))


def failure_response(failure: ServerError) -> Response:
    """Answer with a system failure."""
    body = to_json_bytes({"code": failure.code, "message": failure.message})
    return Response(body, failure.status, media_type=JSON_TYPE)


def guard(handler: Handler, latency: float) -> Handler:
    """Wrap a handler: add latency, and turn failures into answers."""

    async def guarded(request: Request) -> Response:
        if latency:
            await asyncio.sleep(latency)
        try:
            response = await handler(request)
        except ServerError as failure:
            response = failure_response(failure)
        except ClientDisconnect:  # no client to answer
            response = Response(status_code=408)
        except Exception:  # noqa: BLE001  # a bug looks as on a deployment
            _log.exception("%s %s", request.method, request.url.path)
            response = failure_response(internal_error())
        _add_warning(request, response)
        return response

    return guarded


def _add_warning(request: Request, response: Response) -> None:
    try:
        warning = parse_client(request.headers.get("convex-client")).warning
    except ServerError:
        return
    if warning is not None:
        response.headers["x-convex-deprecation-state"] = warning[0]
        response.headers["x-convex-deprecation-message"] = warning[1]
