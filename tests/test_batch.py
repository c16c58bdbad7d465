"""Batches: the typed form gives what the exact functions give, and nearly all real rows take it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sync_tool as cm
from running import ROOT
from sync_tool.encoding.canonical import dumps, loads
from sync_tool.encoding.plain import dumps_plain, plain_lines
from sync_tool.rows.batch import Batch, read_lines
from sync_tool.rows.columns import READ, Columns, flatten, flatten_batch, unflatten_rows
from sync_tool.rows.model import Names, Selection
from sync_tool.rows.reading import RowReader
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


def lines_of(documents: Iterable[Any]) -> bytes:
    """Return documents as canonical lines."""
    return b"".join(dumps(document) + b"\n" for document in documents)


def batch_of_lines(block: bytes, names: Names = NAMES) -> Batch:
    """Return canonical lines as a batch."""
    return read_lines(block, names, str)


def taken(batch: Batch) -> int:
    """Return how many rows take the typed form."""
    return sum(type(row) is not msgspec.Raw for row in batch.typed())


def check(documents: list[Any], names: Names) -> None:
    """Compare both directions with the exact functions."""
    block = lines_of(documents)
    batch = batch_of_lines(block, names)
    batch.numbers = [1] * len(documents)
    assert batch.lines() == block
    columns = flatten_batch(batch)
    exact = [Columns._make(flatten(loads(line), names, 1)) for line in block.split(b"\n")[:-1]]
    assert list(zip(*columns, strict=True)) == exact
    read = dict(zip(("_id", "_creationTime", "created_at", "n", "sessionId", "type"), columns, strict=False))
    read |= dict(zip(("content", "role", "name", "tool_call_id"), columns[6:], strict=False))
    for own in (True, False):
        again = unflatten_rows([read[name] for name in READ[:-1]], columns[-1], names, own=own)
        assert b"".join(dumps_of(row) + b"\n" for row in again) == block


def dumps_of(row: Any) -> bytes:
    """Return a row that `unflatten_rows` made as canonical JSON."""
    return bytes(row) if type(row) is msgspec.Raw else dumps_plain(row)


@given(st.lists(messages(), min_size=1, max_size=5))
def test_messages_are_the_same_both_ways(documents: list[dict[str, Any]]) -> None:
    """Columns, extras and the lines rebuilt from them are those of the exact functions."""
    block = lines_of(documents)
    if plain_lines(block) is not None:
        assert taken(batch_of_lines(block)) == len(documents)
    check(documents, NAMES)


@given(st.lists(messages(OTHER), min_size=1, max_size=3))
def test_own_field_names(documents: list[dict[str, Any]]) -> None:
    """A table's own field names, which sort otherwise, make no difference."""
    block = lines_of(documents)
    if plain_lines(block) is not None:
        assert taken(batch_of_lines(block, OTHER)) == len(documents)
    check(documents, OTHER)


@given(st.lists(DOCUMENTS | PLAIN_DOCUMENTS | messages(), min_size=1, max_size=4))
def test_other_rows_are_exact(documents: list[dict[str, Any]]) -> None:
    """Every document that Convex can hold comes back exactly, beside rows of the typed form."""
    check(documents, NAMES)


@given(messages())
def test_an_odd_row_costs_only_itself(document: dict[str, Any]) -> None:
    """A row that does not fit the typed form leaves its neighbours in it."""
    good = {"_id": "a", "_creationTime": 1.0, "sessionId": "s", "message": {"type": "human", "data": {"content": "x"}}}
    odd = {**document, "other": 1.0}
    batch = batch_of_lines(lines_of([good, odd, good]))
    assert [type(row) is msgspec.Raw for row in batch.typed()] == [False, True, False]


_SPECIAL = [
    b"-0",
    b"-0.0",
    b"-0e5",
    b"-1e-400",
    b"[-0 ]",
    b'{"a":-0.00}',
    b'{"$integer":"AAAAAAAAAAA="}',
    b'{"\\u0024bytes":""}',
]


@given(messages(), st.sampled_from(_SPECIAL))
def test_no_special_value_is_taken_for_a_plain_one(document: dict[str, Any], value: bytes) -> None:
    """-0 in every spelling, and tags, never take the typed form."""
    document["message"]["data"]["additional_kwargs"] = "HERE"
    line = dumps_plain(document).replace(b'"HERE"', value) + b"\n"
    assert taken(RowReader(NAMES).stored_page([line.strip()]).batch) == 0


@pytest.mark.parametrize("name", ["x", 'x"'])
def test_names_that_meet(name: str) -> None:
    """A table whose two fields have one name, or an odd one, has no typed form."""
    line = dumps({"_id": "a", "_creationTime": 1.0, name: {"type": "a", "data": {}}}) + b"\n"
    assert taken(batch_of_lines(line, Names("m", "i", "x", name))) == 0


def dialogues() -> bytes:
    """Return rows of the shape of public dialogue data sets: many short messages of two people."""
    folder = ROOT / "sample_data" / "dialogues"
    said = [text for path in sorted(folder.glob("*.txt")) for text in path.read_text().splitlines()]
    return lines_of(
        {
            "_id": f"id{n:06}",
            "_creationTime": 1.6e12 + n,
            "sessionId": f"chat-{n // 8:05}",
            "message": {"type": ("human", "ai")[n % 2], "data": {"content": text.strip(), "role": "user"}},
        }
        for n, text in enumerate(said)
    )


@pytest.mark.parametrize("names", [NAMES, Names("messages", "bySessionId", "thread_id", "body")], ids=["usual", "own"])
@pytest.mark.parametrize("data", ["sample", "dialogues"])
def test_nearly_all_real_rows_take_the_typed_form(data: str, names: Names) -> None:
    """At least 99 % of the rows of real data take it, whatever the fields are called."""
    block = (ROOT / "sample_data" / "messages.jsonl").read_bytes() if data == "sample" else dialogues()
    if names != NAMES:
        rows = (json.loads(line) for line in block.splitlines())
        block = lines_of(
            {names.session_field: row.pop("sessionId"), names.message_field: row.pop("message"), **row} for row in rows
        )
    count = block.count(b"\n")
    assert taken(batch_of_lines(block, names)) >= 0.99 * count
    pages = RowReader(names).stored_page(block.splitlines())
    assert taken(pages.batch) >= 0.99 * count


def test_a_selection_keeps_the_typed_form() -> None:
    """Pages of selected sessions and times are still batches of typed rows."""
    with cm.open(ROOT / "sample_data" / "messages.jsonl") as history:
        ids = [info.session for info in history.sessions()][:20]
        some = Selection(sessions=tuple(name for name in ids if isinstance(name, str)), after=1.0)
        batches = [page.batch for page in history.pages(some)]
    count = sum(batch.count for batch in batches)
    assert count > 200
    assert sum(map(taken, batches)) >= 0.99 * count
