"""The messages of the sync protocol.

Source: get-convex/convex-backend, ``crates/convex/sync_types/src/types/json.rs``.
"""

from __future__ import annotations

import base64
from typing import Final, Literal, NamedTuple

import msgspec

from sync_tool.encoding.values import Json
from sync_tool.sandbox.faults import NO_DATA, ServerError, bad_request
from sync_tool.sandbox.functions.calls import Outcome
from sync_tool.sandbox.functions.results import ENCODED, spell, to_json_bytes
from sync_tool.sandbox.keys import NO_TOKEN, Token, without_type


class Connect(msgspec.Struct, rename="camel", tag_field="type"):
    """First on every connection."""

    session_id: str
    connection_count: float = 0


class Add(msgspec.Struct, rename="camel", tag_field="type"):
    """Watch a query from now on."""

    query_id: int
    udf_path: str
    args: list[Json]


class Remove(msgspec.Struct, rename="camel", tag_field="type"):
    """Watch a query no longer."""

    query_id: int


class ModifyQuerySet(msgspec.Struct, rename="camel", tag_field="type"):
    """Change what is watched."""

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
    """Be somebody else from now on."""

    base_version: int
    token_type: Literal["Admin", "User", "None"]
    value: str = ""

    @property
    def token(self) -> Token:
        """What it shows."""
        if self.token_type == "Admin":  # noqa: S105  # a kind of token, not one
            return Token("admin", without_type(self.value))
        return Token("user", self.value) if self.token_type == "User" else NO_TOKEN  # noqa: S105


class Event(msgspec.Struct, tag_field="type"):
    """A measurement of the client's; ignored."""


ClientMessage = Connect | ModifyQuerySet | Mutation | Action | Authenticate | Event

_decoder: Final = msgspec.json.Decoder(ClientMessage)


class Version(NamedTuple):
    """What a client has seen: its query set, its identity, and the state of the database."""

    query_set: int = 0
    identity: int = 0
    ts: int = 0

    def json(self) -> bytes:
        """Spell it."""
        return b'{"querySet":%d,"identity":%d,"ts":"%s"}' % (self.query_set, self.identity, timestamp(self.ts))


PING: Final = b'{"type":"Ping"}'


def read_message(text: str) -> ClientMessage:
    """Read what a client sent.

    Raises:
        ServerError: 400 `WSMessageInvalidJson`.
    """
    try:
        message: ClientMessage = _decoder.decode(text)
    except msgspec.DecodeError as error:
        raise bad_request("WSMessageInvalidJson", f"Received invalid message: {error}") from None
    return message


def timestamp(ts: int) -> bytes:
    """Spell a timestamp: base64 of eight little-endian bytes."""
    return base64.b64encode(ts.to_bytes(8, "little"))


def transition(start: Version, end: Version, modifications: list[bytes]) -> bytes:
    """The step from one version to the next."""
    return (
        b'{"type":"Transition","startVersion":%b,"endVersion":%b,"modifications":[' % (start.json(), end.json())
        + b",".join(modifications)
        + b"]}"
    )


def query_result(query_id: int, outcome: Outcome, module: str, *, redact: bool) -> bytes:
    """A watched query has a result, or fails."""
    if outcome.failure is None:
        body = b'{"type":"QueryUpdated","queryId":%d,"value":%b' % (query_id, spell(outcome.value, ENCODED))
    else:
        text = to_json_bytes(outcome.failure.text(module, redact=redact))
        body = b'{"type":"QueryFailed","queryId":%d,"errorMessage":%b' % (query_id, text) + _error_data(outcome)
    return body + b',"logLines":%b,"journal":null}' % _log(outcome, redact=redact)


def query_removed(query_id: int) -> bytes:
    """A query is no longer watched."""
    return b'{"type":"QueryRemoved","queryId":%d}' % query_id


def response(kind: str, request_id: int, outcome: Outcome, module: str, *, redact: bool) -> bytes:
    """The answer to a mutation or an action; only a mutation's tells when."""
    head = b'{"type":"%bResponse","requestId":%d,' % (kind.encode(), request_id)
    log = b',"logLines":%b' % _log(outcome, redact=redact)
    if outcome.failure is None:
        ts = b',"ts":"%b"' % timestamp(outcome.ts) if kind == "Mutation" else b""
        return head + b'"success":true,"result":' + spell(outcome.value, ENCODED) + ts + log + b"}"
    text = to_json_bytes(outcome.failure.text(module, redact=redact))
    ts = b',"ts":null' if kind == "Mutation" else b""
    return head + b'"success":false,"result":' + text + ts + log + _error_data(outcome) + b"}"


def last_words(error: ServerError, identity: int) -> bytes | None:
    """What is said before the connection is closed because of an error, if anything."""
    text = f"{error.code}: {error.message}"
    if error.status == 401:
        message = {"type": "AuthError", "error": text, "baseVersion": identity, "authUpdateAttempted": False}
        return to_json_bytes(message)
    if error.status in (400, 403, 409):
        return to_json_bytes({"type": "FatalError", "error": text})
    return None


def close_code(error: ServerError) -> int:
    """The code that a connection is closed with because of an error."""
    if error.status in (429, 503):
        return 1013
    return 1011 if error.status >= 500 else 1000


def _error_data(outcome: Outcome) -> bytes:
    data = NO_DATA if outcome.failure is None else outcome.failure.data
    return b"" if data is NO_DATA else b',"errorData":' + spell(data, ENCODED)


def _log(outcome: Outcome, *, redact: bool) -> bytes:
    return b"[]" if redact else to_json_bytes(outcome.log)
