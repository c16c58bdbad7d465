"""Whoever reads standard output through a pipe, and that he may leave while there is nothing to write."""

from __future__ import annotations

import os
import select
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sync_tool.errors import PipeClosed


@contextmanager
def ending_with_reader() -> Iterator[None]:
    """Let a block that waits for something end when the reader of standard output goes away, not a write later.

    Raises:
        PipeClosed: the reader went away.
    """
    if sys.stdout is None or not stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode):
        yield
        return
    # not SIGPIPE: sockets send that too
    before = signal.signal(signal.SIGUSR1, _raise_closed)
    threading.Thread(target=_watch, args=(sys.stdout.fileno(),), daemon=True).start()
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN if before is signal.SIG_DFL else before)


def _watch(pipe: int) -> None:
    poll = select.poll()
    poll.register(pipe, 0)  # errors are reported unasked
    poll.poll()
    os.kill(os.getpid(), signal.SIGUSR1)


def _raise_closed(number: int, frame: FrameType | None) -> None:  # a signal handler's form
    raise PipeClosed("standard output was closed.")
