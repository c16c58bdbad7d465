"""Messages of the sync protocol.

Source: get-convex/convex-backend, ``crates/convex/sync_types/src/types/json.rs``.
"""

from __future__ import annotations

import base64
from typing import Final, Literal, NamedTuple

import msgspec

from sync_tool.encoding.values import Json
from sync_tool.sandbox.faults import NO_DATA, ServerError, bad_request
from sync_tool.sandbox.functions.calls import Outcome
from sync_tool.sandbox.functions.results import ENCODED, encode_result, to_json_bytes
from sync_tool.sandbox.keys import NO_TOKEN, Token, without_type


class Connect(msgspec.Struct, rename="camel", tag_field="type"):
    """First message of every connection."""

    session_id: str
    connection_count: float = 0


class Add(msgspec.Struct, rename="camel", tag_field="type"):
    """Watch a query."""

    query_id: int
    udf_path: str
    args: list[Json]


class Remove(msgspec.Struct, rename="camel", tag_field="type"):
    """Stop watching a query."""

    query_id: int


class ModifyQuerySet(msgspec.Struct, rename="camel", tag_field="type"):
    """Change the set of watched queries."""

    base_version: int
    new_version: int
    modifications: list[Add | Remove]


class Request(msgspec.Struct, rename="camel", tag_field="type"):
    """Run a function once."""

    request_id: int
    udf_path: str
    args: list[Json]


class Mutation(Request, tag_field="type"):
    """Run a mutation."""


class Action(Request, tag_field="type"):
    """Run an action."""


class Authenticate(msgspec.Struct, rename="camel", tag_field="type"):
    """Switch the connection to another identity."""

    base_version: int
    token_type: Literal["Admin", "User", "None"]
    value: str = ""

    @property
    def token(self) -> Token:
        """Credential of the new identity."""
        if self.token_type == "Admin":  # noqa: S105  # a kind of token, not one
            return Token("admin", without_type(self.value))
        return Token("user", self.value) if self.token_type == "User" else NO_TOKEN  # noqa: S105


class Event(msgspec.Struct, tag_field="type"):
    """Measurement of the client; ignored."""


ClientMessage = Connect | ModifyQuerySet | Mutation | Action | Authenticate | Event

_decoder: Final = msgspec.json.Decoder(ClientMessage)


class Version(NamedTuple):
    """State that a client has seen: query set, identity and timestamp."""

    query_set: int = 0
    identity: int = 0
    ts: int = 0

    def json(self) -> bytes:
        """Return its JSON."""
        return b'{"querySet":%d,"identity":%d,"ts":"%s"}' % (self.query_set, self.identity, timestamp(self.ts))


PING: Final = b'{"type":"Ping"}'


def read_message(text: str) -> ClientMessage:
    """Parse a message of a client."""
    try:
        message: ClientMessage = _decoder.decode(text)
    except msgspec.DecodeError as error:
        raise bad_request("WSMessageInvalidJson", f"Received invalid message: {error}") from None
    return message


def timestamp(ts: int) -> bytes:
    """Encode a timestamp: base64 of eight little-endian bytes."""
    return base64.b64encode(ts.to_bytes(8, "little"))


def transition(start: Version, end: Version, modifications: list[bytes]) -> bytes:
    """Return the step from one version to the next."""
    return (
        b'{"type":"Transition","startVersion":%b,"endVersion":%b,"modifications":[' % (start.json(), end.json())
        + b",".join(modifications)
        + b"]}"
    )


def query_result(query_id: int, outcome: Outcome, module: str, *, redact: bool) -> bytes:
    """Return the result or failure of a watched query."""
    if outcome.failure is None:
        body = b'{"type":"QueryUpdated","queryId":%d,"value":%b' % (query_id, encode_result(outcome.value, ENCODED))
    else:
        text = to_json_bytes(outcome.failure.text(module, redact=redact))
        body = b'{"type":"QueryFailed","queryId":%d,"errorMessage":%b' % (query_id, text) + _error_data(outcome)
    return body + b',"logLines":%b,"journal":null}' % _log(outcome, redact=redact)


def query_removed(query_id: int) -> bytes:
    """Return the notice that a query is no longer watched."""
    return b'{"type":"QueryRemoved","queryId":%d}' % query_id


def response(kind: str, request_id: int, outcome: Outcome, module: str, *, redact: bool) -> bytes:
    """Return the answer to a mutation or an action; only a mutation's has a timestamp."""
    head = b'{"type":"%bResponse","requestId":%d,' % (kind.encode(), request_id)
    log = b',"logLines":%b' % _log(outcome, redact=redact)
    if outcome.failure is None:
        ts = b',"ts":"%b"' % timestamp(outcome.ts) if kind == "Mutation" else b""
        return head + b'"success":true,"result":' + encode_result(outcome.value, ENCODED) + ts + log + b"}"
    text = to_json_bytes(outcome.failure.text(module, redact=redact))
    ts = b',"ts":null' if kind == "Mutation" else b""
    return head + b'"success":false,"result":' + text + ts + log + _error_data(outcome) + b"}"


def closing_message(error: ServerError, identity: int) -> bytes | None:
    """Return the message before the connection closes because of an error, if the protocol has one."""
    text = f"{error.code}: {error.message}"
    if error.status == 401:
        message = {"type": "AuthError", "error": text, "baseVersion": identity, "authUpdateAttempted": False}
        return to_json_bytes(message)
    if error.status in (400, 403, 409):
        return to_json_bytes({"type": "FatalError", "error": text})
    return None


def close_code(error: ServerError) -> int:
    """Return the WebSocket code for an error."""
    if error.status in (429, 503):
        return 1013
    return 1011 if error.status >= 500 else 1000


def _error_data(outcome: Outcome) -> bytes:
    data = NO_DATA if outcome.failure is None else outcome.failure.data
    return b"" if data is NO_DATA else b',"errorData":' + encode_result(data, ENCODED)


def _log(outcome: Outcome, *, redact: bool) -> bytes:
    return b"[]" if redact else to_json_bytes(outcome.log)
