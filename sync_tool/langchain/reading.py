"""Rows as LangChain's messages, whichever version of LangChain wrote them, in JavaScript or Python."""

from __future__ import annotations

from typing import Any, Final

from langchain_core.messages import BaseMessage, messages_from_dict

from sync_tool.encoding.values import Value
from sync_tool.errors import Damaged
from sync_tool.model import Row
from sync_tool.schema.rewrites import rewrite
from sync_tool.text import one_line, shortened

_EXACT: Final = 2**53
_CALL_FIELDS: Final = ("name", "args", "id")
_INVALID_CALL_FIELDS: Final = (*_CALL_FIELDS, "error")
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
        (message,) = messages_from_dict([{"type": kind, "data": _readable(kind, _plain(data))}])
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # pydantic's errors are ValueErrors
        raise _unreadable(row, f"LangChain says {type(error).__name__}: {_first_words(error)}") from None
    return message


def _readable(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return data without what stops Python's LangChain and means nothing.

    JavaScript leaves absent values out where Python wants null or a default, and the other way round.
    """
    kept = {key: value for key, value in data.items() if value is not None and key != "type"}
    if "content" in data:
        kept.setdefault("content", "")  # null, as OpenAI has it beside tool calls
    if kind == "ai":
        _mend_calls(kept)
        _mend_usage(kept)
    return kept


def _mend_calls(data: dict[str, Any]) -> None:
    """Give tool calls the fields that Python needs; one whose arguments could not be parsed is an invalid one."""
    good, bad = [], []
    for call in _objects(data.get("tool_calls")):
        if isinstance(call.get("args"), str):
            bad.append(call)
        else:
            good.append({name: call.get(name) for name in _CALL_FIELDS})
    bad += _objects(data.get("invalid_tool_calls"))
    for name, calls in (("tool_calls", good), ("invalid_tool_calls", [_invalid(call) for call in bad])):
        if calls or name in data:
            data[name] = calls


def _invalid(call: dict[str, Any]) -> dict[str, Any]:
    return {name: call.get(name) for name in _INVALID_CALL_FIELDS}


def _mend_usage(data: dict[str, Any]) -> None:
    """Complete the three totals, which Python needs; JavaScript stores what the provider said."""
    usage = data.get("usage_metadata")
    if not isinstance(usage, dict):
        return
    missing = [name for name in _TOTALS if name not in usage]
    if missing:
        counted = {name: usage.get(name) or 0 for name in _TOTALS}
        counted["total_tokens"] = counted["total_tokens"] or counted["input_tokens"] + counted["output_tokens"]
        data["usage_metadata"] = {**usage, **counted}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _plain(value: Value) -> Any:
    """Return a Convex value as a program means it: whole numbers as ``int``."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= _EXACT else value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _first_words(error: Exception) -> str:
    """Return what an error says in one line; pydantic's say where in the first line and what in the third."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return shortened(" ".join(lines[1:3] or lines), _SHOWN)


def _unreadable(row: Row, why: str) -> Damaged:
    where = f"row {row.id!r}" if row.id else "a row without _id"
    session = f" of session {one_line(row.session)!r}" if isinstance(row.session, str) else ""
    return Damaged(
        f"{where}{session} holds no message that LangChain reads: {one_line(why)}.",
        hint=[("every fault", "convex-msgs validate live --level loadable --language python")],
    )
