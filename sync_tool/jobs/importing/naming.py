"""Names for files that must not replace another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path


def next_names(path: Path) -> Iterator[Path]:
    """Yield the path itself, then ``NAME-2.jsonl``, ``NAME-3.jsonl`` and so on beside it."""
    yield path
    stem, dot, suffixes = path.name.partition(".")
    for number in count(2):
        yield path.with_name(f"{stem}-{number}{dot}{suffixes}")
