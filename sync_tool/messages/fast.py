"""The fast check, which good records pass: many of them at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sync_tool.encoding.plain import plain_lines, plain_type
from sync_tool.encoding.sizes import MAX_DOCUMENT_BYTES, MAX_DOCUMENT_NESTING, MAX_FIELD_NAME_BYTES, MAX_OBJECT_FIELDS
from sync_tool.messages.explain import END_OF_TIME, ESCAPED, OTHER_NAMES, READABLE, STATUSES, TOTALS
from sync_tool.messages.rewrites import ROLE_TYPES
from sync_tool.messages.rules import Language, Level
from sync_tool.rows.model import Names

# The compiled types of rows that good records are decoded into. A row of these types has fields of known names that
# hold what its level asks for. Only *open* values have keys that are nobody's field; what Convex asks of a key has
# to be looked for there (`sync_tool.messages.fast`).

Fields = dict[str, Any]
"""Names and types; a field whose type takes UNSET may be missing."""

_VALUE: Any = plain_type(6)
"""A value in ``data``: LangChain's messages have up to seven levels below the row."""
_DICT: Any = dict
_LIST: Any = list
_OPEN: Final = _VALUE | UnsetType
_TEXT: Final = str | UnsetType
_TEXT_OR_NULL: Final = str | UnsetType | None
_COUNT: Final = float | UnsetType
_TIME: Final = Annotated[float, Meta(gt=0.0, lt=END_OF_TIME)] | UnsetType


def _struct(name: str, required: Fields, optional: Fields, names: dict[str, str] | None = None, **more: Any) -> Any:
    """Return a struct whose fields are in the order of their names in JSON, so that it is written in that order.

    The garbage collector does not know it: JSON has no cycles, and to look for some took a tenth of the time.
    """
    names = names or {}
    fields: Any = [*required.items(), *((field, kind, UNSET) for field, kind in optional.items())]
    in_order = sorted(fields, key=lambda field: names.get(field[0], field[0]))
    more = {"forbid_unknown_fields": True, **more}
    return msgspec.defstruct(name, in_order, rename=names, kw_only=True, gc=False, **more)


_INPUT: Final = _struct("Input", {}, dict.fromkeys(("audio", "cache_creation", "cache_read"), _COUNT))
_OUTPUT: Final = _struct("Output", {}, dict.fromkeys(("audio", "reasoning"), _COUNT))
_USAGE: Final = _struct(
    "Usage",
    {},
    {
        **dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), _COUNT),
        "input_token_details": _INPUT | UnsetType,
        "output_token_details": _OUTPUT | UnsetType,
    },
)
_DOCUMENTED: Final = _struct("Documented", {"content": str}, {"role": _TEXT, "name": _TEXT, "additional_kwargs": _OPEN})
"""``data`` with the four documented fields."""
_OWN_NAMES: Final = {"role": _TEXT, "name": _TEXT_OR_NULL, "id": _TEXT_OR_NULL}
_TEXTS: Final = {**_OWN_NAMES, "tool_call_id": _TEXT, "status": _TEXT}
USUAL_OPEN_FIELDS: Final = ("additional_kwargs", "response_metadata", "tool_calls", "invalid_tool_calls")
"""The open fields of ``_USUAL``."""
_USUAL: Final = _struct(
    "Usual",
    {"content": str},
    {**_TEXTS, **dict.fromkeys(USUAL_OPEN_FIELDS, _OPEN), "usage_metadata": _USAGE | UnsetType | None},
)
"""``data`` as JavaScript writes most of it: nearly nothing in it is open."""
_BARE: Final = _struct(
    "Bare",
    {"content": str},
    {
        **_OWN_NAMES,
        **dict.fromkeys(("additional_kwargs", "response_metadata"), _struct("Nothing", {}, {}) | UnsetType),
        **dict.fromkeys(("tool_calls", "invalid_tool_calls"), tuple[()] | UnsetType),
        "usage_metadata": _USAGE | UnsetType | None,
    },
)
"""The same where nothing is open: every message of people, and of models those that only say something."""
OPEN_FIELDS: Final = (
    *USUAL_OPEN_FIELDS,
    "usage_metadata", "tool_call_chunks", "artifact", "metadata", "content_blocks", "chunk_position",
)  # fmt: skip
"""The open fields of ``_WRITTEN``; ``content`` is open too where it is a list."""
_WRITTEN: Final = _struct(
    "Written",
    {"content": str | _LIST[str | _DICT[str, _VALUE]]},
    {**_TEXTS, "type": _TEXT, "example": bool | UnsetType, **dict.fromkeys(OPEN_FIELDS, _OPEN)},
)
"""``data`` with every field that LangChain writes."""


class RowDecoders:
    """Decoders of rows that are good at a level, each of which takes more than the one before; made when needed.

    Rows have the attributes ``time``, ``id``, ``session`` and ``message``, which has ``type`` and ``data``.

    Args:
        level: what is asked for.
        names: what the session and message fields are called.
    """

    def __init__(self, level: Level, names: Names) -> None:
        self._level = level
        self._names = names
        self._data = _DOCUMENTED if level == "documented" else _WRITTEN

    @cached_property
    def bare(self) -> msgspec.json.Decoder[Any] | None:
        """Takes, at the level ``langchain``, messages in which nothing is open and that call or answer no tool."""
        return _decoder(_BARE, self._names, READABLE) if self._level == "langchain" else None

    @cached_property
    def usual(self) -> msgspec.json.Decoder[Any] | None:
        """Takes, at the level ``langchain``, what is usual."""
        return _decoder(_USUAL, self._names) if self._level == "langchain" else None

    @cached_property
    def closed(self) -> msgspec.json.Decoder[Any]:
        """Takes rows without fields of their user's own."""
        return _decoder(self._data, self._names)

    @cached_property
    def all(self) -> msgspec.json.Decoder[Any]:
        """Takes whatever may be good, and leaves out fields of the row that are its user's own."""
        return _decoder(self._data, self._names, forbid_unknown_fields=self._level == "documented")


def _decoder(data: Any, names: Names, types: frozenset[str] | None = None, **more: Any) -> msgspec.json.Decoder[Any]:
    kind: Any = str if types is None else Literal[tuple(sorted(types))]
    message = _struct("Message", {"type": kind, "data": data}, {})
    fields = {"session": names.session_field, "message": names.message_field, "id": "_id", "time": "_creationTime"}
    row = _struct("Row", {"session": str, "message": message}, {"time": _TIME, "id": _TEXT}, fields, **more)
    return msgspec.json.Decoder(row)


# A cheap look at the bytes of a record: could there be anything that no decoder of a few fields would see?
# Everything here errs on one side: a record that passes has no fault that this module stands for, one that does not
# may still be good and goes the slow way.

_LONGEST_PLAIN: Final = MAX_DOCUMENT_BYTES - 8 * MAX_OBJECT_FIELDS - 100
"""In bytes. Convex counts at most 8 more than the JSON for each value (a number of one digit is 9), of which there is
one more than there are commas, and the system fields that it adds."""
_TOKEN: Final = re.compile(rb'"((?:[^"\\]++|\\.)*+)"\s*+(:?)|([{}])', re.DOTALL)
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_KEY: Final = re.compile(rb'("[^"\\]*+")\s*+:|"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_KEY_WITHOUT_ESCAPE: Final = re.compile(rb'(?:[^"]++|"[^"\\]*+"|"(?:[^"\\]++|\\.)*+"(?!\s*+:))*+', re.DOTALL)
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND: Final = bytes.maketrans(b"[]", b"{}")
_SYSTEM_FIELDS: Final = frozenset({b'"_id"', b'"_creationTime"'})
_LONGEST_KEY: Final = MAX_FIELD_NAME_BYTES + 2
_SURROGATES: Final = (b"\\ud", b"\\uD")


_LONGEST_OPEN: Final = 4096
"""In bytes. An open value that is shorter has neither too many fields nor too many items."""
_ODD_KEY: Final = (
    re.compile(rb'\{"(?:[^"\\\x7f-\xff]{0,1024}[\\\x7f-\xff]|[^"]{1025})'),
    re.compile(rb',"(?:[^"\\\x7f-\xff]{0,1024}[\\\x7f-\xff]|[^"]{1025})'),
)
"""A key in canonical lines that is too long or has an escape or a character beyond printable ASCII. A string in a list
looks the same."""


def _shapes() -> bytes:
    """Return a table that makes all digits 0, E an e, and control characters NUL."""
    table = bytearray(range(256))
    for code in b"0123456789":
        table[code] = ord("0")
    table[ord("E")] = ord("e")
    for code in (*range(0x20), 0x7F):
        table[code] = 0
    return bytes(table)


_SHAPES: Final = _shapes()
_ODD_NUMBERS: Final = (b"0" * 16, b"0e000", b"0e+000")
"""So many digits, or so large an exponent, that a float64 may not hold them."""


def is_plain(raw: bytes) -> bool:
    """Tell whether a record that is JSON is free of anything odd in its bytes, its numbers, its keys and its size."""
    if len(raw) > _LONGEST_PLAIN or raw.count(b",") >= MAX_OBJECT_FIELDS - 1:
        return False
    if not raw.isascii() and not _is_utf8(raw):
        return False
    shapes = raw.translate(_SHAPES)
    if b"\0" in shapes or _has_any(raw, _SURROGATES):
        return False
    if _has_any(shapes, _ODD_NUMBERS) and _has_odd_numbers(raw):
        return False
    if raw.count(b"{") + raw.count(b"[") > MAX_DOCUMENT_NESTING and _is_deep(raw):
        return False
    return _has_plain_keys(raw)


def has_plain_keys(lines: bytes) -> bool:
    """Tell whether values are short, and no key in them is ``__proto__``, has odd characters or is too long.

    Args:
        lines: canonical JSON of the values, each with its newline.
    """
    if b'"$' in lines or b'"__proto__"' in lines or _has_longer_line(lines, _LONGEST_OPEN):
        return False
    if lines.isascii() and b"\\" not in lines and b"\x7f" not in lines and not _has_longer_line(lines, _LONGEST_KEY):
        return True
    return not any(pattern.search(lines) for pattern in _ODD_KEY)


def _has_longer_line(lines: bytes, longest: int) -> bool:
    """Tell whether a line has more bytes than `longest`, its newline included; most are not looked at."""
    start = 0
    while len(lines) - start > longest:
        end = lines.rfind(b"\n", start, start + longest)
        if end < 0:
            return True
        start = end + 1
    return False


def _has_any(raw: bytes, parts: tuple[bytes, ...]) -> bool:
    for part in parts:  # noqa: SIM110  # any() would make a generator for each record
        if part in raw:
            return True
    return False


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _has_odd_numbers(raw: bytes) -> bool:
    """Tell the numbers from text that looks alike."""
    shapes = _STRING.sub(b"", raw).translate(_SHAPES)
    return _has_any(shapes, _ODD_NUMBERS)


def _has_plain_keys(raw: bytes) -> bool:
    if b"\\" in raw and _KEY_WITHOUT_ESCAPE.fullmatch(raw) is None:
        return False
    keys = [key for key in _KEY.findall(raw) if key]
    seen = set(keys)
    if len(seen) < len(keys) and _has_duplicates(raw):
        return False
    names = b"".join(seen - _SYSTEM_FIELDS)
    return (
        b'"$' not in names and b'"_' not in names and names.isascii() and max(map(len, seen), default=0) <= _LONGEST_KEY
    )


def _has_duplicates(raw: bytes) -> bool:
    """Tell whether an object has a key twice."""
    open_objects: list[set[bytes]] = []
    for text, colon, bracket in _TOKEN.findall(raw):
        if bracket == b"{":
            open_objects.append(set())
        elif bracket:
            if not open_objects:
                return True
            open_objects.pop()
        elif colon:
            if not open_objects or text in open_objects[-1]:
                return True
            open_objects[-1].add(text)
    return False


def _is_deep(raw: bytes) -> bool:
    """Tell whether brackets are nested deeper than a document may be; each round takes the innermost away."""
    brackets = _STRING.sub(b"", raw).translate(_ONE_KIND, _NOT_BRACKETS)
    for _ in range(MAX_DOCUMENT_NESTING):
        brackets = brackets.replace(b"{}", b"")
    return bool(brackets)


# Rows decoded into what they may hold at a level, if they are good and nothing is odd about them. Of a block of
# canonical lines no Python object is looked at but those of which the decoders cannot say everything: this is the
# inner loop of every validation. The order of the tests is that of what they cost.

_LONGEST_BLOCK: Final = 1 << 19
"""In bytes. A shorter row whose open values are short (`sync_tool.messages.fast.has_plain_keys`) is not too large."""

_encode_lines = msgspec.json.Encoder().encode_lines
"""Writes fields in the order in which they are declared, which is that of their names: to sort them took a tenth."""
_usual_open = attrgetter(*USUAL_OPEN_FIELDS)
_written_open = attrgetter(*OPEN_FIELDS)


class _Call(msgspec.Struct):
    """A tool call that LangChain reads."""

    name: str
    args: dict[str, Any]
    id: Any


class _Usage(msgspec.Struct):
    """Token counts that LangChain reads."""

    input_tokens: float
    output_tokens: float
    total_tokens: float


class CheckedBlock(NamedTuple):
    """Good records."""

    rows: list[Any]
    calling: bool
    """False if none of them calls or answers a tool."""


class GoodRows:
    """Gives back good rows decoded; nothing of those that may have a fault or a warning.

    Args:
        level: what is asked for.
        names: what the session and message fields are called.
        language: who shall read the messages at the level ``loadable``.
    """

    def __init__(self, level: Level, names: Names, language: Language) -> None:
        self._level = level
        self._language = language
        self._fields = frozenset({"_id", "_creationTime", names.session_field, names.message_field})
        self._suspects = (ESCAPED.encode(), OTHER_NAMES[language].encode())
        self._decoders = RowDecoders(level, names)

    def one(self, raw: bytes) -> Any | None:
        """Return a record, spelled in whatever way; None if it may not be good."""
        if not is_plain(raw) or self._is_suspect(raw):
            return None
        try:
            row = self._decoders.all.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return row if self._fits_its_type(row) else None

    def block(self, lines: bytes) -> CheckedBlock | None:
        """Return the records in lines, each with its newline; None unless all are good and canonical."""
        if len(lines) > _LONGEST_BLOCK:
            return None
        bare = _canonical(self._decoders.bare, lines)
        if bare is not None:
            return CheckedBlock(bare, calling=False)
        usual = _canonical(self._decoders.usual, lines)
        if usual is not None:
            some = _not_quite_usual(usual)
            values = [value for data in some for value in _usual_open(data) if value]
            return CheckedBlock(usual, calling=bool(some)) if self._are_plain(values) else None
        values = []
        rows = _canonical(self._decoders.closed, lines)
        if rows is None:
            found = self._with_own_fields(lines)
            if found is None:
                return None
            rows, values = found
        if not all(map(self._fits_its_type, rows)):
            return None
        for row in rows:
            values += self._open_values(row.message.data)
        return CheckedBlock(rows, calling=True) if self._are_plain(values) else None

    def _with_own_fields(self, lines: bytes) -> tuple[list[Any], list[Any]] | None:
        """Return the rows in canonical lines and the fields of each that are its user's own."""
        rows, values = _decoded(self._decoders.all, lines), plain_lines(lines)
        if rows is None or values is None or _encode_lines(values) != lines:
            return None
        own = [{key: value[key] for key in value.keys() - self._fields} for value in values]
        return None if any(key.startswith("_") for fields in own for key in fields) else (rows, own)

    def _open_values(self, data: Any) -> list[Any]:
        """Return the values of a message in which keys may be that are nobody's fields."""
        if self._level == "documented":
            return [data.additional_kwargs] if data.additional_kwargs else []
        values = [value for value in _written_open(data) if value]
        return [*values, data.content] if type(data.content) is list else values

    def _are_plain(self, values: list[Any]) -> bool:
        if not values:
            return True
        lines = _encode_lines(values)
        return has_plain_keys(lines) and not self._is_suspect(lines)

    def _is_suspect(self, text: bytes) -> bool:
        return any(suspect in text for suspect in self._suspects)

    def _fits_its_type(self, row: Any) -> bool:
        """Tell whether a row has what the type of its message asks for."""
        if self._level == "documented":
            return True
        kind, data = row.message.type, row.message.data
        if data.type is not UNSET and (data.type != kind or data.name is UNSET or data.id is UNSET):
            return False
        return self._level == "langchain" or _is_loadable(kind, data, self._language)


def _canonical(decoder: msgspec.json.Decoder[Any] | None, lines: bytes) -> list[Any] | None:
    """Return the rows in lines; None unless they are the same when they are encoded again.

    Then no key stood twice in an object, nothing was spelled in an unusual way, no number was rounded, no line empty.
    """
    rows = _decoded(decoder, lines)
    return rows if rows is not None and _encode_lines(rows) == lines else None


def _decoded(decoder: msgspec.json.Decoder[Any] | None, lines: bytes) -> list[Any] | None:
    if decoder is None:
        return None
    try:
        return decoder.decode_lines(lines)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _not_quite_usual(rows: list[Any]) -> list[Any]:
    """Return the messages that have open values or answer a call. Where few do, this is all that Python does a row."""
    return [
        data
        for row in rows
        if (data := row.message.data).additional_kwargs
        or data.response_metadata
        or data.tool_calls
        or data.invalid_tool_calls
        or data.tool_call_id
    ]


def _is_loadable(kind: str, data: Any, language: Language) -> bool:
    if kind == "ai":
        return _calls_are_good(data.tool_calls) and _usage_is_good(data.usage_metadata)
    if kind == "tool":
        return data.tool_call_id is not UNSET and (data.status is UNSET or data.status in STATUSES)
    if kind == "function":
        return isinstance(data.name, str)
    if kind in ROLE_TYPES.values():
        return kind == ROLE_TYPES[language] and data.role is not UNSET
    return kind in READABLE and (language == "js" or data.additional_kwargs is not None)


def _calls_are_good(calls: Any) -> bool:
    return calls in (UNSET, []) or _fits(calls, list[_Call])


def _usage_is_good(usage: Any) -> bool:
    if usage is UNSET or usage is None:
        return True
    return _fits(usage, _Usage) and all(float(usage[name]).is_integer() for name in TOTALS)


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


_PARTS: Final = 8
"""Records that are not all good and canonical are looked at again in so many parts, so that few are looked at alone."""


class Seen(NamedTuple):
    """What a good record says of tool calls, for those who match results with calls."""

    session: str
    answers: str | None = None
    """The call that a tool message answers."""
    calls: tuple[str, ...] = ()
    """The calls that it makes."""
    id: str = ""
    """``_id`` of the record, if it has one."""


class Passed(NamedTuple):
    """What the fast check says of many records; they are numbered from 0."""

    rows: int
    """How many good records there are."""
    sessions: set[str]
    """Those of the good records."""
    calling: list[tuple[int, Seen]]
    """The good records that call or answer tools."""
    others: list[int]
    """The records that have to be looked at closer."""


class FastCheck:
    """Says of most good records quickly that they are good: that there is neither fault nor warning.

    Args:
        level: what is asked for.
        names: what the session and message fields are called.
        language: who shall read the messages at the level ``loadable``.
    """

    def __init__(self, level: Level, names: Names, language: Language) -> None:
        self._good = GoodRows(level, names, language)

    def __call__(self, raw: bytes) -> Seen | None:
        """Return what the record says of tool calls if it is good; None for "look closer"."""
        row = self._good.one(raw)
        return None if row is None else _seen(row)

    def lines(self, block: bytes) -> Passed | None:
        """Return what is said of the records in lines, each with its newline; None unless all are good and canonical.

        Where a record has a newline in it, they are not so many as there are records.
        """
        good = self._good.block(block)
        if good is None:
            return None
        calling = [*_calling(good.rows)] if good.calling else []
        return Passed(len(good.rows), {row.session for row in good.rows}, calling, [])

    def many(self, raws: Sequence[bytes]) -> Passed:
        """Return what calls with the records would say; quicker where they are canonical."""
        if len(raws) == 1:
            seen = self(raws[0])
            return Passed(0, set(), [], [0]) if seen is None else Passed(1, {seen.session}, [(0, seen)], [])
        whole = self.lines(b"\n".join([*raws, b""]))
        if whole is not None and whole.rows == len(raws):
            return whole
        rows, passed = 0, Passed(0, set(), [], [])
        step = -(-len(raws) // _PARTS)
        for first in range(0, len(raws), step or 1):
            part = self.many(raws[first : first + step])
            rows += part.rows
            passed.sessions.update(part.sessions)
            passed.calling.extend((first + number, seen) for number, seen in part.calling)
            passed.others.extend(first + number for number in part.others)
        return passed._replace(rows=rows)


def _calling(rows: list[Any]) -> Iterator[tuple[int, Seen]]:
    """Yield what those rows say of tool calls that say something."""
    for number, row in enumerate(rows):
        if row.message.type in ("ai", "tool"):
            seen = _seen(row)
            if seen.calls or seen.answers is not None:
                yield number, seen


def _seen(row: Any) -> Seen:
    kind, data = row.message.type, row.message.data
    own_id = "" if row.id is UNSET else row.id
    if kind == "tool":
        answered = getattr(data, "tool_call_id", UNSET)
        return Seen(row.session, None if answered is UNSET else answered, (), own_id)
    if kind != "ai":
        return Seen(row.session, None, (), own_id)
    calls, kwargs = getattr(data, "tool_calls", UNSET), data.additional_kwargs
    found = (call_ids(calls) if calls else ()) + (kwargs_call_ids(kwargs) if kwargs else ())
    return Seen(row.session, None, found, own_id)


def call_ids(calls: Any) -> tuple[str, ...]:
    """Return the ids in a list of tool calls, LangChain's or OpenAI's."""
    if not isinstance(calls, list):
        return ()
    return tuple(call["id"] for call in calls if isinstance(call, dict) and isinstance(call.get("id"), str))


def kwargs_call_ids(kwargs: Any) -> tuple[str, ...]:
    """Return the ids of OpenAI's raw tool calls in ``additional_kwargs``."""
    return call_ids(kwargs.get("tool_calls")) if isinstance(kwargs, dict) else ()
