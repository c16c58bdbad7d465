"""A cheap look at the bytes of a record: could there be anything that no decoder of a few fields would see?

Everything here errs on one side: a record that passes has no fault that this module stands for, one that does
not may still be good and goes the slow way.
"""

from __future__ import annotations

import re
from typing import Final

from sync_tool.encoding.sizes import MAX_DOCUMENT_BYTES, MAX_DOCUMENT_NESTING, MAX_FIELD_NAME_BYTES, MAX_OBJECT_FIELDS

_LONGEST: Final = MAX_DOCUMENT_BYTES - 8 * MAX_OBJECT_FIELDS - 100
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
    if len(raw) > _LONGEST or raw.count(b",") >= MAX_OBJECT_FIELDS - 1:
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
