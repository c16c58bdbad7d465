"""``convex-msgs import``."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from sync_tool.cli.help import Command
from sync_tool.cli.options import AS_OF, connection_when_asked, manners, selection
from sync_tool.cli.report import Shared, confirm, on_terminal
from sync_tool.errors import Conflict, Exit

if TYPE_CHECKING:
    from sync_tool.commands.history import History
    from sync_tool.commands.import_.options_and_report import Comparison, ImportPlan, ImportReport
    from sync_tool.rows.model import Names

# What the commands that write messages into a deployment share: their options, their question, their last lines.

GOES_ON: Final = "stopped safely: nothing doubled, nothing half a batch. The same command goes on."
F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: Final = (
    click.option(
        "--to",
        metavar="ADDRESS",
        help="The deployment: @FILE (an env file), a URL, live (of the environment), env:NAME. Default: live.",
    ),
    click.option("--dry-run", is_flag=True, help="Read and compare, show the plan, write nothing."),
    click.option("-y", "--yes", is_flag=True, help="Do not ask before a production deployment is written to."),
    click.option(
        "--on-conflict",
        type=click.Choice(["error", "skip", "replace"]),
        default="error",
        show_default=True,
        help="Sessions that have another history there: leave them (exit 3), leave them (exit 0), or replace "
        "them: their rows are saved to a file and erased first. Needs --yes, is not atomic.",
    ),
    click.option(
        "--save-replaced",
        metavar="FILE",
        help="The file for rows that are replaced. Default: replaced.jsonl, or the next free name.",
    ),
    click.option(
        "--level",
        type=click.Choice(["documented", "langchain", "loadable"]),
        default="langchain",
        show_default=True,
        help="What every message must be.",
    ),
    click.option(
        "--language",
        type=click.Choice(["js", "python"]),
        default="js",
        show_default=True,
        help="Who shall read them: messages with a free role are called generic or chat.",
    ),
    click.option(
        "--rename",
        metavar="OLD=NEW",
        multiple=True,
        help="Call a session otherwise there (repeatable). OLD==NEW where OLD holds a =.",
    ),
    click.option(
        "--rename-regex",
        metavar="PATTERN=NEW",
        multiple=True,
        help="The same for many: what PATTERN matches in an id becomes NEW; \\1 is its first group (repeatable).",
    ),
    click.option("--no-rewrite", is_flag=True, help="Set aside what would be brought to today's form."),
    click.option(
        "--fixes",
        metavar="FILE",
        multiple=True,
        help="A quarantine file whose records were repaired; each takes its old place (repeatable).",
    ),
    click.option("--skip-bad", is_flag=True, help="Do not stop a session at a bad message: go on without it."),
    click.option(
        "--quarantine",
        metavar="FILE",
        help="The file for what is set aside. Default: quarantine.jsonl, or the next free name.",
    ),
    click.option(
        "--keep-times",
        is_flag=True,
        help="Keep every _creationTime: one atomic import into an empty table, by a key that may import.",
    ),
    click.option("--compare", is_flag=True, help="Read both sides again at the end and compare them."),
    click.option(
        "--max-unpacked",
        metavar="SIZE",
        help="Most that may come out of a compressed file. Default: 4 GiB or 200 times.",
    ),
)


def import_options(function: F) -> F:
    """Add the options; the function gets those that a job takes under the job's own names."""

    @wraps(function)
    def wrapper(*args: Any, no_rewrite: bool, **kwargs: Any) -> Any:
        return function(*args, rewrite=not no_rewrite, **kwargs)

    decorated: Any = wrapper
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


def ask(plan: ImportPlan) -> bool:
    """Ask whether to go on."""
    from sync_tool.text import plural

    replaced = f", replace {plural(plan.replace, 'session')}" if plan.replace else ""
    messages, sessions = plural(plan.send_rows, "message"), plural(plan.send_sessions, "session")
    return confirm(f"{plan.target}: append {messages} to {sessions}{replaced}?")


def said(report: ImportReport) -> str:
    """Return the last lines for people."""
    lines = []
    if report.dry_run:
        lines.append("nothing was written.")
    else:
        lines += _done(report)
    end = "" if report.exit_code == Exit.DONE else f" [exit {report.exit_code}]"
    return "\n".join(lines) + end


def trouble(report: ImportReport) -> str:
    """Return the one line about what did not go in; empty if everything did."""
    if report.exit_code == Exit.DONE:
        return ""
    lines = [*_set_aside(report)[:1], *(f"damaged: {damaged.reason}" for damaged in report.plan.damaged)]
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
    lines += _set_aside(report)
    lines += [f"damaged: {damaged.reason}" for damaged in report.plan.damaged]
    if report.conflicts and (report.compared is None or len(report.conflicts) > report.plan.conflict):
        lines.append(_conflicts(report))
    if report.compared is not None:
        lines.append(_compared(report.compared, len(report.conflicts)))
    return lines


def _set_aside(report: ImportReport) -> list[str]:
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
    short_help="Bring messages into a deployment: only what it does not have.",
    examples=(
        "convex-msgs import messages.jsonl --to @.env.msgs --dry-run     the plan, nothing is written",
        "convex-msgs import messages.jsonl --to @.env.msgs               what the deployment does not have",
        "convex-msgs import history/ more.jsonl.zst -s cust-42           one session, from several places",
        "convex-msgs import messages.jsonl --fixes quarantine.jsonl      repaired messages, in their old places",
    ),
    exits=(Exit.SET_ASIDE, Exit.UNREACHABLE, Exit.REFUSED, Exit.DAMAGED),
)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@AS_OF
@import_options
@manners
@selection
@connection_when_asked
@click.pass_obj
def command(
    shared: Shared,
    /,
    sources: tuple[str, ...],
    to: str | None,
    selection: dict[str, Any],
    connect: Callable[[str | None], History],
    names: Names,
    **options: Any,
) -> int:
    """Bring messages of files, folders or - (standard input) into a deployment: only what it does not have.

    Every session keeps its order. Run again, it sends nothing twice; killed and run again, it goes on. A bad
    message stops its session: what is before it goes in, the rest waits and is written to a quarantine file.
    """
    from sync_tool.commands.import_.run import import_

    shared.when_stopped = GOES_ON
    decide = ask if on_terminal(shared) else None
    try:
        report = import_(sources, connect(to), names=names, decide=decide, progress=shared, **options, **selection)
    except Conflict as conflict:
        report = conflict.report
    shared.finish(report, said(report), trouble=trouble(report))
    return int(report.exit_code)
