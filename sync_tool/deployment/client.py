"""Functions and endpoints of a deployment called over HTTP."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from sync_tool.deployment.answers import Answer
from sync_tool.deployment.calls import Call, Result, decoded, refusal, result_of
from sync_tool.deployment.http import Http, Patience

T = TypeVar("T")


_json = msgspec.json.Decoder()


class Client:
    """Calls queries and mutations with the right to call internal ones."""

    def __init__(self, url: str, key: str, patience: Patience | None = None) -> None:
        self.http = Http(url, f"Convex {key}", patience)

    @property
    def url(self) -> str:
        """Base URL of the deployment."""
        return self.http.url

    def call(self, call: Call, *, once: bool = False) -> Result:
        """Call a function.

        Args:
            call: which, and with what.
            once: True if doing it twice would do harm: then it is repeated only if it certainly was not done.

        Raises:
            FunctionFailed: the function ran and failed, or there is no such function.
            Refused: the key was refused.
            Unreachable: no usable answer after retries.
        """
        return result_of(self.http.post(call.endpoint, call.body, writes=once), self.url)

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
        return self.call(Call("query", path, args)).read(decoder)

    def query_value(self, path: str, args: dict[str, Any]) -> Any:
        """Run a query and return its result as a Convex value."""
        return self.call(Call("query", path, args)).value

    def mutation_value(self, path: str, args: dict[str, Any], *, repeatable: bool = False) -> Any:
        """Run a mutation and return its result as a Convex value.

        Args:
            path: such as ``convexMsgs:erase``.
            args: Convex values.
            repeatable: True if a second call does no harm; else it is repeated only if it certainly did not commit.
        """
        return self.call(Call("mutation", path, args), once=not repeatable).value

    def mutation_encoded(self, path: str, args: dict[str, Any]) -> Any:
        """The same, never done twice, with arguments in ``convex_encoded_json``, which may hold ``msgspec.Raw``."""
        return self.call(Call("mutation", path, args, encoded=True), once=True).value

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
            raise refusal(answer, self.url)

    def _json_of(self, answer: Answer) -> Any:
        if answer.status != 200:
            raise refusal(answer, self.url)
        return decoded(answer.body, _json, self.url)

    def get(self, path: str, *, text: bool = False) -> Any:
        """GET a resource, JSON or plain `text`; None where the deployment does not know the path."""
        answer = self.http.get(path, text=text)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise refusal(answer, self.url)
        if text:
            return answer.body.decode("utf-8", "replace").strip()
        return decoded(answer.body, _json, self.url)

    def close(self) -> None:
        """Close all connections."""
        self.http.close()
