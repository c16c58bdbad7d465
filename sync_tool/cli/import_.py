"""``convex-msgs import``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from sync_tool.cli.help import Command
from sync_tool.cli.options import Connect, connection, general, options
from sync_tool.cli.report import Console, confirm, on_terminal
from sync_tool.commands.options import ImportOptions
from sync_tool.errors import Conflict, Exit

if TYPE_CHECKING:
    from sync_tool.commands.import_.report import Comparison, ImportPlan, ImportReport
    from sync_tool.rows.model import Names

# Console with `migrate`: the target, the question, the last lines.

WHEN_STOPPED: Final = "stopped safely: nothing doubled, nothing half a batch. Run the same command to resume."


to: Final = click.option(
    "--to",
    metavar="ADDRESS",
    help="Target deployment: @FILE (an env file), a URL, live (of the environment), env:NAME. Default: live.",
)


def ask(plan: ImportPlan) -> bool:
    """Ask for confirmation of a plan."""
    from sync_tool.text import plural

    replaced = f", replace {plural(plan.replace, 'session')}" if plan.replace else ""
    messages, sessions = plural(plan.send_rows, "message"), plural(plan.send_sessions, "session")
    return confirm(f"{plan.target}: append {messages} to {sessions}{replaced}?")


def summary(report: ImportReport) -> str:
    """Return the last lines for people."""
    lines = []
    if report.dry_run:
        lines.append("nothing was written.")
    else:
        lines += _done(report)
    end = "" if report.exit_code == Exit.DONE else f" [exit {report.exit_code}]"
    return "\n".join(lines) + end


def trouble(report: ImportReport) -> str:
    """Return the one line about messages that were not written; empty if all were."""
    if report.exit_code == Exit.DONE:
        return ""
    lines = [*_quarantined(report)[:1], *(f"damaged: {damaged.reason}" for damaged in report.plan.damaged)]
    lines += [_conflicts(report)] if report.conflicts else []
    return "; ".join(lines) + f" [exit {report.exit_code}]"


def _done(report: ImportReport) -> list[str]:
    from sync_tool.text import duration, plural

    counts = [] if report.plan.send_rows else ["nothing to write"]
    if report.plan.up_to_date:
        counts.append(f"{plural(report.plan.up_to_date, 'session')} already there")
    counts += [
        f"{count:,} {word}"
        for count, word in ((report.extended, "extended"), (report.new, "new"), (report.replaced, "replaced"))
        if count
    ]
    written = f"{plural(report.sent_rows, 'message')} written in {duration(report.seconds)}"
    lines = ["; ".join([", ".join(counts), written] if counts and report.plan.send_rows else counts or [written])]
    if report.saved:
        lines.append(f"replaced rows are saved in {report.saved}")
    lines += _quarantined(report)
    lines += [f"damaged: {damaged.reason}" for damaged in report.plan.damaged]
    if report.conflicts and (report.compared is None or len(report.conflicts) > report.plan.conflict):
        lines.append(_conflicts(report))
    if report.compared is not None:
        lines.append(_compared(report.compared, len(report.conflicts)))
    return lines


def _quarantined(report: ImportReport) -> list[str]:
    from sync_tool.text import plural

    if not report.quarantine:
        return []
    waiting = f"{plural(report.held_rows, 'message')} that {'waits' if report.held_rows == 1 else 'wait'}"
    held = f", and {waiting} for {'it' if report.bad_rows == 1 else 'them'}" if report.held_rows else ""
    return [
        f"{plural(report.bad_rows, 'bad message')}{held} -> {report.quarantine}",
        f"repair its records, then the same command with --fixes {report.quarantine}",
    ]


def _conflicts(report: ImportReport) -> str:
    from sync_tool.text import plural, shortened

    first = report.conflicts[0]
    return (
        f"{plural(len(report.conflicts), 'conflict')} left as {'it is' if len(report.conflicts) == 1 else 'they are'} "
        f"(first: {shortened(first.session, 40)!r} {first.reason}; all: --json)"
    )


def _compared(comparison: Comparison, left: int) -> str:
    from sync_tool.text import plural

    parts = [f"{plural(comparison.equal, 'session')} equal"]
    parts += [
        f"{count:,} {words}"
        for count, words in (
            (comparison.ahead, "have more there"),
            (comparison.held, "held at a bad message"),
            (min(left, comparison.different), "conflicts left as they are" if left > 1 else "conflict left as it is"),
            (comparison.different - left, "different"),
        )
        if count > 0
    ]
    return "compared: " + " · ".join(parts)


@click.command(
    "import",
    cls=Command,
    short_help="Write messages into a deployment: only those it lacks.",
    examples=(
        "convex-msgs import messages.jsonl --to @.env.msgs --dry-run     the plan, nothing is written",
        "convex-msgs import messages.jsonl --to @.env.msgs               what the deployment does not have",
        "convex-msgs import history/ more.jsonl.zst -s cust-42           one session, from several places",
        "convex-msgs import messages.jsonl --fixes quarantine.jsonl      repaired messages, in their old places",
    ),
    exits=(Exit.SET_ASIDE, Exit.UNREACHABLE, Exit.REFUSED, Exit.DAMAGED),
)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@to
@options(ImportOptions)
@general
@connection()
@click.pass_obj
def import_command(
    console: Console,
    /,
    sources: tuple[str, ...],
    to: str | None,
    connect: Connect,
    names: Names,
    **options: Any,
) -> int:
    """Write messages of files, folders or - (standard input) into a deployment: only those it lacks.

    Every session keeps its order. Run the same command to resume; nothing is sent twice. A bad message stops its
    session: earlier messages go in, it and the later ones are written to a quarantine file.
    """
    from sync_tool.commands.import_.run import import_

    console.when_stopped = WHEN_STOPPED
    decide = ask if on_terminal(console) else None
    try:
        report = import_(sources, connect(to), names=names, decide=decide, progress=console, **options)
    except Conflict as conflict:
        report = conflict.report
    console.finish(report, summary(report), trouble=trouble(report))
    return int(report.exit_code)
