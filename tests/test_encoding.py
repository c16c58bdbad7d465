"""Convex values, their spellings, sizes, order and ids."""

from __future__ import annotations

import json
import math
import random
import struct
import subprocess

import msgspec
import pytest
from hypothesis import given, settings

from running import ROOT
from sync_tool.encoding import canonical, values
from sync_tool.encoding.ids import DocumentId, decode_id, encode_id
from sync_tool.encoding.order import MISSING, sort_key
from sync_tool.encoding.sizes import size_of
from values import VALUES, same


@given(VALUES)
def test_canonical_bytes_give_every_value_back(value: object) -> None:
    """Whatever Convex can hold comes back from canonical bytes as it was."""
    assert same(canonical.loads(canonical.dumps(value)), value)


@given(VALUES)
def test_canonical_bytes_are_a_fixed_point(value: object) -> None:
    """Reading and writing canonical bytes again changes no byte."""
    data = canonical.dumps(value)
    assert canonical.dumps(canonical.loads(data)) == data


@given(VALUES)
def test_export_json_gives_every_value_back(value: object) -> None:
    """The spelling inside uniform zips is lossless too."""
    text = msgspec.json.encode(values.encode_export(value))
    assert same(canonical.loads_export(text), value)


def test_bare_numbers_are_float64_however_spelled() -> None:
    """jq, JavaScript and pandas may write 5 for 5.0 without changing a type."""
    assert same(canonical.loads(b'{"a":5,"b":5.0,"c":5e0}'), {"a": 5.0, "b": 5.0, "c": 5.0})


@pytest.mark.parametrize(
    "text",
    [
        b'{"$integer":"AA=="}', b'{"$float":"!!"}', b'{"$bytes":5}', b'{"$ref":"x"}', b'"\\ud800"', b'"\xff"', b"1e999",
        b"NaN", b'{"a":', b"\xef\xbb\xbf{}", b"",
    ],
)  # fmt: skip
def test_what_is_no_value_is_a_value_error(text: bytes) -> None:
    """Wrong tags, lone surrogates, bad UTF-8, numbers out of range and broken JSON all raise ValueError."""
    with pytest.raises(ValueError, match=r"."):
        canonical.loads(text)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, {1, 2}, object(), "\ud800"])
def test_what_convex_cannot_hold_is_refused_on_the_way_out(value: object) -> None:
    """Integers beyond int64, foreign types and lone surrogates are never written."""
    with pytest.raises(ValueError, match=r"."):
        canonical.dumps({"a": value})


def test_numbers_are_spelled_as_convex_spells_them() -> None:
    """100,000 doubles of all magnitudes are written as Rust's ryu does: shortest digits, `1e16`, `5.0`, `1e-7`."""
    rng = random.Random(20260101)
    doubles = [5.0, 1e16, 1e15, 123456789012345680.0, 1e-7, 1e-5, 0.0001, 1.5e300, 5e-324]
    while len(doubles) < 100_000:
        (number,) = struct.unpack("<d", rng.randbytes(8))
        if math.isfinite(number):
            doubles.append(number)
    written = canonical.dumps(doubles).decode()[1:-1].split(",")
    assert written == [_ryu(number) for number in doubles]


def _ryu(number: float) -> str:
    """Spell a double by the rules of ryu's `format_finite` (dtolnay/ryu, src/pretty/mod.rs), from its digits."""
    sign = "-" if number < 0 else ""
    mantissa, _, exponent = f"{abs(number)!r}e0".partition("e")
    power = int(exponent.removesuffix("e0") or 0)
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + power - (len(whole + fraction) - len((whole + fraction).lstrip("0")))
    digits = digits.rstrip("0") or "0"
    if 0 < point <= 16 and len(digits) <= point:
        return f"{sign}{digits}{'0' * (point - len(digits))}.0"
    if 0 < point <= 16:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -5 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    head = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    return f"{sign}{head}e{point - 1}"


@settings(max_examples=25, deadline=None)
@given(VALUES)
def test_sizes_are_whole_numbers_that_grow_with_content(value: object) -> None:
    """Putting a value into a list adds two bytes, naming it adds the name and one."""
    assert size_of([value]) == size_of(value) + 2
    assert size_of({"ab": value}) == size_of(value) + 2 + 3


def test_size_of_a_document_is_the_reference_example() -> None:
    """A document with id, time and a two-letter body counts 72 bytes, as the backend's rules give."""
    assert size_of({"_id": "x" * 32, "_creationTime": 1.0, "body": "hi"}) == 72


def test_index_order_is_convexs() -> None:
    """Types sort as missing, null, int64, float64, boolean, string by UTF-8, bytes, array, object."""
    ordered = [
        MISSING, None, -(2**63), -1, 0, 7, -math.inf, -1.5, 0.0, 2.0, math.inf, False, True,
        "", "A", "a", "a\0", "a\0b", "aa", "\uffff", "\U0001f600", b"", b"a",
        [], [1], [1, 2], ["a"], {}, {"a": 1}, {"a": 1, "b": 2}, {"b": 0},
    ]  # fmt: skip
    keys = [sort_key(value) for value in ordered]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


def test_ids_are_the_official_ones() -> None:
    """Known ids from the backend's own sources encode and decode to the letter."""
    assert encode_id(DocumentId(10001, bytes.fromhex("000102030405060708090a0b0c0d512c"))) == (
        "j57000820c20a1g7104gm2rc1n8jsdxb"
    )
    known = decode_id("kg27rxfv99gzp01wmph0gvt92d6hnvy6")
    assert known.table_number == 540
    assert encode_id(known._replace(table_number=10001)) == "j577rxfv99gzp01wmph0gvt92d6hmbqa"


@pytest.mark.parametrize("text", ["", "u", "j57000820c20a1g7104gm2rc1n8jsdxc", "J57", "0" * 32, "z" * 40])
def test_a_wrong_id_is_a_value_error(text: str) -> None:
    """A changed letter, a foreign letter or another length is noticed."""
    with pytest.raises(ValueError, match="not a document id"):
        decode_id(text)


def test_the_official_decoder_reads_our_canonical_bytes() -> None:
    """The npm `convex` package's jsonToConvex and convexToJson agree with our encoding on every kind of value."""
    sample = {
        "int": [0, -1, 2**63 - 1, -(2**63)],
        "float": [0.5, -0.0, math.nan, math.inf, -math.inf, 5.0],
        "bytes": [b"", b"\x00\xff"],
        "text": ["", "é\u2028😀"],
        "rest": [None, True, False, [], {}],
    }
    script = (
        "import {jsonToConvex, convexToJson} from 'convex/values';"
        "let t='';process.stdin.on('data',d=>t+=d).on('end',()=>"
        "console.log(JSON.stringify(convexToJson(jsonToConvex(JSON.parse(t))))))"
    )
    node = ["node", "--input-type=module", "-e", script]
    done = subprocess.run(node, input=canonical.dumps(sample), capture_output=True, check=True, cwd=ROOT)
    assert same(canonical.loads(done.stdout), sample)
    assert json.loads(done.stdout)["int"] == json.loads(canonical.dumps(sample))["int"]
