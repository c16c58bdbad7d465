"""LangChain's messages as documents that LangChain in JavaScript can read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from langchain_core.messages import BaseMessage, message_chunk_to_message
from pydantic_core import PydanticSerializationError, to_jsonable_python

from sync_tool.encoding.canonical import dumps
from sync_tool.encoding.values import Value
from sync_tool.errors import UsageError
from sync_tool.model import Names
from sync_tool.schema.check import explain
from sync_tool.schema.rewrites import rewrite
from sync_tool.schema.rules import Fault, faults_at

Document = dict[str, Value]

_EXACT: Final = 2**53
_ALLOWED: Final = "unknown-field"
"""Fields of a message that are the user's own; LangChain keeps them in both languages."""


def document_of(message: BaseMessage, session_id: str, names: Names | None = None) -> Document:
    """Return the document that stores a message, as Convex values.

    A streamed chunk is stored as the message it became, ``chat`` as JavaScript's ``generic``. What Python has as
    null is left out, as JavaScript leaves it out. Numbers become Float64, as JavaScript's are; integers that a
    Float64 cannot hold exactly stay integers (Int64).

    Args:
        message: any message of LangChain's.
        session_id: the session it belongs to.
        names: what the session and message fields are called.

    Raises:
        UsageError: it holds something that Convex cannot hold, or is no message of a history; says where.
    """
    if not isinstance(message, BaseMessage):
        raise UsageError(
            f"{type(message).__name__} is no message of LangChain's.",
            hint=[("add", 'a list such as [HumanMessage("Hi"), AIMessage("Hello")]'), ("nothing", "was written")],
        )
    names = names or Names()
    message = message_chunk_to_message(message)
    data = {key: value for key, value in message.model_dump().items() if value is not None and key != "type"}
    stored, _ = rewrite({"type": message.type, "data": data}, "js")
    path = f"$.{names.message_field}"
    document = {names.session_field: session_id, names.message_field: _value(stored, path)}
    try:
        found, _ = explain(dumps(document), names, "js")
    except ValueError as error:
        raise UsageError(f"the {message.type} message cannot be stored: {error}.") from None
    faults = [fault for fault in faults_at(found, "loadable") if fault.rule != _ALLOWED]
    if faults:
        raise _cannot_store(message, faults[0])
    return document


def _value(value: Any, path: str) -> Value:
    """Return anything a message may hold as a Convex value."""
    if value is None or isinstance(value, bool | bytes):
        return value
    if isinstance(value, str):
        return str.__str__(value)  # a plain one, also of an enumeration's member
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        return float(value) if abs(value) <= _EXACT else int(value)
    if isinstance(value, Mapping):
        return {_key(key, path): _value(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_value(item, f"{path}[{number}]") for number, item in enumerate(value)]
    try:
        return _value(to_jsonable_python(value), path)
    except PydanticSerializationError:
        raise UsageError(f"{path} is a {type(value).__name__}, which Convex cannot hold.") from None


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise UsageError(f"{path} has the key {key!r}; keys in Convex are strings.")
    return key


def _cannot_store(message: BaseMessage, fault: Fault) -> UsageError:
    detail = f" ({fault.detail})" if fault.detail else ""
    return UsageError(
        f"the {message.type} message cannot be stored: {fault.path}: {fault.sentence}{detail}.",
        hint=[("nothing was written", "change the message and add it again")],
    )
