"""The budget of one call: how many rows, how many bytes."""

from __future__ import annotations

from typing import Any, Final

from sync_tool.sandbox.database.documents import Row
from sync_tool.sandbox.database.transaction import Interval, Transaction
from sync_tool.sandbox.faults import refusal

MAX_LIMIT: Final = 4_096
MAX_BYTES: Final = 8 << 20


class Budget:
    """Takes rows while they fit, always at least one.

    Args:
        limit: rows.
        max_bytes: bytes of documents, as Convex counts them.
    """

    def __init__(self, limit: int, max_bytes: float) -> None:
        self._limit = limit
        self._max_bytes = max_bytes
        self.ended = False
        """Whether there were no more rows; not known, hence false, when the limit was reached."""

    def take(self, db: Transaction, span: Interval, *, descending: bool = False) -> list[Row]:
        """Return the rows of a range that fit; at most one more is read."""
        rows, self.ended = db.read(span, limit=self._limit, max_bytes=self._max_bytes, descending=descending)
        return rows


def budget_of(args: dict[str, Any], default_bytes: int) -> dict[str, Any]:
    """Return the budget that a call asks for.

    Raises:
        FunctionError: `bad_limit` or `bad_max_bytes`.
    """
    limit = check_limit(args.get("limit", float(MAX_LIMIT)), MAX_LIMIT)
    max_bytes = args.get("maxBytes", float(default_bytes))
    if not 1 <= max_bytes <= MAX_BYTES:
        raise refusal("bad_max_bytes", f"maxBytes must be from 1 to {MAX_BYTES}.", maxBytes=max_bytes)
    return {"limit": limit, "max_bytes": max_bytes}


def check_limit(limit: float, most: int) -> int:
    """Return a limit as a whole number.

    Raises:
        FunctionError: `bad_limit`.
    """
    if not (limit.is_integer() and 1 <= limit <= most):
        raise refusal("bad_limit", f"The limit must be a whole number from 1 to {most}.", limit=limit)
    return int(limit)
