"""Validates lines with jsonschema: LangChain's fields, and Convex's rules for depth, keys and sizes at every depth.

with_jsonschema.py FILE            how long it takes
with_jsonschema.py FILE verdicts   prints a line with 1 for good and 0 for bad records
"""

import json
import sys
import time

from jsonschema import Draft202012Validator

DEPTH, FIELDS, ITEMS, BYTES = 16, 1024, 8192, 1 << 20
KEY = {"pattern": r"^(?!\$)(?!__proto__$)[\x20-\x7e]*$", "maxLength": 1024}
SCALAR = {"type": ["null", "boolean", "number", "string"]}
TEXT, TEXT_OR_NULL = {"type": "string"}, {"type": ["string", "null"]}
ANYTHING = (
    "additional_kwargs", "tool_calls", "usage_metadata", "response_metadata", "invalid_tool_calls", "tool_call_chunks",
    "artifact", "metadata", "content_blocks", "chunk_position",
)  # fmt: skip


def value(level: int) -> dict:
    """Return the reference to any value that stands on a level of the document."""
    return {"$ref": f"#/$defs/level{level}"}


def nested(level: int) -> dict:
    """Return any value: a scalar, or an array or object of values one level below."""
    if level > DEPTH:
        return SCALAR
    below = value(level + 1)
    return {
        "anyOf": [
            SCALAR,
            {"type": "array", "maxItems": ITEMS, "items": below},
            {"type": "object", "maxProperties": FIELDS, "propertyNames": KEY, "additionalProperties": below},
        ]
    }


BLOCK = {"type": ["string", "object"], **value(5)}
DATA = {
    "type": "object",
    "required": ["content"],
    "additionalProperties": False,
    "properties": {
        "content": {"anyOf": [TEXT, {"type": "array", "maxItems": ITEMS, "items": BLOCK}]},
        "role": TEXT, "name": TEXT_OR_NULL, "id": TEXT_OR_NULL, "type": TEXT, "tool_call_id": TEXT, "status": TEXT,
        "example": {"type": "boolean"},
        **{name: value(4) for name in ANYTHING},
    },
}  # fmt: skip
SCHEMA = {
    "$defs": {f"level{level}": nested(level) for level in range(1, DEPTH + 2)},
    "type": "object",
    "required": ["sessionId", "message"],
    "maxProperties": FIELDS,
    "propertyNames": {**KEY, "not": {"pattern": "^_(?!id$|creationTime$)"}},
    "properties": {
        "_id": TEXT,
        "_creationTime": {"type": "number", "exclusiveMinimum": 0},
        "sessionId": TEXT,
        "message": {
            "type": "object",
            "required": ["type", "data"],
            "additionalProperties": False,
            "properties": {"type": TEXT, "data": DATA},
        },
    },
    "additionalProperties": value(2),
}
is_valid = Draft202012Validator(SCHEMA).is_valid


def is_good(line: bytes) -> bool:
    """Return whether a line is a good record."""
    try:
        return len(line) <= BYTES and is_valid(json.loads(line))
    except (ValueError, RecursionError):
        return False


with open(sys.argv[1], "rb") as file:
    began = time.perf_counter()
    verdicts = [is_good(line.rstrip(b"\n")) for line in file]
    seconds = time.perf_counter() - began
if sys.argv[2:]:
    print("".join("01"[verdict] for verdict in verdicts))
else:
    print(json.dumps({"rows": len(verdicts), "seconds": seconds, "bad": verdicts.count(False)}))
