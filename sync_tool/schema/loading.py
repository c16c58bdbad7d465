"""Would LangChain read the message back, or throw? The rules of the level ``loadable``, and the warnings.

JavaScript: ``mapStoredMessagesToChatMessages`` of @langchain/core 0.2.19 and newer. Python:
``messages_from_dict`` of langchain-core 1.x. One unreadable message makes both fail for its whole session.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sync_tool.schema import rewrites
from sync_tool.schema.parsing import kind_of, shown, step
from sync_tool.schema.rules import Fault, Language

READABLE: Final = frozenset({"human", "ai", "system", "tool", "function", "generic", "chat"})
STATUSES: Final = frozenset({"success", "error"})
TOTALS: Final = ("input_tokens", "output_tokens", "total_tokens")
OTHER_NAMES: Final[dict[Language, str]] = {"js": "token_usage", "python": "tokenUsage"}
"""A key of ``response_metadata`` by which the other language is known."""
ESCAPED: Final = "__lc_escaped__"
_PYTHON_FIELDS: Final = frozenset({"type", "name", "id"})
"""Python writes these always, as null where there is nothing."""


def loading_faults(kind: str, data: dict[str, Any], path: str, language: Language) -> Iterator[Fault]:
    """Yield what keeps LangChain from reading the message ``{type: kind, data}`` that stands at `path`."""
    if kind not in READABLE:
        yield _type_fault(kind, path)
        return
    if kind in rewrites.ROLE_TYPES.values():
        if kind != rewrites.ROLE_TYPES[language]:
            yield Fault("type-language", f"{path}.type", kind, rewrites.ROLE_TYPE)
        if "role" not in data:  # one that is no string is a fault already
            yield Fault("role-missing", f"{path}.data.role")
    here = f"{path}.data"
    if kind == "function" and not isinstance(data.get("name"), str):
        yield Fault("function-name", f"{here}.name", kind_of(data.get("name")) if "name" in data else "missing")
    if kind == "tool":
        yield from _tool_faults(data, here)
    if kind == "ai":
        yield from _ai_faults(data, here)
    if language == "python" and "additional_kwargs" in data and data["additional_kwargs"] is None:
        yield Fault("kwargs-null", f"{here}.additional_kwargs")


def loading_warnings(message: dict[str, Any], path: str, language: Language) -> Iterator[Fault]:
    """Yield what LangChain reads, but perhaps not as meant."""
    data = message.get("data")
    if not isinstance(data, dict):
        return
    yield from _escaped(data, f"{path}.data")
    metadata = data.get("response_metadata")
    if isinstance(metadata, dict) and OTHER_NAMES[language] in metadata:
        yield Fault("other-language", f"{path}.data.response_metadata.{OTHER_NAMES[language]}")
    if "type" in data and not data.keys() >= _PYTHON_FIELDS:
        yield Fault("data-type-js", f"{path}.data.type")


def _type_fault(kind: str, path: str) -> Fault:
    if kind == "remove":
        return Fault("type-remove", f"{path}.type")
    if kind in rewrites.CHUNK_TYPES:
        return Fault("type-chunk", f"{path}.type", kind, rewrites.CHUNK)
    return Fault("type-unknown", f"{path}.type", shown(kind))


def _tool_faults(data: dict[str, Any], path: str) -> Iterator[Fault]:
    if "tool_call_id" not in data:  # one that is no string is a fault already
        yield Fault("tool-call-id", f"{path}.tool_call_id", "missing")
    status = data.get("status")
    if isinstance(status, str) and status not in STATUSES:
        yield Fault("tool-status", f"{path}.status", shown(status))


def _ai_faults(data: dict[str, Any], path: str) -> Iterator[Fault]:
    calls = data.get("tool_calls", [])
    if isinstance(calls, list):
        for number, call in enumerate(calls):
            wrong = _call_fault(call)
            if wrong:
                yield Fault("tool-calls", f"{path}.tool_calls[{number}]{wrong[0]}", wrong[1])
    else:
        yield Fault("tool-calls", f"{path}.tool_calls", kind_of(calls))
    usage = data.get("usage_metadata")
    if usage is None:
        return
    if not isinstance(usage, dict):
        yield Fault("usage", f"{path}.usage_metadata", kind_of(usage))
        return
    for name in TOTALS:
        if not _is_whole(usage.get(name)):
            there = kind_of(usage[name]) if name in usage else "missing"
            yield Fault("usage", f"{path}.usage_metadata.{name}", there)


def _call_fault(call: Any) -> tuple[str, str] | None:
    """Return where and how a tool call is wrong; None if it is right."""
    if not isinstance(call, dict):
        return "", kind_of(call)
    for name, wanted in (("name", str), ("args", dict), ("id", object)):
        if name not in call:
            return f".{name}", "missing"
        if not isinstance(call[name], wanted):
            return f".{name}", kind_of(call[name])
    return None


def _is_whole(value: Any) -> bool:
    return type(value) is int or (type(value) is float and value.is_integer())


def _escaped(value: Any, path: str) -> Iterator[Fault]:
    if isinstance(value, dict):
        if ESCAPED in value:
            yield Fault("lc-escaped", path)
            return
        for key, item in value.items():
            yield from _escaped(item, step(path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _escaped(item, f"{path}[{number}]")
