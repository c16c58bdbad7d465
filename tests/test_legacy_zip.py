"""Snapshots from before March 2026, whose types stand in a shape beside the rows."""

from __future__ import annotations

import base64
import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_tool.encoding.canonical import dumps
from sync_tool.encoding.values import encode_clean
from sync_tool.errors import Damaged
from sync_tool.files.zip_legacy import legacy_reader, parse_shape
from values import SCALARS, same
from zips import pack, rows_in, snapshot

NAN = base64.b64encode(struct.pack("<d", math.nan)).decode()


def read(shape: str, row: Any, *overrides: Any) -> Any:
    """Return the value of a row that lies beside a shape."""
    lines = [json.dumps(line).encode() for line in overrides]
    return legacy_reader(json.dumps(shape).encode(), iter(lines))(json.dumps(row).encode())


@pytest.mark.parametrize(
    ("shape", "json_value", "value"),
    [
        ("int64", "5", 5),
        ("int64", "-9223372036854775808", -(2**63)),
        ("bytes", "aGk=", b"hi"),
        ("string", "5", "5"),
        ('"human" | "ai"', "ai", "ai"),
        ("id<10001>", "j57", "j57"),
        ("field_name", "a", "a"),
        ("int64 | null", "5", 5),
        ("int64 | normalfloat64 | null", "5", 5),
        ("int64 | string", "5", "5"),
        ("int64 | id<3>", "5", "5"),
        ("inf", "Infinity", math.inf),
        ("-inf | inf", "-Infinity", -math.inf),
        ("NaN", "NaN", "NaN"),
        ("float64", "Infinity", "Infinity"),
        ("unknown", "5", "5"),
        ("never", "5", "5"),
        ("float64", 5, 5.0),
        ("int64", 5, 5.0),
        ("array<int64>", ["1", "2"], [1, 2]),
        ("array<int64> | array<bytes>", ["aGk="], ["aGk="]),
        ("array<array<int64> | null>", [["1"], None], [[1], None]),
        ('{"a": int64, "b"?: bytes}', {"a": "1", "b": "aGk="}, {"a": 1, "b": b"hi"}),
        ('{"a": int64} | {"a": null, "b": string}', {"a": "1"}, {"a": 1}),
        ('{"a": int64} | {"a": string}', {"a": "1"}, {"a": "1"}),
        ("record<field_name, int64>", {"x": "1", "y": "2"}, {"x": 1, "y": 2}),
        ("record<string | id<3>, array<bytes>>", {"x": ["aGk="]}, {"x": [b"hi"]}),
        ("{}", {}, {}),
    ],
)
def test_a_string_is_what_the_shape_leaves(shape: str, json_value: Any, value: Any) -> None:
    """Only where the shape allows one reading is a string anything else; numbers are floats always."""
    found = read(f'{{"v": {shape}}}', {"v": json_value})
    assert same(found, {"v": value})


@pytest.mark.parametrize(
    ("hint", "json_value", "value"),
    [
        ("infer", "5", "5"),
        ("int64", "5", 5),
        ("bytes", "aGk=", b"hi"),
        ("float64inf", "-Infinity", -math.inf),
        ({"$float64NaN": NAN}, "NaN", math.nan),
        (["infer", "int64"], ["5", "5"], ["5", 5]),
        ({"a": {"b": "int64"}}, {"a": {"b": "5", "c": "5"}}, {"a": {"b": 5, "c": "5"}}),
    ],
)
def test_a_line_for_a_document_says_more(hint: Any, json_value: Any, value: Any) -> None:
    """If the shape allows several readings, the document's own line decides, for this document only."""
    overrides = ({"j57": {"v": hint}}, {"j58": {"v": "int64"}})
    assert same(read("unknown", {"_id": "j57", "v": json_value}, *overrides), {"_id": "j57", "v": value})
    assert same(read("unknown", {"_id": "j59", "v": "5"}, *overrides), {"_id": "j59", "v": "5"})


NAMES = st.from_regex(r"\A[a-zA-Z][a-zA-Z0-9_]{0,6}\Z")
LEGACY = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)


def hint_for(value: Any) -> Any:
    """Return the line that makes any value certain, as Convex wrote it beside a shape that says nothing."""
    if isinstance(value, dict):
        return {name: hint_for(item) for name, item in value.items()}
    if isinstance(value, list):
        return [hint_for(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return {"$float64NaN": base64.b64encode(struct.pack("<d", value)).decode()}
    if isinstance(value, float) and math.isinf(value):
        return "float64inf"
    return {int: "int64", bytes: "bytes"}.get(type(value), "infer")


def shape_of(value: Any) -> str:
    """Return a shape that fits one value only."""
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{name}": {shape_of(item)}' for name, item in value.items()) + "}"
    if isinstance(value, list):
        return f"array<{' | '.join(dict.fromkeys(map(shape_of, value))) or 'never'}>"
    names: dict[type, str] = {int: "int64", bytes: "bytes", str: "string", bool: "boolean", float: "normalfloat64"}
    return names.get(type(value), "null")


@given(st.dictionaries(NAMES, LEGACY, max_size=4))
def test_any_row_comes_back_by_its_own_line(row: dict[str, Any]) -> None:
    """Beside a shape that says nothing, with the line that Convex wrote for the row, no value changes."""
    row = {**row, "_id": "j57"}
    assert same(read("unknown", encode_clean(row), {"j57": hint_for(row)}), row)


PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5) | st.binary(max_size=5)


@given(st.dictionaries(NAMES, st.recursive(PLAIN, lambda inner: st.dictionaries(NAMES, inner, max_size=3)), max_size=4))
def test_any_row_comes_back_by_an_exact_shape(row: dict[str, Any]) -> None:
    """Beside a shape that fits it alone, a row needs no line of its own."""
    assert same(read(shape_of(row), encode_clean(row)), row)


@pytest.mark.parametrize(
    "shape",
    ["", "integer", '{"a": }', '{"a": int64', "{a: int64}", "array<int64", "record<string>", "int64 | ", "int64 x",
     "array<" * 100, "id<x>", '{"a": int64; "b": null}'],
)  # fmt: skip
def test_what_is_no_shape_is_said(shape: str) -> None:
    """A shape that cannot be read is an error that quotes the place."""
    with pytest.raises(ValueError, match="not a shape"):
        parse_shape(shape)


def test_an_older_snapshot_is_read(tmp_path: Path) -> None:
    """A whole zip of the older form: types from the shape, one row by its own line."""
    shape = (
        '{"_creationTime": normalfloat64, "_id": id<10001>, "message": {"data": {"content": string, "n"?: int64, '
        '"raw"?: bytes | string}, "type": "human" | "ai"}, "sessionId": string}'
    )
    rows = [
        {
            "_id": "j571",
            "_creationTime": 1.5,
            "message": {"type": "ai", "data": {"content": "7", "n": "7"}},
            "sessionId": "s",
        },
        {
            "_id": "j572",
            "_creationTime": 2,
            "message": {"type": "human", "data": {"content": "", "raw": "aGk="}},
            "sessionId": "s",
        },
    ]
    schema = json.dumps(shape) + "\n" + json.dumps({"j572": {"message": {"data": {"raw": "bytes"}}}}) + "\n"
    documents = "".join(json.dumps(row) + "\n" for row in rows)
    pack(tmp_path / "a.zip", snapshot(documents.encode(), schema.encode(), "snapshot/"))
    assert rows_in(tmp_path / "a.zip") == [
        dumps({**rows[0], "message": {"type": "ai", "data": {"content": "7", "n": 7}}}),
        dumps({**rows[1], "_creationTime": 2.0, "message": {"type": "human", "data": {"content": "", "raw": b"hi"}}}),
    ]


@pytest.mark.parametrize(
    ("schema", "where"),
    [
        (b"", "generated_schema.jsonl, line 1"),
        (b"{}\n", "generated_schema.jsonl, line 1"),
        (b'"integer"\n', "generated_schema.jsonl, line 1"),
        (b'"unknown"\n[]\n', "generated_schema.jsonl, line 2"),
        (b'"unknown"\n{"a":1,"b":2}\n', "generated_schema.jsonl, line 2"),
        (b'"unknown"\n{"j57":{"v":"int64"}}\n', "documents.jsonl, line 1"),
        (b'"unknown"\n{"j57":{"v":"bytes"}}\n', "documents.jsonl, line 1"),
        (b'"unknown"\n{"j57":{"v":"nothing"}}\n', "documents.jsonl, line 1"),
        (b'"unknown"\n{"j57":{"v":["infer"]}}\n', "documents.jsonl, line 1"),
        (b'"unknown"\n{"j57":["infer"]}\n', "documents.jsonl, line 1"),
        (b'"unknown"\n{"j57":{"v":{"$float64NaN":"AAAA"}}}\n', "documents.jsonl, line 1"),
    ],
)
def test_a_bad_schema_is_named(tmp_path: Path, schema: bytes, where: str) -> None:
    """Entry and line of what cannot be read, or does not fit the row."""
    pack(tmp_path / "a.zip", snapshot(b'{"_id":"j57","v":"xyz"}\n', schema))
    with pytest.raises(Damaged, match=f"a.zip, messages/{where}: "):
        rows_in(tmp_path / "a.zip")
