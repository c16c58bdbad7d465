"""Hypothesis strategies for rows that LangChain writes, nearly writes, and never would; and for broken bytes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from sync_tool.encoding.canonical import dumps
from values import DOCUMENTS, OBJECTS, TEXT, VALUES

TYPES = st.sampled_from(
    ["human", "ai", "system", "tool", "function", "generic", "chat", "remove", "AIMessageChunk", "user"]
)
_BLOCKS = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}) | TEXT, max_size=3)
_CALL = st.fixed_dictionaries({"name": TEXT, "args": OBJECTS, "id": TEXT | st.none()}, optional={"type": TEXT})
_COUNTS = st.integers(0, 9).map(float)
_TIMES = st.sampled_from([1.0, 1739503179722.0957, 2.0**53 - 1, 2.0**53, 0.0, -1.0])
_USAGE = st.none() | st.fixed_dictionaries(
    dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), _COUNTS), optional={"input_token_details": OBJECTS}
)
_DOCUMENTED = {"role": TEXT, "name": TEXT, "additional_kwargs": OBJECTS}
_WRITTEN: dict[str, st.SearchStrategy[Any]] = {
    **_DOCUMENTED,
    "name": TEXT | st.none(),
    "id": TEXT | st.none(),
    "response_metadata": OBJECTS | st.just({"token_usage": {}}),
    "tool_calls": st.lists(_CALL, max_size=2),
    "invalid_tool_calls": st.just([]),
    "tool_call_chunks": st.just([]),
    "usage_metadata": _USAGE,
    "tool_call_id": TEXT,
    "status": st.sampled_from(["success", "error", "odd"]),
    "artifact": VALUES,
    "metadata": OBJECTS,
    "example": st.booleans(),
    "type": TYPES,
    "content_blocks": _BLOCKS,
    "chunk_position": st.none() | TEXT,
}
_DATA_DOCUMENTED = st.fixed_dictionaries({"content": TEXT}, optional=_DOCUMENTED)
_DATA_WRITTEN = st.fixed_dictionaries({"content": TEXT | _BLOCKS}, optional=_WRITTEN)
_DATA_NEARLY = st.fixed_dictionaries(
    {}, optional={"content": TEXT | VALUES, **{name: kind | VALUES for name, kind in _WRITTEN.items()}, "odd": VALUES}
)


def _rows(data: st.SearchStrategy[Any], **own: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    message = st.fixed_dictionaries({"type": TYPES, "data": data})
    return st.fixed_dictionaries({"sessionId": TEXT, "message": message}, optional=own)


DOCUMENTED_ROWS = _rows(_DATA_DOCUMENTED)
NEARLY_ROWS = st.one_of(
    DOCUMENTED_ROWS,
    _rows(_DATA_WRITTEN, _id=TEXT, _creationTime=_TIMES, userId=VALUES),
    _rows(_DATA_NEARLY, _id=TEXT | VALUES, _odd=VALUES),
    st.fixed_dictionaries(
        {}, optional={"sessionId": TEXT | VALUES, "message": VALUES | _DATA_NEARLY, "userId": VALUES, "_odd": VALUES}
    ),
    DOCUMENTS,
)
"""Rows from good to hopeless."""

_PIECES = (
    b'"$ref":1,', b'"__proto__":1,', b'"type":"ai",', b'"a\\u0024":1,', b'"\\u0061":1,', b'"a":1,', b'"":1,', b'"":2,',
    b'"k\xc3\xa9y":1,', b'"__lc_escaped__":{},', b'"_x":1,', b'"n":1e400,', b'"n":123456789012345678,', b'"n":NaN,',
    b'"s":"\\ud800",', b'"s":"\\ud83d\\ude00",', b'"s":"1234567890123456",', b'"q":"\\"x\\":",',
    b'"d":' + b"[" * 20 + b"]" * 20 + b",",
    b"\xff", b"\0", b"\n", b"{", b"}", b'"', b",", b":", b"\\", b" ", b"[", b"]", b"1", b"-", b'{"$integer":"AA=="}',
)  # fmt: skip
"""Bytes to insert into a record, mostly after the brace of an object."""


@st.composite
def broken_bytes(draw: st.DrawFn) -> bytes:
    """Return the bytes of a row with a few pieces put in, or some bytes taken out."""
    raw = dumps(draw(NEARLY_ROWS))
    for _ in range(draw(st.integers(0, 3))):
        braces = [at + 1 for at in range(len(raw)) if raw[at : at + 1] == b"{"]
        at = draw(st.sampled_from(braces) if braces and draw(st.booleans()) else st.integers(0, len(raw)))
        gone = draw(st.sampled_from([0, 0, 0, 1, 3]))
        raw = raw[:at] + draw(st.sampled_from(_PIECES)) + raw[at + gone :]
    return raw
