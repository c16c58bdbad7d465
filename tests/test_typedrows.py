"""Rows that hold a message and nothing beside it: the quick way gives what the general way gives."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sync_tool.encoding.canonical import dumps, loads
from sync_tool.encoding.plain import dumps_plain, plain_lines
from sync_tool.rows.columns import READ, Columns, flatten
from sync_tool.rows.model import Names
from sync_tool.rows.typed import decode_lines, encode_lines, flatten_rows, unflatten_rows
from values import DOCUMENTS, PLAIN_DOCUMENTS

NAMES = Names()
OTHER = Names("chats", "byUser", "zSession", "a")
_TEXTS = st.text(max_size=6)
_CONTENTS = _TEXTS | st.lists(_TEXTS | st.fixed_dictionaries({"type": st.just("text"), "text": _TEXTS}), max_size=3)
_USAGE = st.fixed_dictionaries({}, optional={"input_tokens": st.sampled_from([1.0, 2.5, True, None, "3"])})
_DATA = st.fixed_dictionaries(
    {},
    optional={
        "content": _CONTENTS | st.none(),
        "role": _TEXTS | st.none(),
        "name": _TEXTS | st.just(1.0),
        "tool_call_id": _TEXTS,
        "additional_kwargs": st.dictionaries(_TEXTS, st.floats(allow_nan=False, allow_infinity=False), max_size=2),
        "response_metadata": st.fixed_dictionaries({}, optional={"model": _TEXTS}) | st.none(),
        "usage_metadata": _USAGE | st.none(),
    },
)


@st.composite
def messages(draw: Any, names: Names = NAMES) -> dict[str, Any]:
    """Rows as LangChain writes them, and somewhat odder ones."""
    return {
        "_id": draw(st.text(min_size=1, max_size=3)),
        "_creationTime": draw(st.floats(0, 1e13)),
        names.session_field: draw(_TEXTS),
        names.message_field: {"type": draw(_TEXTS), "data": draw(_DATA)},
    }


def lines_of(documents: list[Any]) -> bytes:
    return b"".join(dumps(document) + b"\n" for document in documents)


def check(documents: list[Any], names: Names) -> bool:
    """Compare both ways there and back; False where the quick one leaves the rows to the other."""
    block = lines_of(documents)
    rows = decode_lines(block, names)
    if rows is None:
        return False
    assert encode_lines(rows, names) == block
    general = [Columns._make(flatten(loads(line), names, 1)) for line in block.split(b"\n")[:-1]]
    columns = flatten_rows(rows, [1] * len(documents), names)
    assert list(zip(*columns, strict=True)) == general
    read = dict(zip(("_id", "_creationTime", "created_at", "n", "sessionId", "type"), columns, strict=False))
    read |= dict(zip(("content", "role", "name", "tool_call_id"), columns[6:], strict=False))
    again = unflatten_rows([read[name] for name in READ[:-1]], columns[-1], names)
    if again is not None:
        assert encode_lines(again, names) == block
    return True


@given(st.lists(messages(), min_size=1, max_size=5))
def test_messages_are_the_same_both_ways(documents: list[dict[str, Any]]) -> None:
    """Columns, what is left over, and the lines made of them again are those of the general way."""
    block = lines_of(documents)
    assert check(documents, NAMES) == (plain_lines(block) is not None)


@given(st.lists(messages(OTHER), min_size=1, max_size=3))
def test_field_names_of_ones_own(documents: list[dict[str, Any]]) -> None:
    """A table's own field names, which sort otherwise, make no difference."""
    block = lines_of(documents)
    assert check(documents, OTHER) == (plain_lines(block) is not None)


@given(st.lists(DOCUMENTS | PLAIN_DOCUMENTS | messages(), min_size=1, max_size=4))
def test_other_rows_are_left_to_the_general_way(documents: list[dict[str, Any]]) -> None:
    """Whatever else Convex can hold is either given back exactly or not taken."""
    check(documents, NAMES)


_SPECIAL = [
    b"-0",
    b"-0.0",
    b"-0e5",
    b"-1e-400",
    b"[-0 ]",
    b'{"a":-0.00}',
    b'{"$integer":"AA=="}',
    b'{"\\u0024bytes":""}',
]


@given(messages(), st.sampled_from(_SPECIAL))
def test_no_special_value_is_taken_for_a_plain_one(document: dict[str, Any], value: bytes) -> None:
    """-0 however it is spelled, and tags, are left to the general way."""
    document["message"]["data"]["additional_kwargs"] = "HERE"
    assert decode_lines(dumps_plain(document).replace(b'"HERE"', value) + b"\n", NAMES) is None


def test_names_that_meet() -> None:
    """A table whose fields have one name, or an odd one, has no such rows."""
    for name in ("x", 'x"'):
        line = dumps({"_id": "a", "_creationTime": 1.0, name: {"type": "a", "data": {}}}) + b"\n"
        assert decode_lines(line, Names("m", "i", "x", name)) is None
