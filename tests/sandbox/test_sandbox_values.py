"""Every value Convex can hold, in and out, in every format."""

from __future__ import annotations

import base64
import json
import math
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from sync_tool.encoding import canonical
from sync_tool.encoding.order import sort_key
from sync_tool.encoding.values import decode, decode_export, encode
from sync_tool.sandbox.functions.calls import Call
from sync_tool.sandbox.functions.results import encode_result
from sync_tool.sandbox.instance import Instance
from sync_tool.sandbox.options import SandboxOptions
from sync_tool.sandbox.paths import parse_path
from values import OBJECTS, VALUES, same

from .box import Running

INSERT = "langchain/db:insert"


@pytest.fixture(scope="module")
def inside() -> Any:
    instance = Instance(SandboxOptions())
    yield instance
    instance.close()


def call(instance: Instance, path: str, **args: Any) -> Any:
    outcome = instance.caller.run(
        Call(parse_path(path), [encode(args)], admin=True), "Mutation" if path == INSERT else "Query"
    )
    if outcome.failure is not None:
        raise outcome.failure
    return outcome.value


@given(fields=OBJECTS)
@settings(max_examples=200)
def test_round_trip(inside: Instance, fields: dict[str, Any]) -> None:
    """A document comes back as it was, in both lossless formats, and its bytes are the canonical ones."""
    fields = {name: item for name, item in fields.items() if not name.startswith("_")}
    call(inside, INSERT, table="things", document=fields)
    page = call(inside, "convexMsgs:recent", table="things", limit=1.0, order="desc")
    encoded, exported = encode_result(page, "convex_encoded_json"), encode_result(page, "export_json")
    for document in (decode(json.loads(encoded))["rows"][0], decode_export(msgspec.json.decode(exported))["rows"][0]):
        assert same({name: item for name, item in document.items() if not name.startswith("_")}, fields)
    assert page["rows"][0].body in encoded
    assert canonical.dumps(page["rows"][0].document) == page["rows"][0].body


@given(value=VALUES)
def test_session_of_any_value(inside: Instance, value: Any) -> None:
    """A session field of any value is found by the position that the page before it gave."""
    call(inside, INSERT, table="messages", document={"sessionId": value})
    page = call(inside, "convexMsgs:page", sessionId=value, limit=4096.0)
    assert page["rows"]
    assert sort_key(page["cursor"]["sessionId"]) == sort_key(value)
    rest = call(inside, "convexMsgs:page", sessionId=value, after=page["cursor"], limit=1.0)
    assert same(rest, {"cursor": page["cursor"], "isDone": True, "rows": []})


@pytest.mark.parametrize(
    ("value", "encoded", "clean", "exported"),
    [
        (5.0, "5.0", "5.0", "5.0"),
        (1e16, "1e16", "1e16", "1e16"),
        (-0.0, '{"$float":"AAAAAAAAAIA="}', "-0.0", '{"$float":"AAAAAAAAAIA="}'),
        (math.inf, '{"$float":"AAAAAAAA8H8="}', '"Infinity"', '{"$float":"AAAAAAAA8H8="}'),
        (-math.inf, '{"$float":"AAAAAAAA8P8="}', '"-Infinity"', '{"$float":"AAAAAAAA8P8="}'),
        (7, '{"$integer":"BwAAAAAAAAA="}', '"7"', "7"),
        (b"ab", '{"$bytes":"YWI="}', '"YWI="', '{"$bytes":"YWI="}'),
        ("é", '"é"', '"é"', '"é"'),
        (None, "null", "null", "null"),
    ],
)
def test_spellings(value: Any, encoded: str, clean: str, exported: str) -> None:
    """Each kind of value is encoded as by the backend in each format, under both names of the format."""
    assert {encode_result(value, name).decode() for name in ("convex_encoded_json", "convex_json")} == {encoded}
    assert encode_result(value, "json").decode() == encode_result(value, "convex_clean_json").decode() == clean
    assert encode_result(value, "export_json").decode() == exported


def test_nan_over_the_wire(box: Running) -> None:
    """NaN keeps its bits from an argument to a stored document and back."""
    nan = base64.b64encode(struct.pack("<d", math.nan)).decode()
    box.append("nan", {"message": {"$float": nan}})
    assert box.page(sessionId="nan")["rows"][0]["message"] == {"$float": nan}
    assert box.page(sessionId="nan", table="messages")["rows"][0]["_id"]


def test_keys_are_sorted(box: Running) -> None:
    """Fields come back sorted at every level."""
    box.append("sorted", {"z": {"b": 1, "a": 2}, "B": 1})
    row = box.page(sessionId="sorted")["rows"][0]
    assert list(row) == ["B", "_creationTime", "_id", "sessionId", "z"]
    assert list(row["z"]) == ["a", "b"]
