"""Functions and endpoints of a deployment called over HTTP."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec

from sync_tool.deployment.answers import Answer, read_again, status_again, text_again, write_again
from sync_tool.deployment.http import Http
from sync_tool.deployment.rates import Patience
from sync_tool.encoding.canonical import loads
from sync_tool.encoding.values import encode
from sync_tool.errors import FunctionFailed, Refused, Unreachable

# Wire format of calls: get-convex/convex-backend, ``crates/local_backend/src/public_api.rs``. A function that fails
# answers HTTP 200 with ``status: "error"``; npm clients also know 560.

_FORMAT = "convex_encoded_json"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a query or mutation."""

    kind: Literal["query", "mutation"]
    path: str
    """Such as ``convexMsgs:page`` or ``_system/cli/tables``."""
    args: dict[str, Any]
    """Convex values (see `sync_tool.encoding.values`)."""
    encoded: bool = False
    """True if `args` are ``convex_encoded_json``; they may then hold ``msgspec.Raw``."""

    @property
    def endpoint(self) -> str:
        """Path of the request."""
        return f"/api/{self.kind}"

    @property
    def body(self) -> bytes:
        """JSON of the request."""
        args = self.args if self.encoded else encode(self.args)
        return msgspec.json.encode({"path": self.path, "args": args, "format": _FORMAT})


@dataclass(frozen=True, slots=True)
class Result:
    """Result of a function."""

    json: msgspec.Raw
    """Its value as ``convex_encoded_json``."""
    url: str
    """URL of the deployment, for messages."""
    unsure: bool = False
    """True if an earlier attempt of the same call may have been executed."""

    def read(self, decoder: msgspec.json.Decoder[T]) -> T:
        """Decode the value's JSON.

        Raises:
            Unreachable: it has another form.
        """
        return decoded(self.json, decoder, self.url)

    @property
    def value(self) -> Any:
        """The value as a Convex value; raises `Unreachable` if it is none."""
        return _value(self.json, self.url)


class _Envelope(msgspec.Struct):
    status: str
    value: msgspec.Raw = msgspec.Raw(b"null")
    error_message: str = msgspec.field(name="errorMessage", default="")
    error_data: msgspec.Raw = msgspec.field(name="errorData", default=msgspec.Raw())


_envelope = msgspec.json.Decoder(_Envelope)


def result_of(answer: Answer, url: str) -> Result:
    """Return the result of a call.

    Raises:
        FunctionFailed: the function ran and failed, or there is no such function.
        Refused: the deployment refused the call.
        Unreachable: it is no answer of a deployment.
    """
    if answer.status not in (200, 560):
        raise refusal(answer, url)
    envelope = decoded(answer.body, _envelope, url)
    if envelope.status != "success":
        data = _value(envelope.error_data, url) if bytes(envelope.error_data) else None
        raise FunctionFailed(_first_line(envelope.error_message, data), data=data)
    return Result(envelope.value, url, answer.unsure)


def decoded(body: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T], url: str) -> T:
    """Decode JSON of a deployment.

    Raises:
        Unreachable: it is not JSON, or has another form.
    """
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _strange(body, url) from None


def refusal(answer: Answer, url: str) -> Refused:
    """Return the error of an answer without success."""
    words = f"{answer.code}: {answer.message}" if answer.code else f"HTTP {answer.status}"
    hint = [("check", f"is {url} really a Convex deployment?")] if answer.status == 404 else []
    return Refused(f"the deployment refused the request: {words}", code=answer.code, hint=hint)


def _value(body: msgspec.Raw, url: str) -> Any:
    try:
        return loads(bytes(body))
    except (ValueError, RecursionError):
        raise _strange(body, url) from None


def _strange(body: bytes | msgspec.Raw, url: str) -> Unreachable:
    start = bytes(memoryview(body)[:60]).decode("utf-8", "replace")
    return Unreachable(f"{url} does not answer as a Convex deployment does: {start!r}…")


def _first_line(message: str, data: Any) -> str:
    """Return the message in the data of a ConvexError, else the first line without request id and stack."""
    words = data.get("message") if isinstance(data, dict) else None
    if isinstance(words, str):
        return words
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith("Server Error"):
        lines = lines[1:]
    return lines[0].removeprefix("Uncaught ") if lines else "the function failed without a message"


T = TypeVar("T")


_json = msgspec.json.Decoder()


class Client:
    """Calls queries and mutations, internal ones too, and the endpoints of a deployment."""

    def __init__(self, url: str, key: str, patience: Patience | None = None) -> None:
        self.http = Http(url, f"Convex {key}", patience)

    @property
    def url(self) -> str:
        """Base URL of the deployment."""
        return self.http.url

    def call(self, call: Call, *, once: bool = False) -> Result:
        """Call a function.

        Args:
            call: function and arguments.
            once: True if a repetition would do harm; then it is repeated only if it certainly was not executed.

        Raises:
            FunctionFailed: the function ran and failed, or there is no such function.
            Refused: the key was refused.
            Unreachable: no usable answer after retries.
        """
        return result_of(self.http.request(call.endpoint, call.body, write_again if once else read_again), self.url)

    def query(self, path: str, args: dict[str, Any], decoder: msgspec.json.Decoder[T]) -> T:
        """Run a query and decode its result's ``convex_encoded_json``; raises as `call`."""
        return self.call(Call("query", path, args)).read(decoder)

    def query_value(self, path: str, args: dict[str, Any]) -> Any:
        """Run a query and return its result as a Convex value; raises as `call`."""
        return self.call(Call("query", path, args)).value

    def mutation_value(self, path: str, args: dict[str, Any], *, repeatable: bool = False) -> Any:
        """Run a mutation, `repeatable` if a second call does no harm; raises as `call`."""
        return self.call(Call("mutation", path, args), once=not repeatable).value

    def post(self, path: str, body: dict[str, Any], *, writes: bool = False) -> Any:
        """POST to an endpoint that is no function, and return the JSON of the answer.

        Args:
            path: such as ``/api/import/start_upload``.
            body: JSON.
            writes: True if a repetition would write twice.

        Raises:
            Refused: the deployment refused.
            Unreachable: no usable answer; a write may or may not be done.
        """
        answer = self.http.request(path, msgspec.json.encode(body), write_again if writes else read_again)
        return decoded(self._success(answer).body, _json, self.url)

    def post_bytes(self, path: str, data: bytes) -> Any:
        """POST bytes as a write; raises as `post`."""
        answer = self.http.request(path, data, write_again, media_type="application/octet-stream")
        return decoded(self._success(answer).body, _json, self.url)

    def post_empty(self, path: str, body: dict[str, Any]) -> None:
        """POST a request that is safe to repeat and has an empty answer; raises as `post`."""
        self._success(self.http.request(path, msgspec.json.encode(body), status_again))

    def get(self, path: str, *, text: bool = False) -> Any:
        """GET a resource, JSON or plain `text`; None if the deployment does not know the path."""
        answer = self.http.request(path, again=text_again if text else read_again)
        if answer.status == 404:
            return None
        body = self._success(answer).body
        return body.decode("utf-8", "replace").strip() if text else decoded(body, _json, self.url)

    def _success(self, answer: Answer) -> Answer:
        if answer.status != 200:
            raise refusal(answer, self.url)
        return answer

    def close(self) -> None:
        """Close all connections."""
        self.http.close()


_NS_A_MS = 1_000_000


def instance_name(client: Client, otherwise: str) -> str:
    """Return the instance name of a deployment; `otherwise` if it does not return one.

    Source: get-convex/convex-backend, ``crates/local_backend/src/router.rs`` (``GET /instance_name``).
    """
    name = client.get("/instance_name", text=True)
    return name if isinstance(name, str) and name else otherwise


def newest_moment(client: Client) -> float:
    """Return the time, ms since 1970, up to which all commits are readable.

    Source: ``crates/local_backend/src/public_api.rs`` (``POST /api/query_ts``): base64 of 8 bytes, little-endian, ns.

    Raises:
        Unreachable: no usable answer.
    """
    answer = client.post("/api/query_ts", {})
    try:
        data = base64.b64decode(answer["ts"], validate=True)
    except (KeyError, TypeError, binascii.Error):
        raise Unreachable(f"the time of {client.url} is not in the form of a Convex deployment.") from None
    return int.from_bytes(data, "little") / _NS_A_MS
