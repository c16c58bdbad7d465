"""Functions of a deployment called over HTTP, and what their failures mean.

Wire shapes: get-convex/convex-backend, ``crates/local_backend/src/public_api.rs``. A function that fails
answers HTTP 200 with ``status: "error"``; npm clients also know 560.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from sync_tool.deployment.answer import Answer
from sync_tool.deployment.http import Http, Patience
from sync_tool.encoding.canonical import loads
from sync_tool.encoding.values import encode
from sync_tool.errors import FunctionFailed, Refused, Unreachable

T = TypeVar("T")

_FORMAT = "convex_encoded_json"


class _Envelope(msgspec.Struct):
    status: str
    value: msgspec.Raw = msgspec.Raw(b"null")
    error_message: str = msgspec.field(name="errorMessage", default="")
    error_data: msgspec.Raw = msgspec.field(name="errorData", default=msgspec.Raw())


_envelope = msgspec.json.Decoder(_Envelope)
_json = msgspec.json.Decoder()


class Client:
    """Calls queries and mutations with the right to call internal ones."""

    def __init__(self, url: str, key: str, patience: Patience | None = None) -> None:
        self.http = Http(url, f"Convex {key}", patience)

    @property
    def url(self) -> str:
        """Base URL of the deployment."""
        return self.http.url

    def query(self, path: str, args: dict[str, Any], decoder: msgspec.json.Decoder[T]) -> T:
        """Run a query and decode its result's ``convex_encoded_json`` with `decoder`.

        Args:
            path: such as ``convexMsgs:page`` or ``_system/cli/tables``.
            args: Convex values (see `sync_tool.encoding.values`).
            decoder: of the result alone.

        Raises:
            FunctionFailed: the function ran and failed, or there is no such function.
            Refused: the key was refused.
            Unreachable: no usable answer after retries.
        """
        return self._decode(self._call("/api/query", path, encode(args), writes=False), decoder)

    def query_value(self, path: str, args: dict[str, Any]) -> Any:
        """Run a query and return its result as a Convex value."""
        return self._value(self._call("/api/query", path, encode(args), writes=False))

    def mutation_value(self, path: str, args: dict[str, Any], *, repeatable: bool = False) -> Any:
        """Run a mutation and return its result as a Convex value.

        Args:
            path: such as ``convexMsgs:erase``.
            args: Convex values.
            repeatable: True if a second call does no harm; else it is repeated only if it certainly did not commit.
        """
        return self._value(self._call("/api/mutation", path, encode(args), writes=not repeatable))

    def mutation_encoded(self, path: str, args: dict[str, Any]) -> Any:
        """The same, never done twice, with arguments in ``convex_encoded_json``, which may hold ``msgspec.Raw``."""
        return self._value(self._call("/api/mutation", path, args, writes=True))

    def post(self, path: str, body: dict[str, Any], *, writes: bool = False) -> Any:
        """POST to an endpoint that is no function, and return the JSON that it answers.

        Args:
            path: such as ``/api/import/start_upload``.
            body: JSON.
            writes: True if a repetition would do it twice.

        Raises:
            Refused: the deployment said no.
            Unreachable: no usable answer; with `writes` it is open whether it was done.
        """
        return self._json_of(self.http.post(path, msgspec.json.encode(body), writes=writes))

    def post_bytes(self, path: str, data: bytes) -> Any:
        """The same with bytes, and never done twice."""
        return self._json_of(self.http.post(path, data, writes=True, media_type="application/octet-stream"))

    def tell(self, path: str, body: dict[str, Any]) -> None:
        """POST what may be said twice and is answered with nothing.

        Raises:
            Refused: the deployment said no.
            Unreachable: no usable answer.
        """
        answer = self.http.tell(path, msgspec.json.encode(body))
        if answer.status != 200:
            raise self.refusal(answer)

    def _json_of(self, answer: Answer) -> Any:
        if answer.status != 200:
            raise self.refusal(answer)
        return self._decode(answer.body, _json)

    def get(self, path: str, *, text: bool = False) -> Any:
        """GET a resource, JSON or plain `text`; None where the deployment does not know the path."""
        answer = self.http.get(path, text=text)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise self.refusal(answer)
        if text:
            return answer.body.decode("utf-8", "replace").strip()
        return self._decode(answer.body, _json)

    def close(self) -> None:
        """Close all connections."""
        self.http.close()

    def _call(self, endpoint: str, path: str, args: dict[str, Any], *, writes: bool) -> msgspec.Raw:
        body = msgspec.json.encode({"path": path, "args": args, "format": _FORMAT})
        answer = self.http.post(endpoint, body, writes=writes)
        if answer.status not in (200, 560):
            raise self.refusal(answer)
        envelope = self._decode(answer.body, _envelope)
        if envelope.status != "success":
            data = self._value(envelope.error_data) if bytes(envelope.error_data) else None
            raise FunctionFailed(_first_line(envelope.error_message, data), data=data)
        return envelope.value

    def _decode(self, body: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> T:
        try:
            return decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._strange(body) from None

    def _value(self, body: msgspec.Raw) -> Any:
        try:
            return loads(bytes(body))
        except (ValueError, RecursionError):
            raise self._strange(body) from None

    def _strange(self, body: bytes | msgspec.Raw) -> Unreachable:
        start = bytes(memoryview(body)[:60]).decode("utf-8", "replace")
        return Unreachable(f"{self.url} does not answer as a Convex deployment does: {start!r}…")

    def refusal(self, answer: Answer) -> Refused:
        """Say that the deployment refused a request that is no call of a function."""
        said = f"{answer.code}: {answer.message}" if answer.code else f"HTTP {answer.status}"
        hint = [("check", f"is {self.url} really a Convex deployment?")] if answer.status == 404 else []
        return Refused(f"the deployment refused the request: {said}", code=answer.code, hint=hint)


def _first_line(message: str, data: Any) -> str:
    """Return what the function said, without request id and stack; ConvexError data speaks for itself."""
    said = data.get("message") if isinstance(data, dict) else None
    if isinstance(said, str):
        return said
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith("Server Error"):
        lines = lines[1:]
    return lines[0].removeprefix("Uncaught ") if lines else "the function failed without a message"
