"""Times, spans, sizes and lists as people and programs write them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final

from sync_tool.errors import UsageError

When = str | float | date | None
"""A time: ISO text, a span back from now such as ``7d``, a datetime or date, or ms since 1970."""

_SPAN = re.compile(r"^(\d+(?:\.\d+)?)\s*([smhdw])$")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_MOST_BYTES: Final = 2.0**63
_SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*(k|m|g|t)?(i?)b?$", re.IGNORECASE)


Span = str | float | timedelta
"""A duration: text such as ``10m`` or ``7d``, seconds, or a timedelta."""


def parse_when(when: When, name: str) -> float | None:
    """Return a time as milliseconds since 1970; UTC where no zone is given.

    Raises:
        UsageError: it cannot be read; `name` says which one.
    """
    if when is None:
        return None
    if isinstance(when, str):
        when = _parse_text(when.strip(), name)
    if isinstance(when, date) and not isinstance(when, datetime):
        when = datetime(when.year, when.month, when.day, tzinfo=UTC)
    if isinstance(when, datetime):
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000
    return float(when)


def parse_span(span: Span, name: str) -> float:
    """Return a duration in seconds.

    Raises:
        UsageError: it cannot be read; `name` says which one.
    """
    if isinstance(span, timedelta):
        return span.total_seconds()
    if isinstance(span, int | float):
        return float(span)
    found = _SPAN.match(span.strip())
    if not found:
        raise UsageError(f"{name} {span!r} is not a duration.", hint=[("like", "90s, 10m, 26h or 7d")])
    return float(found[1]) * timedelta(**{_UNITS[found[2]]: 1}).total_seconds()


def parse_size(text: str | float | None, name: str) -> int | None:
    """Return a number of bytes: ``250MB`` (powers of 1,000), ``2MiB`` (powers of 1,024), or a number.

    Raises:
        UsageError: it cannot be read; `name` says which one.
    """
    if text is None or isinstance(text, int | float):
        return None if text is None else int(text)
    match = _SIZE.match(text.strip().removesuffix("/s"))
    if not match:
        raise UsageError(f"{name} {text!r} is not a size.", hint=[("like", "250MB or 2GiB")])
    power = "kmgt".index(match[2].lower()) + 1 if match[2] else 0
    size = float(match[1]) * (1024 if match[3] else 1000) ** power
    if not size < _MOST_BYTES:
        raise UsageError(f"{name} {text!r} is more than any deployment holds.")
    return int(size)


def texts_of(given: str | Iterable[str]) -> tuple[str, ...]:
    """Return one or several texts as a tuple; a single one is not taken for its letters.

    Raises:
        UsageError: a text that is not valid Unicode.
    """
    texts = (given,) if isinstance(given, str) else tuple(given)
    for text in texts:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError(f"{text!r} is not valid Unicode, so no session has it in its id.") from None
    return texts


def _parse_text(text: str, name: str) -> datetime:
    span = _SPAN.match(text)
    try:
        if span:
            return datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: float(span[1])})
        return datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{name} {text!r} is not a time.",
            hint=[("like", "2026-08-01, 2026-08-01T10:00+02:00 or 7d (UTC without a zone)")],
        ) from None
