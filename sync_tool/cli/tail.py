"""``convex-msgs tail``."""

from __future__ import annotations

import os
import select
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, cast

import click

from sync_tool.cli.help import Command
from sync_tool.cli.options import Connect, connection, general
from sync_tool.cli.report import Console, is_terminal
from sync_tool.errors import Exit, PipeClosed

if TYPE_CHECKING:
    from collections.abc import Generator

    from sync_tool.rows.model import Names, Row


@click.command(
    "tail",
    cls=Command,
    short_help="Follow a session live, each message once.",
    examples=(
        "convex-msgs tail -s cust-42              new messages from now on",
        "convex-msgs tail -s cust-42 -n 10        the last ten messages first",
        "convex-msgs tail -s cust-42 -f jsonl | jq -r .message.data.content",
    ),
    exits=(Exit.UNREACHABLE, Exit.REFUSED, Exit.PIPE_CLOSED),
)
@general
@click.option("-s", "--session", metavar="ID", required=True, help="Session to follow.")
@click.option(
    "-n",
    "--last",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Begin with the last N messages.",
)
@click.option("--wait", is_flag=True, help="Wait for a session that does not exist yet.")
@click.option(
    "-f",
    "--format",
    "kind",
    type=click.Choice(["lines", "jsonl"]),
    help="Lines for people, or rows as JSONL.  [default: lines on a terminal, else jsonl]",
)
@connection()
@click.pass_obj
def tail_command(
    console: Console, connect: Connect, names: Names, session: str, last: int, wait: bool, kind: str | None
) -> None:
    """Follow a session live: each message once, in the order in which it became visible.

    Needs convexMsgs in the deployment (see init). After 60 seconds of silence key and functions are checked. An
    unreachable deployment is reported, and tail keeps waiting. Ctrl-C ends it. Times are local.
    """
    from sync_tool.commands.tail import tail

    kind = kind or ("lines" if is_terminal(sys.stdout) else "jsonl")
    console.json_on_stderr = True
    rows = cast("Generator[Row]", tail(connect(), session, last=last, wait=wait, progress=console))
    with ending_with_reader(), closing(rows):
        for row in rows:
            if kind == "jsonl":
                console.row(row.raw)
            else:
                console.data(_line(row))
            console.flush()


def _line(row: Row) -> str:
    """Return a message for people: time, role, text; further lines are indented."""
    from sync_tool.text import one_line

    time = f"{row.created_at.astimezone():%Y-%m-%d %H:%M:%S}" if row.created_at else "undated"
    data = row.message.get("data")
    calls = data.get("tool_calls") if isinstance(data, dict) else None
    called = [call.get("name") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    said = [row.text] if row.text else []
    said += [f"[calls {name}]" for name in called]
    text = "\n".join(said).replace("\n", "\n    ")
    return f"{time}  {one_line(row.type or 'unknown')}  {text}".rstrip()


@contextmanager
def ending_with_reader() -> Iterator[None]:
    """End a waiting block as soon as the reader of standard output goes away, not at the next write.

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
