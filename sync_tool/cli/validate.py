"""``convex-msgs validate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from sync_tool.cli.help import Command
from sync_tool.cli.options import Connect, connection, general, options
from sync_tool.cli.report import Console
from sync_tool.commands.options import ValidateOptions
from sync_tool.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sync_tool.commands.validate.report import Place, RuleCount, ValidationReport
    from sync_tool.messages.rules import Level
    from sync_tool.rows.model import Names

_ID_COLUMNS: Final = 40


@click.command(
    "validate",
    cls=Command,
    short_help="Check messages and list every fault.",
    examples=(
        "convex-msgs validate history.jsonl                          every fault with file, line and path",
        "convex-msgs validate a.jsonl.zst b.parquet --level loadable  can LangChain read all of it back?",
        "convex-msgs validate history/ --max-errors 0                an export's folder; the summary only",
        "convex-msgs validate --match 'cust-*' --env-file .env.msgs  rows of a deployment",
    ),
    exits=(Exit.SET_ASIDE, Exit.UNREACHABLE, Exit.REFUSED, Exit.DAMAGED),
)
@general
@click.argument("files", nargs=-1, metavar="[FILE]...")
@options(ValidateOptions)
@connection()
@click.pass_obj
def validate_command(
    console: Console, /, files: tuple[str, ...], connect: Connect, names: Names, **options: Any
) -> int:
    """Check messages of files, folders of `export`, archives, or - for standard input; without any, a deployment.

    Every fault is listed with file, line, JSON path and rule, and the levels at which it would pass; then
    faults and warnings are counted by rule. Nothing is changed. Exit code 3 if a record is bad.
    """
    from sync_tool.commands.validate.validate import validate

    report = validate(*(files or (connect(),)), names=names, progress=console, **options)
    console.close()
    if console.as_json:
        console.json(report)
    elif report.exit_code or not console.quiet:
        for line in () if console.quiet else _lines(report):
            console.data(line)
        console.data(_summary(report))
    return report.exit_code


def _lines(report: ValidationReport) -> Iterable[str]:
    from sync_tool.text import plural

    for record in report.records:
        for fault in record.faults:
            detail = f" ({fault.detail})" if fault.detail else ""
            cure = f"; can be rewritten ({fault.rewrite})" if fault.rewrite else ""
            yield (
                f"{_at(record.place)}  {fault.path}  {fault.rule}: {fault.sentence}{detail}; "
                f"passes at {_levels(fault.passes_at)}{cure}"
            )
    if report.bad_rows > len(report.records) > 0:
        yield f"… and {plural(report.bad_rows - len(report.records), 'bad record')} more (--max-errors lists more)"
    yield from _table("fault", report.faults)
    yield from _table("warning", report.warnings)
    for damaged in report.damaged:
        yield f"damaged: {damaged.reason}"


def _table(word: str, counts: tuple[RuleCount, ...]) -> Iterable[str]:
    from sync_tool.text import plural

    for count in counts:
        detail = f" ({count.detail})" if count.detail else ""
        head = f"{word:<7}  {count.rule:<16} {plural(count.records, 'record'):>13}"
        yield f"{head}  e.g. {_at(count.example)}  {count.path}{detail}"


def _summary(report: ValidationReport) -> str:
    from sync_tool.text import duration, plural

    bad = plural(report.bad_rows, "bad record") if report.bad_rows or report.damaged else "all good"
    bad = "no record was found" if report.rows == 0 else bad
    sessions = "more than a million sessions" if report.sessions is None else plural(report.sessions, "session")
    done = f"{plural(report.rows, 'record')}, {sessions} at level {report.level}: {bad}, in {duration(report.seconds)}"
    if report.damaged:
        done += f"; {plural(len(report.damaged), 'source')} damaged, not read to the end"
    return done + (f" [exit {report.exit_code}]" if report.exit_code else "")


def _at(place: Place) -> str:
    from sync_tool.text import one_line, shortened

    line = place.id if place.line is None else f"{one_line(place.source)}:{place.line}"
    session = "" if place.session is None else f" ({shortened(place.session, _ID_COLUMNS) or repr('')})"
    return (place.where or line) + session


def _levels(levels: tuple[Level, ...]) -> str:
    return ", ".join(levels) or "no level"
