"""``convex-msgs diff``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from sync_tool.cli.help import Command
from sync_tool.cli.options import general, names, options
from sync_tool.cli.report import Console
from sync_tool.commands.options import DiffOptions
from sync_tool.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync_tool.commands.diff.diff import DiffReport, SessionReport

_WIDEST: Final = 60


@click.command(
    "diff",
    cls=Command,
    examples=(
        "convex-msgs diff backup/ @.env.msgs                     an archive and a deployment",
        "convex-msgs diff backup/ backup/ --as-of 2026-08-21     then and now",
        "convex-msgs diff a.jsonl b.parquet --only changed       two files; what differs inside sessions",
    ),
    exits=(Exit.DIFFERS, Exit.UNREACHABLE, Exit.REFUSED, Exit.DAMAGED, Exit.NO_ARCHIVE),
)
@general
@click.argument("here", metavar="A")
@click.argument("there", metavar="B")
@click.option("--messages", is_flag=True, help="Under each session list the first messages that differ.")
@options(DiffOptions)
@names
@click.pass_obj
def diff_command(console: Console, /, here: str, there: str, messages: bool, **options: Any) -> int:
    """Compare A and B by session, then by message.

    A and B are archives, files, folders of `export`, or deployments: @FILE (an env file), a URL, live (of
    the environment), env:NAME. Exit code 0 if they are the same, 4 if not.
    """
    from sync_tool.commands.diff.diff import diff

    console.watch_retries()
    report = diff(here, there, progress=console, **options)
    console.close()
    if console.as_json:
        console.json(report)
    elif report.exit_code or not console.quiet:
        for session in () if console.quiet else report.sessions:
            for line in _lines(session, messages=messages):
                console.data(line)
        console.data(_summary(report))
    return report.exit_code


def _lines(found: SessionReport, *, messages: bool) -> Iterator[str]:
    from sync_tool.text import shortened

    yield f"{shortened(found.session, _WIDEST) or repr('')}  {_difference(found)}"
    for message in found.messages if messages else ():
        if message.here is not None:
            yield f"  - {message.n}  {message.here}"
        if message.there is not None:
            yield f"  + {message.n}  {message.there}"


def _difference(found: SessionReport) -> str:
    from sync_tool.text import plural

    more = abs(found.here - found.there)
    if found.status in ("only_here", "only_there"):
        side = "A" if found.status == "only_here" else "B"
        return f"only in {side}: {plural(max(found.here, found.there), 'message')}"
    longer = "here" if found.longer == "here" else "there"
    if found.status == "extended":
        return f"goes on {longer}: {plural(more, 'message')} more behind message {min(found.here, found.there)}"
    if found.status == "reordered":
        return f"the same {plural(found.here, 'message')} in another order, from message {found.at} on"
    extra = f" ({longer}: {plural(more, 'message')} more)" if more else ""
    return f"differs at message {found.at} of {found.here:,}{extra}"


def _summary(report: DiffReport) -> str:
    from sync_tool.text import plural

    end = f" [exit {report.exit_code}]" if report.exit_code else ""
    counts = [("extended", report.extended), ("changed", report.changed), ("reordered", report.reordered)]
    counts = [("only here", report.only_here), ("only there", report.only_there), *counts]
    parts = [f"{number:,} {name}" for name, number in counts if number]
    return f"{plural(report.same, 'session')} equal" + "".join(f" · {part}" for part in parts or ["0 different"]) + end
