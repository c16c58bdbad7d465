"""LangChain's messages as documents that LangChain in JavaScript can read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from langchain_core.messages import BaseMessage, message_chunk_to_message, messages_from_dict
from pydantic_core import PydanticSerializationError, to_jsonable_python

from sync_tool.encoding.canonical import dumps
from sync_tool.encoding.values import Value
from sync_tool.errors import Damaged, UsageError
from sync_tool.messages.check import explain
from sync_tool.messages.normal import normal
from sync_tool.messages.parts import Message, ToolCall, whole
from sync_tool.messages.rewrites import rewrite
from sync_tool.messages.rules import Fault, faults_at
from sync_tool.rows.model import Names, Row
from sync_tool.text import one_line, shortened

Document = dict[str, Value]

_EXACT: Final = 2**53
_ALLOWED: Final = "unknown-field"
"""The rule against fields of the user's own, which LangChain keeps in both languages."""


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


# Rows as LangChain's messages, whichever version of LangChain wrote them, in JavaScript or Python.

_TOTALS: Final = ("input_tokens", "output_tokens", "total_tokens")
_SHOWN: Final = 200


def message_of(row: Row) -> BaseMessage:
    """Return the message that a row holds.

    Every form that LangChain wrote since 0.0.175 is read: flat and old ones, streamed chunks, ``generic``,
    ``content_blocks``, tool calls in ``additional_kwargs``. JavaScript has one type of number; whole ones become
    ``int``.

    Raises:
        Damaged: no such message; names the row.
    """
    stored, _ = rewrite(row.message, "python")
    kind, data = stored.get("type"), stored.get("data")
    if not isinstance(kind, str) or not isinstance(data, dict):
        raise _unreadable(row, "it is not in the form {type, data}")
    try:
        (message,) = messages_from_dict([{"type": kind, "data": _readable(whole(data), normal(stored))}])
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # pydantic's errors are ValueErrors
        raise _unreadable(row, f"LangChain says {type(error).__name__}: {_first_words(error)}") from None
    return message


def _readable(data: dict[str, Any], read: Message) -> dict[str, Any]:
    """Return data without values that stop Python's LangChain and mean nothing.

    JavaScript leaves absent values out where Python wants null or a default, and the other way round.
    """
    kept = {key: value for key, value in data.items() if value is not None and key != "type"}
    if "content" in data:
        kept.setdefault("content", "")  # null, as OpenAI has it beside tool calls
    if read.type == "ai":
        _mend_calls(kept, read)
        _mend_usage(kept)
    return kept


def _mend_calls(data: dict[str, Any], read: Message) -> None:
    """Give tool calls the fields that Python needs; one whose arguments could not be parsed is an invalid one."""
    calls = [call for call in read.calls if not call.legacy and call.block is None]
    good = [_call(call) for call in calls if call.is_valid]
    bad = [{**_call(call), "error": call.error} for call in calls if not call.is_valid]
    for name, found in (("tool_calls", good), ("invalid_tool_calls", bad)):
        if found or name in data:
            data[name] = found


def _call(call: ToolCall) -> dict[str, Any]:
    return {"name": call.name, "args": whole(call.arguments), "id": call.id}


def _mend_usage(data: dict[str, Any]) -> None:
    """Complete the three totals, which Python needs; JavaScript stores those of the provider."""
    usage = data.get("usage_metadata")
    if not isinstance(usage, dict):
        return
    missing = [name for name in _TOTALS if name not in usage]
    if missing:
        counted = {name: usage.get(name) or 0 for name in _TOTALS}
        counted["total_tokens"] = counted["total_tokens"] or counted["input_tokens"] + counted["output_tokens"]
        data["usage_metadata"] = {**usage, **counted}


def _first_words(error: Exception) -> str:
    """Return an error's message on one line; pydantic's have the place in the first and the reason in the third."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return shortened(" ".join(lines[1:3] or lines), _SHOWN)


def _unreadable(row: Row, why: str) -> Damaged:
    where = f"row {row.id!r}" if row.id else "a row without _id"
    session = f" of session {one_line(row.session)!r}" if isinstance(row.session, str) else ""
    return Damaged(
        f"{where}{session} holds no message that LangChain reads: {one_line(why)}.",
        hint=[("every fault", "convex-msgs validate live --level loadable --language python")],
    )
