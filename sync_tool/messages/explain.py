"""Every fault of one record: of its bytes, its values and its shape. Slow; `sync_tool.messages.fast` comes first."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from sync_tool.encoding.sizes import (
    MAX_ARRAY_ITEMS,
    MAX_DOCUMENT_BYTES,
    MAX_DOCUMENT_NESTING,
    MAX_FIELD_NAME_BYTES,
    MAX_OBJECT_FIELDS,
    size_of,
)
from sync_tool.encoding.values import Value, decode
from sync_tool.messages import rewrites
from sync_tool.messages.rules import Fault, Language
from sync_tool.rows.model import Names
from sync_tool.text import one_line

_TAGS: Final = frozenset({"$integer", "$float", "$bytes"})
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_PRINTABLE: Final = re.compile(r"[ -~]*")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ID_SIZE: Final = len("_id") + 1 + 32 + 2
_TIME_SIZE: Final = len("_creationTime") + 1 + 9
_SHOWN: Final = 60
END_OF_TIME: Final = float(2**53)
"""A ``_creationTime`` lies between 0 and this (get-convex/convex-backend, ``crates/common/src/document.rs``)."""


class _Members(list[tuple[str, Any]]):
    """The members of an object in order, with repeated keys."""


@dataclass(frozen=True, slots=True)
class _Number:
    """A number that a float64 cannot hold: too large (infinite), or rounded."""

    literal: str
    value: float


@dataclass(slots=True)
class Parsed:
    """The value and the faults of a record."""

    value: Value = None
    """The whole record; faulty parts are null or left out."""
    faults: list[Fault] = field(default_factory=list)
    readable: bool = True
    """False if there is no value."""


def parse(raw: bytes) -> Parsed:
    """Parse a record in ``convex_encoded_json`` and check it against Convex's limits.

    The limits are those of get-convex/convex-backend (`sync_tool.encoding.sizes`); field names:
    ``crates/convex/sync_types/src/identifier.rs``. The size includes ``_id`` and ``_creationTime``, which Convex adds.
    """
    parsed = Parsed()
    try:
        tree = _tree(raw)
    except _NoJsonError as error:
        return Parsed(None, [error.fault], readable=False)
    if not isinstance(tree, _Members):
        return Parsed(None, [Fault("not-object", "$", _kind_of(tree))], readable=False)
    parsed.value = _Walk(parsed.faults).value(tree, "$", 1)
    if not isinstance(parsed.value, dict):  # a single tag is a value, no object
        return Parsed(None, [*parsed.faults, Fault("not-object", "$", _kind_of(parsed.value))], readable=False)
    parsed.faults += _system_faults(parsed.value)
    if not any(fault.rule == "lone-surrogate" for fault in parsed.faults):
        size = stored_size(parsed.value)
        if size > MAX_DOCUMENT_BYTES:
            parsed.faults.append(Fault("too-large", "$", f"{size:,} bytes"))
    return parsed


def stored_size(document: dict[str, Value]) -> int:
    """Return the size of a stored row as Convex counts it, with its system fields."""
    added = (_ID_SIZE if "_id" not in document else 0) + (_TIME_SIZE if "_creationTime" not in document else 0)
    return size_of(document) + added


def step(path: str, key: str) -> str:
    """Return the JSON path of a field."""
    return f"{path}.{key}" if _PLAIN_NAME.fullmatch(key) else f"{path}[{json.dumps(key[:_SHOWN])}]"


def shown(text: str) -> str:
    """Return a text on one line, short enough for a message."""
    return one_line(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")


class _NoJsonError(Exception):
    def __init__(self, rule: str, detail: str) -> None:
        self.fault = Fault(rule, "$", detail)


def _tree(raw: bytes) -> Any:
    if raw.startswith(b"\xef\xbb\xbf"):
        raise _NoJsonError("byte-order-mark", "")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise _NoJsonError("not-utf8", f"byte {error.start + 1}: {error.reason}") from None
    try:
        return json.loads(
            text, object_pairs_hook=_Members, parse_float=_float, parse_int=_integer, parse_constant=_constant
        )
    except json.JSONDecodeError as error:
        raise _NoJsonError("not-json", f"column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise _NoJsonError("too-deep", "hundreds of levels") from None


def _float(literal: str) -> Any:
    number = float(literal)
    return number if math.isfinite(number) else _Number(shown(literal), number)


def _integer(literal: str) -> Any:
    number = float(literal)
    if not math.isfinite(number):
        return _Number(shown(literal), number)
    return number if len(literal) < 16 or int(literal) == int(number) else _Number(shown(literal), number)


def _constant(name: str) -> Any:
    raise _NoJsonError("not-json", f'{name} is no JSON; Convex spells it {{"$float": …}}')


class _Walk:
    """Walks a tree, records faults and builds the value."""

    def __init__(self, faults: list[Fault]) -> None:
        self._faults = faults

    def value(self, node: Any, path: str, depth: int) -> Value:
        """Return the value of `node`; `depth` is its level if it is an array or object."""
        if isinstance(node, _Members):
            if len(node) == 1 and node[0][0] in _TAGS:
                return self._tagged(node[0], path)
            return self._object(node, path, depth)
        if isinstance(node, list):
            return self._array(node, path, depth)
        if isinstance(node, str):
            return self._text(node, path)
        if isinstance(node, _Number):
            rule = "number-rounded" if math.isfinite(node.value) else "number-range"
            self._note(rule, path, node.literal)
            return node.value
        return node

    def _tagged(self, member: tuple[str, Any], path: str) -> Value:
        tag, content = member
        try:
            return decode({tag: content if isinstance(content, str) else None})
        except ValueError as error:
            self._note("bad-tag", path, str(error))
            return None

    def _object(self, members: _Members, path: str, depth: int) -> Value:
        built: dict[str, Value] = {}
        for key, item in members:
            here = step(path, key)
            rule = _key_rule(key)
            if key in built:
                self._note("duplicate-key", here)
            if rule:
                self._note(rule, here)
            built[key if rule != "key-characters" else _SURROGATE.sub("?", key)] = self._inside(item, here, depth)
        if len(built) > MAX_OBJECT_FIELDS:
            self._note("too-many-fields", path, f"{len(built):,} fields")
        return built

    def _array(self, items: list[Any], path: str, depth: int) -> Value:
        if len(items) > MAX_ARRAY_ITEMS:
            self._note("too-many-items", path, f"{len(items):,} items")
        return [self._inside(item, f"{path}[{number}]", depth) for number, item in enumerate(items)]

    def _inside(self, item: Any, path: str, depth: int) -> Value:
        """Return an item of an array or object on level `depth`; null, with a fault, below the last level."""
        is_tag = isinstance(item, _Members) and len(item) == 1 and item[0][0] in _TAGS
        if depth == MAX_DOCUMENT_NESTING and isinstance(item, list) and not is_tag:
            self._note("too-deep", path)
            return None
        return self.value(item, path, depth + 1)

    def _text(self, text: str, path: str) -> str:
        if not text.isascii() and _SURROGATE.search(text):
            self._note("lone-surrogate", path)
        return text

    def _note(self, rule: str, path: str, detail: str = "") -> None:
        self._faults.append(Fault(rule, path, detail))


def _key_rule(key: str) -> str | None:
    if key.startswith("$"):
        return "dollar-key"
    if key == "__proto__":
        return "proto-key"
    if not _PRINTABLE.fullmatch(key):
        return "key-characters"
    return "key-too-long" if len(key) > MAX_FIELD_NAME_BYTES else None


def _system_faults(document: dict[str, Value]) -> Iterator[Fault]:
    for key, value in document.items():
        if not key.startswith("_") or key == "__proto__":
            continue
        wanted = {"_id": str, "_creationTime": float}.get(key)
        if wanted is None:
            yield Fault("system-field", step("$", key))
        elif type(value) is not wanted:
            yield Fault("system-value", step("$", key), _kind_of(value))
        elif isinstance(value, float) and not 0.0 < value < END_OF_TIME:
            yield Fault("system-value", step("$", key), str(value))


def _kind_of(value: Any) -> str:
    """Return the kind of a value in words."""
    names = {dict: "an object", list: "an array", str: "text", bool: "a boolean", int: "an Int64", bytes: "bytes"}
    return "null" if value is None else names.get(type(value), "a number")


# The rules of the level ``loadable``, and the warnings. JavaScript reads with ``mapStoredMessagesToChatMessages`` of
# @langchain/core 0.2.19 and newer, Python with ``messages_from_dict`` of langchain-core 1.x. One unreadable message
# makes both fail for its whole session.

READABLE: Final = frozenset({"human", "ai", "system", "tool", "function", "generic", "chat"})
STATUSES: Final = frozenset({"success", "error"})
TOTALS: Final = ("input_tokens", "output_tokens", "total_tokens")
OTHER_NAMES: Final[dict[Language, str]] = {"js": "token_usage", "python": "tokenUsage"}
"""A key of ``response_metadata`` that only the other language writes."""
ESCAPED: Final = "__lc_escaped__"
_PYTHON_FIELDS: Final = frozenset({"type", "name", "id"})
"""Python always writes these, null if there is no value."""


def loading_faults(kind: str, data: dict[str, Any], path: str, language: Language) -> Iterator[Fault]:
    """Yield the faults that keep LangChain from reading the message ``{type: kind, data}`` at `path`."""
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
        yield Fault("function-name", f"{here}.name", _kind_of(data.get("name")) if "name" in data else "missing")
    if kind == "tool":
        yield from _tool_faults(data, here)
    if kind == "ai":
        yield from _ai_faults(data, here)
    if language == "python" and "additional_kwargs" in data and data["additional_kwargs"] is None:
        yield Fault("kwargs-null", f"{here}.additional_kwargs")


def loading_warnings(message: dict[str, Any], path: str, language: Language) -> Iterator[Fault]:
    """Yield warnings about values that LangChain may read in another sense."""
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
        yield Fault("tool-calls", f"{path}.tool_calls", _kind_of(calls))
    usage = data.get("usage_metadata")
    if usage is None:
        return
    if not isinstance(usage, dict):
        yield Fault("usage", f"{path}.usage_metadata", _kind_of(usage))
        return
    for name in TOTALS:
        if not _is_whole(usage.get(name)):
            there = _kind_of(usage[name]) if name in usage else "missing"
            yield Fault("usage", f"{path}.usage_metadata.{name}", there)


def _call_fault(call: Any) -> tuple[str, str] | None:
    """Return where and how a tool call is wrong; None if it is right."""
    if not isinstance(call, dict):
        return "", _kind_of(call)
    for name, wanted in (("name", str), ("args", dict), ("id", object)):
        if name not in call:
            return f".{name}", "missing"
        if not isinstance(call[name], wanted):
            return f".{name}", _kind_of(call[name])
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


# The shape of a row, at all levels at once. The fields of each version were found by running LangChain's releases;
# ``wideMessageData`` in ``convex/validators.ts`` is the level ``langchain`` as a validator.

DOCUMENTED_FIELDS: Final = frozenset({"content", "role", "name", "additional_kwargs"})
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "id": (str, type(None)),
    "tool_call_id": (str,),
    "status": (str,),
    "example": (bool,),
    "type": (str,),
}
"""Types of the fields that are neither documented nor open."""
LANGCHAIN_FIELDS: Final = DOCUMENTED_FIELDS | frozenset({
    *_TYPES, "response_metadata", "tool_calls", "invalid_tool_calls", "tool_call_chunks", "usage_metadata",
    "artifact", "metadata", "content_blocks", "chunk_position",
})  # fmt: skip

_FORMS: Final = {
    rewrites.FLAT_TEXT: "flat-text",
    rewrites.FLAT_FIELDS: "flat-fields",
    rewrites.SERIALISED: "serialised",
    rewrites.OPENAI: "openai",
}
"""The rule for each foreign form of a message."""


def shape_faults(row: dict[str, Value], names: Names, language: Language) -> Iterator[Fault]:
    """Yield the faults in the shape of a row, at any level."""
    known = {"_id", "_creationTime", names.session_field, names.message_field}
    for key in row.keys() - known:
        if not key.startswith("_"):
            yield Fault("row-field", step("$", key))
    session = row.get(names.session_field)
    if not isinstance(session, str):
        there = _kind_of(session) if names.session_field in row else "missing"
        yield Fault("session-id", step("$", names.session_field), there)
    path = step("$", names.message_field)
    message = row.get(names.message_field)
    if isinstance(message, dict):
        yield from _message_faults(message, path, language)
    else:
        yield Fault("message", path, _kind_of(message) if names.message_field in row else "missing")


def _message_faults(message: dict[str, Any], path: str, language: Language) -> Iterator[Fault]:
    form = rewrites.dialect_of(message)
    if form is not None:
        cure = form if form in rewrites.REWRITES else None
        yield Fault(_FORMS[form], path, rewrite=cure)
        return
    for key in message.keys() - {"type", "data"}:
        yield Fault("message-field", step(path, key))
    kind = message.get("type")
    if not isinstance(kind, str):
        yield Fault("type", f"{path}.type", _kind_of(kind) if "type" in message else "missing")
    data = message.get("data")
    if not isinstance(data, dict):
        yield Fault("data", f"{path}.data", _kind_of(data) if "data" in message else "missing")
        return
    yield from _content_faults(data, f"{path}.data")
    yield from _field_faults(data, f"{path}.data")
    if isinstance(kind, str):
        if isinstance(data.get("type"), str) and data["type"] != kind:
            yield Fault("type-differs", f"{path}.data.type", f"{shown(data['type'])} in a {shown(kind)}")
        yield from loading_faults(kind, data, path, language)


def _content_faults(data: dict[str, Any], path: str) -> Iterator[Fault]:
    here = f"{path}.content"
    content = data.get("content")
    if "content" not in data:
        if isinstance(data.get("content_blocks"), list):
            yield Fault("content-blocks", here, rewrite=rewrites.CONTENT_BLOCKS)
        else:
            yield Fault("content-missing", here)
    elif isinstance(content, list):
        yield Fault("content-list", here)
        for number, item in enumerate(content):
            if not isinstance(item, str | dict):
                yield Fault("content-item", f"{here}[{number}]", _kind_of(item))
    elif not isinstance(content, str):
        yield Fault("content-type", here, _kind_of(content))


def _field_faults(data: dict[str, Any], path: str) -> Iterator[Fault]:
    for key, value in data.items():
        here = step(path, key)
        if key not in LANGCHAIN_FIELDS:
            yield Fault("unknown-field", here)
        elif key not in DOCUMENTED_FIELDS:
            yield Fault("langchain-field", here)
            if key in _TYPES and not isinstance(value, _TYPES[key]):
                yield Fault("field-type", here, _kind_of(value))
    if "role" in data and not isinstance(data["role"], str):
        yield Fault("role-type", f"{path}.role", _kind_of(data["role"]))
    if "name" in data and data["name"] is None:
        yield Fault("name-null", f"{path}.name")
    elif "name" in data and not isinstance(data["name"], str):
        yield Fault("name-type", f"{path}.name", _kind_of(data["name"]))
