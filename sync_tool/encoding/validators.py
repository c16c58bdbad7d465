"""Convex validators (``v.string()`` and so on): check a value, spell themselves as text and as JSON, and back.

Source: get-convex/convex-backend, ``crates/common/src/schemas/{validator,json}.rs``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from sync_tool.encoding.ids import decode_id
from sync_tool.encoding.values import Json, Value, decode, encode

Fault = tuple[str, str, str]
"""Fault, its path, and further lines."""


def show(value: Value) -> str:
    """Spell a value as the backend does in messages."""
    kind = type(value)
    if type(value) is str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if value is None or kind is bool:
        return "null" if value is None else "true" if value else "false"
    if kind is list:
        return "[" + ", ".join(map(show, value)) + "]"
    if kind is dict:
        return "{" + ", ".join(f"{name}: {show(item)}" for name, item in sorted(value.items())) + "}"
    return repr(value)


@dataclass(frozen=True)
class Validator:
    """One validator.

    Attributes:
        text: how it is written in TypeScript.
        json: how a deployment reports it.
        check: returns the fault of a value, or None.
        optional: as a field of an object, it may be missing.
    """

    text: str
    json: Json
    check: Callable[[Value], Fault | None]
    optional: bool = False
    fields: dict[str, Validator] = field(default_factory=dict)

    def explain(self, value: Value) -> str | None:
        """Return the backend's text about what is wrong with `value`, or None if nothing is."""
        fault = self.check(value)
        if fault is None:
            return None
        message, path, lines = fault
        where = f"Path: {path}" if path else ""
        return f"{message}\n{where}{lines}" if lines else f"{message}{where}"

    def field_json(self) -> Json:
        """How it is reported as a field of an object."""
        return {"fieldType": self.json, "optional": self.optional}


def _mismatch(value: Value, text: str) -> Fault:
    return "Value does not match validator.", "", f"\nValue: {show(value)}\nValidator: {text}"


def _plain(name: str, json_name: str, kind: type) -> Validator:
    text = f"v.{name}()"

    def check(value: Value) -> Fault | None:
        return None if type(value) is kind else _mismatch(value, text)

    return Validator(text, {"type": json_name}, check)


ANY: Final = Validator("v.any()", {"type": "any"}, lambda _: None)
NULL: Final = _plain("null", "null", type(None))
NUMBER: Final = _plain("float64", "number", float)
BOOLEAN: Final = _plain("boolean", "boolean", bool)
STRING: Final = _plain("string", "string", str)
INT64: Final = _plain("int64", "bigint", int)
BYTES: Final = _plain("bytes", "bytes", bytes)

_PLAIN: Final = {item.json["type"]: item for item in (ANY, NULL, NUMBER, BOOLEAN, STRING, INT64, BYTES)}


def from_json(json: Json) -> Validator:
    """Return the validator that a deployment reports (``_system/frontend/getSchemas``).

    A kind that is not known here takes everything: the deployment itself has the last word.
    """
    kind = json["type"]
    inner = json.get("value")
    if kind == "literal":
        return literal(decode(inner))
    if kind == "id":
        return document_id(json["tableName"])
    if kind == "array":
        return array(from_json(inner))
    if kind == "union":
        return union(*map(from_json, inner))
    if kind == "record":
        return record(from_json(json["keys"]), from_json(json["values"]["fieldType"]))
    if kind == "object":
        return obj({name: _field_from_json(item) for name, item in inner.items()})
    return _PLAIN.get(kind, ANY)


def _field_from_json(json: Json) -> Validator:
    field_validator = from_json(json["fieldType"])
    return optional(field_validator) if json.get("optional") else field_validator


def literal(expected: Value) -> Validator:
    """``v.literal(...)``."""
    text = f"v.literal({show(expected)})"

    def check(value: Value) -> Fault | None:
        if value == expected and type(value) is type(expected):
            return None
        return f"`{show(value)}` does not match literal validator `{text}`.", "", ""

    return Validator(text, {"type": "literal", "value": encode(expected)}, check)


def document_id(table: str) -> Validator:
    """``v.id(table)``; here any well-formed id passes, whatever its table."""
    text = f'v.id("{table}")'

    def check(value: Value) -> Fault | None:
        try:
            decode_id(value if isinstance(value, str) else "")
        except ValueError:
            return _mismatch(value, text)
        return None

    return Validator(text, {"type": "id", "tableName": table}, check)


def optional(inner: Validator) -> Validator:
    """``v.optional(...)``."""
    return Validator(f"v.optional({inner.text})", inner.json, inner.check, True, inner.fields)


def array(item: Validator) -> Validator:
    """``v.array(...)``."""
    text = f"v.array({item.text})"

    def check(value: Value) -> Fault | None:
        if type(value) is not list:
            return _mismatch(value, text)
        return _first_fault((f"[{number}]", item, part) for number, part in enumerate(value))

    return Validator(text, {"type": "array", "value": item.json}, check)


def record(key: Validator, item: Validator) -> Validator:
    """``v.record(...)``."""
    text = f"v.record({key.text}, {item.text})"
    json = {"type": "record", "keys": key.json, "values": {"fieldType": item.json, "optional": False}}

    def check(value: Value) -> Fault | None:
        if type(value) is not dict or any(key.check(name) is not None for name in value):
            return _mismatch(value, text)
        return _first_fault((f".{name}", item, part) for name, part in value.items())

    return Validator(text, json, check)


def union(*members: Validator) -> Validator:
    """``v.union(...)``."""
    text = "v.union(" + ", ".join(member.text for member in members) + ")"

    def check(value: Value) -> Fault | None:
        if any(member.check(value) is None for member in members):
            return None
        return _mismatch(value, text)

    return Validator(text, {"type": "union", "value": [member.json for member in members]}, check)


def obj(fields: dict[str, Validator]) -> Validator:
    """``v.object({...})``: closed, so a field that is not listed is a fault."""
    text = "v.object({" + ", ".join(f"{name}: {item.text}" for name, item in sorted(fields.items())) + "})"
    json = {"type": "object", "value": {name: item.field_json() for name, item in fields.items()}}

    def lines(value: Value) -> str:
        return f"\nObject: {show(value)}\nValidator: {text}"

    def check(value: Value) -> Fault | None:
        if type(value) is not dict:
            return _mismatch(value, text)
        missing = next((n for n, item in sorted(fields.items()) if n not in value and not item.optional), None)
        if missing is not None:
            advice = "Consider wrapping the field validator in `v.optional(...)` if this is expected."
            return f"Object is missing the required field `{missing}`. {advice}", "", lines(value)
        fault = _first_fault((f".{name}", item, value[name]) for name, item in fields.items() if name in value)
        extra = next((name for name in sorted(value) if name not in fields), None)
        if fault is None and extra is not None:
            return f"Object contains extra field `{extra}` that is not in the validator.", "", lines(value)
        return fault

    return Validator(text, json, check, fields=fields)


def _first_fault(parts: Any) -> Fault | None:
    for step, item, part in parts:
        fault = item.check(part)
        if fault is not None:
            message, path, lines = fault
            return message, step + path, lines
    return None
