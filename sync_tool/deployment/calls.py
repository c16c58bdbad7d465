"""A call of a function as it travels over HTTP, and what its answer means.

Wire shapes: get-convex/convex-backend, ``crates/local_backend/src/public_api.rs``. A function that fails
answers HTTP 200 with ``status: "error"``; npm clients also know 560.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec

from sync_tool.deployment.answers import Answer
from sync_tool.encoding.canonical import loads
from sync_tool.encoding.values import encode
from sync_tool.errors import FunctionFailed, Refused, Unreachable

T = TypeVar("T")

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
    """True if `args` are ``convex_encoded_json`` already; they may then hold ``msgspec.Raw``."""

    @property
    def endpoint(self) -> str:
        """The path that it is posted to."""
        return f"/api/{self.kind}"

    @property
    def body(self) -> bytes:
        """The JSON that is posted."""
        args = self.args if self.encoded else encode(self.args)
        return msgspec.json.encode({"path": self.path, "args": args, "format": _FORMAT})


@dataclass(frozen=True, slots=True)
class Result:
    """What a function returned."""

    json: msgspec.Raw
    """Its value as ``convex_encoded_json``."""
    url: str
    """Who said so, for messages."""
    unsure: bool = False
    """True if an earlier attempt of the same call may have been done too."""

    def read(self, decoder: msgspec.json.Decoder[T]) -> T:
        """Decode the value's JSON.

        Raises:
            Unreachable: it is not what a deployment sends.
        """
        return decoded(self.json, decoder, self.url)

    @property
    def value(self) -> Any:
        """The value as a Convex value.

        Raises:
            Unreachable: it is not what a deployment sends.
        """
        return _value(self.json, self.url)


class _Envelope(msgspec.Struct):
    status: str
    value: msgspec.Raw = msgspec.Raw(b"null")
    error_message: str = msgspec.field(name="errorMessage", default="")
    error_data: msgspec.Raw = msgspec.field(name="errorData", default=msgspec.Raw())


_envelope = msgspec.json.Decoder(_Envelope)


def result_of(answer: Answer, url: str) -> Result:
    """Return what the function returned.

    Raises:
        FunctionFailed: the function ran and failed, or there is no such function.
        Refused: the deployment refused the call.
        Unreachable: that is not how a deployment answers.
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
        Unreachable: it is none, or of another shape.
    """
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _strange(body, url) from None


def refusal(answer: Answer, url: str) -> Refused:
    """Return the error of an answer with a status that is no success."""
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
    """Return what the function said, without request id and stack; ConvexError data speaks for itself."""
    words = data.get("message") if isinstance(data, dict) else None
    if isinstance(words, str):
        return words
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith("Server Error"):
        lines = lines[1:]
    return lines[0].removeprefix("Uncaught ") if lines else "the function failed without a message"
