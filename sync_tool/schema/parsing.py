"""A record taken apart with nothing forgiven: each fault of its bytes and values, and the value itself.

Slow and thorough; `sync_tool.schema.fast` spares good records the way through here.
"""

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
from sync_tool.schema.rules import Fault
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
    """An object as the file has it: keys in order, a repeated one too."""


@dataclass(frozen=True, slots=True)
class _Number:
    """A literal that a float64 cannot give back: too large (infinite), or rounded."""

    literal: str
    value: float


@dataclass(slots=True)
class Parsed:
    """What a record holds."""

    value: Value = None
    """The whole record; faulty parts are null or left out."""
    faults: list[Fault] = field(default_factory=list)
    readable: bool = True
    """False if there is no value at all."""


def parse(raw: bytes) -> Parsed:
    """Take a record in ``convex_encoded_json`` apart and hold it to Convex's limits.

    The limits are those of get-convex/convex-backend (`sync_tool.encoding.sizes`); field names:
    ``crates/convex/sync_types/src/identifier.rs``. A row without ``_id`` or ``_creationTime`` is measured
    as if it had them, since Convex adds them.
    """
    parsed = Parsed()
    try:
        tree = _tree(raw)
    except _NoJsonError as error:
        return Parsed(None, [error.fault], readable=False)
    if not isinstance(tree, _Members):
        return Parsed(None, [Fault("not-object", "$", kind_of(tree))], readable=False)
    parsed.value = _Walk(parsed.faults).value(tree, "$", 1)
    if not isinstance(parsed.value, dict):  # a single tag is a value, no object
        return Parsed(None, [*parsed.faults, Fault("not-object", "$", kind_of(parsed.value))], readable=False)
    parsed.faults += _system_faults(parsed.value)
    if not any(fault.rule == "lone-surrogate" for fault in parsed.faults):
        size = stored_size(parsed.value)
        if size > MAX_DOCUMENT_BYTES:
            parsed.faults.append(Fault("too-large", "$", f"{size:,} bytes"))
    return parsed


def stored_size(document: dict[str, Value]) -> int:
    """Return the bytes that Convex counts for a row once it is stored, with its system fields."""
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
    """Goes through a tree, notes faults and builds the value."""

    def __init__(self, faults: list[Fault]) -> None:
        self._faults = faults

    def value(self, node: Any, path: str, depth: int) -> Value:
        """Return what `node` stands for; `depth` is the level it would be on if it is an array or object."""
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
        """Return an item of an array or object that is on level `depth`; below the last level nothing is looked at."""
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
            yield Fault("system-value", step("$", key), kind_of(value))
        elif isinstance(value, float) and not 0.0 < value < END_OF_TIME:
            yield Fault("system-value", step("$", key), str(value))


def kind_of(value: Any) -> str:
    """Say what a value is, for people."""
    names = {dict: "an object", list: "an array", str: "text", bool: "a boolean", int: "an Int64", bytes: "bytes"}
    return "null" if value is None else names.get(type(value), "a number")
