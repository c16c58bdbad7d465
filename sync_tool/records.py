"""Records one by one, each with the place where it stands; one that cannot be had does not stop the others."""

from __future__ import annotations

from typing import NamedTuple

from sync_tool.schema.rules import Fault


class Record(NamedTuple):
    """A record as it stands in a file or another store, or why there is none."""

    line: int
    """Number of the line, of the row where the format has no lines, of the message in its session; from 1."""
    raw: bytes
    """The record as ``convex_encoded_json``; empty where it cannot be had."""
    fault: Fault | None = None
    """Why it cannot be had, or not as it should be."""
    where: str = ""
    """The place in words of the store, such as ``message_store:cust-1[-14]``; empty where `line` says it all."""
