"""Hypothesis strategies for everything that Convex can hold."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

TEXT = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=12)
FIELD_NAMES = st.from_regex(r"\A[a-zA-Z_ !%&()*+,\-./:;<=>?@~^|{}\[\]`'\"0-9\\][ -~]{0,8}\Z").filter(
    lambda name: not name.startswith("$")
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.sampled_from([0.0, -0.0, 5.0, 1e16, 1e-7, 5e-324, 1.7976931348623157e308])
    | TEXT
    | st.binary(max_size=12)
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELD_NAMES, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(FIELD_NAMES, VALUES, max_size=4)
TIMES = st.floats(min_value=1.0, max_value=2.0**52, allow_nan=False) | st.floats(1.7e12, 1.8e12)

_DATA_FIELDS = ("content", "role", "name", "tool_call_id", "additional_kwargs", "response_metadata", "usage_metadata")
_DATA = st.dictionaries(st.sampled_from(_DATA_FIELDS) | FIELD_NAMES, VALUES | TEXT, max_size=6)
_MESSAGES = st.fixed_dictionaries({}, optional={"type": TEXT | VALUES, "data": _DATA | VALUES, "extra": VALUES})
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "_id": TEXT,
        "_creationTime": TIMES,
        "sessionId": TEXT | VALUES,
        "message": _MESSAGES | VALUES,
        "userId": VALUES,
    },
)
"""Whole documents, from LangChain's shape to nothing like it."""


_NUMBERS = st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: str(number) != "-0.0")
_PLAIN = st.none() | st.booleans() | _NUMBERS | TEXT | st.just([]) | st.dictionaries(FIELD_NAMES, _NUMBERS, max_size=2)
_MODEL = st.fixed_dictionaries({}, optional={"model_name": TEXT, "model": TEXT | _PLAIN})
_USAGE = st.fixed_dictionaries({}, optional={"input_tokens": _PLAIN, "output_tokens": _PLAIN})
_PLAIN_DATA = st.fixed_dictionaries(
    {"content": TEXT | TEXT | _PLAIN | st.just(["a", {"type": "text", "text": "b"}])},
    optional={
        "name": TEXT | st.none(),
        "role": TEXT,
        "tool_call_id": TEXT,
        "additional_kwargs": _PLAIN,
        "response_metadata": _PLAIN | _MODEL,
        "usage_metadata": _PLAIN
        | st.fixed_dictionaries({}, optional={"input_tokens": _PLAIN, "output_tokens": _PLAIN}),
    },
)
PLAIN_DOCUMENTS = st.fixed_dictionaries(
    {
        "_id": TEXT,
        "_creationTime": TIMES,
        "sessionId": TEXT,
        "message": st.fixed_dictionaries({"type": TEXT, "data": _PLAIN_DATA | _PLAIN}, optional={"x": _PLAIN}),
    },
    optional={"userId": _PLAIN},
)
"""Documents about as LangChain writes them, without int64, bytes and special numbers."""


def same(left: Any, right: Any) -> bool:
    """Return whether two Convex values are the same value: types, NaN and the sign of zero included."""
    return repr(_ordered(left)) == repr(_ordered(right))


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    return [_ordered(item) for item in value] if isinstance(value, list) else value
