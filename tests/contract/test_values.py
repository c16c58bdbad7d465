"""Every value that Convex can hold goes in and comes out unchanged, and counts as many bytes as Convex counts."""

from __future__ import annotations

import math
import string
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sync_tool.encoding import canonical
from sync_tool.encoding.sizes import size_of

from .filled import PROPERTY
from .table import Table

_PRINTABLE: Final = "".join(sorted(string.ascii_letters + string.digits + string.punctuation + " "))
_NAMES: Final = st.text(_PRINTABLE, min_size=1, max_size=8).filter(
    lambda name: not name.startswith("$") and name != "__proto__"
)
_FLOATS: Final = st.floats(allow_nan=False) | st.just(math.nan)
"""One NaN for all: which bits a NaN has is not kept by every JavaScript engine."""
_INTEGERS: Final = st.integers(-(2**63), 2**63 - 1)
_SCALARS: Final = st.none() | st.booleans() | _INTEGERS | _FLOATS | st.text(max_size=12) | st.binary(max_size=9)
VALUES: Final = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=4), max_leaves=12
)

AWKWARD: Final[list[Any]] = [
    5, 5.0, -0.0, 0.0, 1e16, 1e15, 1e-7, 1e-5, 5e-324, 1.7976931348623157e308, 2.0**53 + 2, 0.1 + 0.2,
    math.nan, math.inf, -math.inf, -(2**63), 2**63 - 1, True, None, b"", b"\x00\xff" * 40, [], {}, [[]], [{}],
    "", "\x00", "\u2028\u2029", "\ufeff", "\uffff", "\U0001f468\u200d\U0001f469", "e\u0301", "\x7f\x1b[31m", '"\\/\b',
    {"10": 1.0, "9": 2.0, "a b": 3.0, "constructor": 4.0, "toString": 5.0, "length": 6.0},
    {"integer": "AAAA", "a$": 1.0}, [None, [None, [None]]],
]  # fmt: skip


def contents(table: Table, session: str) -> list[bytes]:
    """Return the contents of a session's messages, as canonical bytes since NaN equals nothing."""
    return [canonical.dumps(row["message"]["data"]["content"]) for row in table.rows(sessionId=session)]


@PROPERTY
@given(values=st.lists(VALUES, min_size=1, max_size=8))
@example(values=AWKWARD)
def test_values_are_kept_exactly(table: Table, values: list[Any]) -> None:
    """`page` returns any value that `append` stored, bit by bit, nested in any way."""
    session = table.session()
    documents = [table.message(session, value) for value in values]
    table.append_batches({"sessionId": session, "documents": documents})
    assert contents(table, session) == [canonical.dumps(value) for value in values]


@pytest.mark.parametrize("value", AWKWARD, ids=lambda value: repr(value)[:40])
def test_values_are_counted_exactly(table: Table, value: Any) -> None:
    """The bytes of each kind of value are counted as Convex counts them: a page ends to the byte."""
    session = table.session()
    documents = [table.message(session, content) for content in (value, value, "end")]
    table.append_batches({"sessionId": session, "documents": documents})
    size = 2 * size_of(table.stored(session)[0])
    assert len(table.query("page", sessionId=session, limit=9, maxBytes=size)["rows"]) == 2
    assert len(table.query("page", sessionId=session, limit=9, maxBytes=size - 1)["rows"]) == 1


def test_the_deepest_document(table: Table) -> None:
    """A document may be nested 16 deep, of which the row and its message take three."""
    deep: Any = "deep"
    for level in range(13):
        deep = [deep] if level % 2 else {"in": deep}
    session = table.session()
    table.append_batches({"sessionId": session, "documents": [table.message(session, deep)]})
    assert contents(table, session) == [canonical.dumps(deep)]


def test_long_arrays_and_wide_objects(table: Table) -> None:
    """8,192 items and 1,024 fields are what Convex allows, and are kept."""
    session = table.session()
    values: list[Any] = [[float(number) for number in range(8192)], {f"f{number}": number for number in range(1024)}]
    table.append_batches({"sessionId": session, "documents": [table.message(session, value) for value in values]})
    assert contents(table, session) == [canonical.dumps(value) for value in values]


def test_many_documents_in_one_call(table: Table) -> None:
    """A call takes thousands of documents and keeps their order."""
    session = table.session()
    ids = table.append(session, (f"{number}" for number in range(2000)))
    assert [row["_id"] for row in table.rows(sessionId=session, limit=4096)] == ids
