"""Rows of snapshots from before March 2026, whose int64 and bytes stand there as strings.

Beside the rows of a table lay its shape, written as text such as ``{"_id": id<10001>, "n"?: int64 | null}``.
A string becomes an int64, bytes or an infinity where the shape leaves only that; otherwise it is a string,
unless a line for this very document says more. Numbers are float64 always.
Source: get-convex/convex-backend, ``crates/shape_inference/src/pretty.rs`` and ``export_context.rs``.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from sync_tool.encoding.values import INT64_MAX, INT64_MIN, Json, Value

_NAMED: Final = (
    "never", "null", "int64", "float64", "-inf", "inf", "-0", "NaN", "normalfloat64", "boolean", "field_name",
    "string", "bytes", "unknown",
)  # fmt: skip
_UNIT = re.compile("|".join(map(re.escape, _NAMED)))
_KEY = re.compile(r'"([^"]*)"(\?)?: ')
_LITERAL = re.compile(r'"[^"]*"')
_ID = re.compile(r"id<\d+>")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_MOST_NESTED: Final = 64
"""Deeper than Convex nests values; a shape is read by recursion."""

_decoder = msgspec.json.Decoder()

Hint = Any
"""Hint in a document's own line: ``"infer"``, ``"int64"``, ``"float64inf"``, ``"bytes"``, a list or an object
of hints, or ``{"$float64NaN": base64}``."""


@dataclass(slots=True)
class Shape:
    """Shape of the values of one place: one kind, or (`union`) several."""

    kind: str
    parts: tuple[Shape, ...] = ()
    """The members of a union, the element of an array, key and value of a record."""
    fields: dict[str, Shape] = field(default_factory=dict)

    def options(self) -> tuple[Shape, ...]:
        """Return the members of a union, or the shape itself."""
        if self.kind != "union":
            return (self,)
        return tuple(option for part in self.parts for option in part.options())


_STRINGS: Final[dict[str, tuple[str, ...]]] = {
    "int64": ("int64",),
    "-inf": ("float64inf",),
    "inf": ("float64inf",),
    "NaN": ("nan", "float64inf"),
    "float64": ("nan", "float64inf"),
    "string": ("infer",),
    "bytes": ("bytes",),
    "unknown": ("infer", "float64inf", "nan", "int64", "bytes"),
}
"""Types that a string may encode, by the kind of the shape. NaN has many values, so it is never certain."""


def parse_shape(text: str) -> Shape:
    """Read a shape.

    Raises:
        ValueError: not a shape.
    """
    parser = _Parser(text)
    shape = parser.union(0)
    if parser.rest():
        raise ValueError(f"not a shape: unexpected {parser.rest()[:40]!r}")
    return shape


def legacy_reader(schema: bytes, overrides: Iterable[bytes]) -> Callable[[bytes], Value]:
    """Return what makes a value of a line.

    Args:
        schema: first line of the generated schema, a JSON string that holds the shape.
        overrides: its other lines, ``{"<_id>": hint}``; all are held.

    Raises:
        ValueError: a line is not what it should be.
    """
    text = _decoder.decode(schema)
    if type(text) is not str:
        raise ValueError("the first line of a generated schema is a string")
    shape = parse_shape(text)
    hints = dict(_override(line) for line in overrides)

    def value_of(line: bytes) -> Value:
        row = _decoder.decode(line)
        name = row.get("_id") if type(row) is dict else None
        return _value(row, (shape,), hints.get(name, "infer") if type(name) is str else "infer")

    return value_of


class _Parser:
    """A shape's text, read from the left."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def rest(self) -> str:
        """Return what was not read yet."""
        return self._text[self._at :]

    def union(self, depth: int) -> Shape:
        """Read one shape, or several with bars between them."""
        if depth > _MOST_NESTED:
            raise ValueError("not a shape: nested too deeply")
        parts = [self._one(depth)]
        while self._skip(" | "):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else Shape("union", tuple(parts))

    def _one(self, depth: int) -> Shape:
        if unit := self._match(_UNIT):
            return Shape("string" if unit[0] == "field_name" else unit[0])
        if self._match(_ID) or self._match(_LITERAL):
            return Shape("string")
        if self._skip("{"):
            return Shape("object", fields=dict(self._fields(depth)))
        if self._skip("array<"):
            return Shape("array", (self._up_to(">", depth),))
        if self._skip("record<"):
            return Shape("record", (self._up_to(", ", depth), self._up_to(">", depth)))
        raise ValueError(f"not a shape: unexpected {self.rest()[:40]!r}")

    def _fields(self, depth: int) -> Iterator[tuple[str, Shape]]:
        while not self._skip("}"):
            key = self._match(_KEY)
            if key is None:
                raise ValueError(f"not a shape: no field at {self.rest()[:40]!r}")
            yield key[1], self.union(depth + 1)
            if not self._skip(", ") and not self._text.startswith("}", self._at):
                raise ValueError(f"not a shape: unexpected {self.rest()[:40]!r}")

    def _up_to(self, end: str, depth: int) -> Shape:
        shape = self.union(depth + 1)
        if not self._skip(end):
            raise ValueError(f"not a shape: {end!r} is missing before {self.rest()[:40]!r}")
        return shape

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self._text, self._at)
        if match:
            self._at = match.end()
        return match

    def _skip(self, text: str) -> bool:
        found = self._text.startswith(text, self._at)
        self._at += len(text) if found else 0
        return found


def _override(line: bytes) -> tuple[str, Hint]:
    record = _decoder.decode(line)
    if type(record) is not dict or len(record) != 1:
        raise ValueError("not an object with one document's id")
    ((name, hint),) = record.items()
    return name, hint


def _value(json: Json, shapes: tuple[Shape, ...], hint: Hint) -> Value:
    kind = type(json)
    if kind is str:
        return _of_string(json, shapes, hint)
    if kind is int or kind is float:
        return float(json)
    if kind is list:
        return _of_list(json, shapes, hint)
    if kind is dict:
        return _of_object(json, shapes, hint)
    return json


def _of_list(json: list[Json], shapes: tuple[Shape, ...], hint: Hint) -> Value:
    if hint != "infer" and (type(hint) is not list or len(hint) != len(json)):
        raise ValueError("the generated schema says something else than an array of this length")
    hints = ["infer"] * len(json) if hint == "infer" else hint
    inner = tuple(found for shape in shapes for option in shape.options() for found in _element(option))
    return [_value(item, inner, own) for item, own in zip(json, hints, strict=True)]


def _of_object(json: dict[str, Json], shapes: tuple[Shape, ...], hint: Hint) -> Value:
    if hint != "infer" and (type(hint) is not dict or "$float64NaN" in hint):
        raise ValueError("the generated schema says something else than an object")
    hints = {} if hint == "infer" else hint
    options = [option for shape in shapes for option in shape.options()]
    value = {}
    for name, item in json.items():
        if name.startswith("$"):
            raise ValueError(f"field name {name!r}: a Convex field name does not begin with '$'")
        inner = tuple(found for option in options for found in _field(option, name))
        value[name] = _value(item, inner, hints.get(name, "infer"))
    return value


def _element(shape: Shape) -> tuple[Shape, ...]:
    if shape.kind == "array":
        return shape.parts
    return (shape,) if shape.kind == "unknown" else ()


def _field(shape: Shape, name: str) -> tuple[Shape, ...]:
    if shape.kind == "object":
        return (shape.fields[name],) if name in shape.fields else ()
    if shape.kind == "record":
        return shape.parts[1:]
    return (shape,) if shape.kind == "unknown" else ()


def _of_string(text: str, shapes: tuple[Shape, ...], hint: Hint) -> Value:
    if type(hint) is dict and len(hint) == 1 and "$float64NaN" in hint:
        return _nan(text, hint["$float64NaN"])
    if hint == "infer":
        kinds = {option.kind for shape in shapes for option in shape.options()}
        possible = {reading for kind in kinds for reading in _STRINGS.get(kind, ())}
        hint = possible.pop() if len(possible) == 1 else "infer"
    if hint == "infer":
        return text
    if hint == "int64":
        if not _INTEGER.fullmatch(text) or not INT64_MIN <= int(text) <= INT64_MAX:
            raise ValueError(f"{text[:40]!r} should be an int64, says the generated schema")
        return int(text)
    if hint == "float64inf" and text in ("Infinity", "-Infinity"):
        return math.inf if text == "Infinity" else -math.inf
    if hint == "bytes":
        return _bytes(text)
    raise ValueError(f"{text[:40]!r} is not what the generated schema says")


def _nan(text: str, spelled: object) -> float:
    data = _bytes(spelled) if type(spelled) is str else b""
    if text != "NaN" or len(data) != 8 or not math.isnan(struct.unpack("<d", data)[0]):
        raise ValueError("the generated schema says NaN where none is")
    number: float = struct.unpack("<d", data)[0]
    return number


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{text[:40]!r} should be base64, says the generated schema") from None
