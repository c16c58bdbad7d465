"""P9: import, against one mutation for each message."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

from data import history
from frame import Bench, Outcome, Run, faster, sandbox, tool

_ROWS, _SESSIONS = 100_000, 2_000
_LOOP_ROWS = 3_000


def run(bench: Bench) -> Iterator[Outcome]:
    """Yield the outcome."""
    source = history(bench, _ROWS, _SESSIONS)
    ours, theirs = bench.median(partial(_import, source), partial(_loop, bench, source))
    work = f"import {_ROWS:,} rows in {_SESSIONS:,} sessions"
    peer = "official client, one mutation a message (langchain/db:insert)"
    yield faster("P9", work, peer, 30, ours, theirs)


def _import(source: Path) -> Run:
    return _into_empty(lambda env_file: tool(_ROWS, "import", "-q", source, "--to", f"@{env_file}"))


def _loop(bench: Bench, source: Path) -> Run:
    return _into_empty(lambda env_file: bench.peer("mutation_loop", env_file, source, _LOOP_ROWS))


def _into_empty(measured: Callable[[Path], Run]) -> Run:
    """Run one side against a new sandbox, without notes of earlier imports."""
    with _folder() as folder, patch.dict(os.environ, {"XDG_STATE_HOME": str(folder)}), sandbox(folder) as env_file:
        return measured(env_file)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)
