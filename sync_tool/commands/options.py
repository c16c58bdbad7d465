"""Options of every command, each declared once: name, type, default and help.

The command line makes its options of these dataclasses, and the library's functions take their fields as keywords.
The TypedDict below each dataclass repeats names and types for type checkers; a test holds both to be equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypedDict, get_args

from sync_tool.commands.arguments import Span
from sync_tool.commands.declaration import Options, option
from sync_tool.commands.selection import SelectionKeywords, SelectionOptions
from sync_tool.messages.rules import LANGUAGES, LEVELS, Language, Level
from sync_tool.rows.model import Names

if TYPE_CHECKING:
    from sync_tool.commands.import_.report import ImportPlan
    from sync_tool.commands.restore.package import RestorePlan
    from sync_tool.rows.ports import Progress

PartitionBy = Literal["none", "session", "month"]
OnConflict = Literal["error", "skip", "replace"]
SyncVia = Literal["auto", "stream", "functions", "system"]
By = Literal["rows", "history"]
Difference = Literal["only_here", "only_there", "extended", "reordered", "changed"]

FORMATS: Final = ("jsonl", "jsonl.zst", "jsonl.gz", "parquet", "zip", "md", "openai", "sharegpt")
CONNECTION: Final = "Connection"
TRAINING: Final = "Fine-tuning sets (-f openai, -f sharegpt)"


def _as_of() -> str | datetime | None:
    return option(
        None,
        metavar="RUN|DATE",
        help="Read an archive as it was after this run, or after the last run before this time (UTC).",
    )


def _max_read(help_text: str = "Read at most this much of a deployment, such as 250MB.") -> str | float | None:
    return option(None, metavar="SIZE", variable="CONVEX_MSGS_MAX_READ", help=help_text)


def _max_unpacked() -> str | int | None:
    return option(
        None,
        metavar="SIZE",
        help="Limit for the decompressed size of a file. Default: 4 GiB, or 200 times its size if that is more.",
    )


def _processes() -> int | None:
    return option(
        None,
        metavar="N",
        limits=(1, inf),
        help="Share the work on large files among N processes. Default: one for each core, at most 4.",
    )


def _level(help_text: str) -> Level:
    return option("langchain", choices=LEVELS, help=help_text)


def _language(help_text: str) -> Language:
    return option("js", choices=LANGUAGES, help=help_text)


@dataclass(frozen=True, kw_only=True)
class SessionsOptions(SelectionOptions):
    """Options of `sessions`."""

    recent: int | None = option(
        None, metavar="N", limits=(1, inf), help="List only the N sessions with the newest messages, newest first."
    )
    count: bool = option(False, help="Count messages too, which reads every one of them.")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(Options):
    """Options of the formats for fine-tuning."""

    system: str | Path | None = option(
        None,
        metavar="TEXT|FILE",
        section=TRAINING,
        help="Begin each conversation with this system message, in place of its own.",
    )
    drop_tools: bool = option(False, section=TRAINING, help="Leave out tool calls and their results.")
    end_with: Literal["assistant"] | None = option(
        None, choices=("assistant",), section=TRAINING, help="Leave out sessions that end with another role."
    )


class TrainingKeywords(TypedDict, total=False):
    """Keywords of the formats for fine-tuning."""

    system: str | Path | None
    drop_tools: bool
    end_with: Literal["assistant"] | None


@dataclass(frozen=True, kw_only=True)
class OutputOptions(SelectionOptions, TrainingOptions):
    """Options of the commands that write messages to files."""

    format: str | None = option(
        None,
        "-f",
        "--format",
        choices=FORMATS,
        help="Format where no suffix decides it. Default: jsonl on stdout, parquet in folders.",
    )
    partition_by: PartitionBy | None = option(
        None,
        choices=get_args(PartitionBy),
        help="Write a folder: a file for each session or month, or (none) parts by size.",
    )
    overwrite: bool = option(False, help="Replace an existing file.")
    processes: int | None = _processes()
    progress: Progress | None = None


class OutputKeywords(SelectionKeywords, TrainingKeywords, total=False):
    """Keywords of the functions that write messages to files."""

    format: str | None
    partition_by: PartitionBy | None
    overwrite: bool
    processes: int | None
    progress: Progress | None


@dataclass(frozen=True, kw_only=True)
class ExportOptions(OutputOptions):
    """Options of `export`."""

    max_read: str | float | None = _max_read()
    as_of: str | datetime | None = _as_of()
    names: Names | None = None


class ExportKeywords(OutputKeywords, total=False):
    """Keywords of `export`."""

    max_read: str | float | None
    as_of: str | datetime | None
    names: Names | None


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(OutputOptions):
    """Options of `convert`."""

    as_of: str | datetime | None = _as_of()
    names: Names | None = None


class ConvertKeywords(OutputKeywords, total=False):
    """Keywords of `convert`."""

    as_of: str | datetime | None
    names: Names | None


@dataclass(frozen=True, kw_only=True)
class ImportOptions(SelectionOptions):
    """Options of `import`."""

    dry_run: bool = option(False, help="Read both sides and show the plan, but write nothing.")
    yes: bool = option(False, "-y", "--yes", help="Do not ask before writing to a production deployment.")
    on_conflict: OnConflict = option(
        "error",
        choices=get_args(OnConflict),
        help="Sessions with a different history in the target: error leaves them (exit 3), skip leaves them (exit 0), "
        "replace saves their rows to a file, erases them and writes the new ones. Needs --yes, is not atomic.",
    )
    save_replaced: str | Path | None = option(
        None,
        metavar="FILE",
        help="File for the rows that are replaced. Default: replaced.jsonl, or the next free name.",
    )
    level: Level = _level("Schema level that every message must meet.")
    language: Language = _language("Language of the app that reads them: a free role is stored as generic or chat.")
    rename: Sequence[str] = option(
        (),
        metavar="OLD=NEW",
        help="Store a session under another id (repeatable). Write OLD==NEW if OLD contains a =.",
    )
    rename_regex: Sequence[str] = option(
        (),
        metavar="PATTERN=NEW",
        help="Replace what PATTERN matches in session ids with NEW; \\1 is its first group (repeatable).",
    )
    rewrite: bool = option(
        True, "--no-rewrite", help="Quarantine messages in old forms instead of rewriting them to today's form."
    )
    fixes: Sequence[str | Path] = option(
        (),
        metavar="FILE",
        help="Quarantine file with repaired records; each takes its old place (repeatable).",
    )
    skip_bad: bool = option(False, help="Leave out bad messages instead of stopping their session there.")
    quarantine: str | Path | None = option(
        None,
        metavar="FILE",
        help="File for refused messages. Default: quarantine.jsonl, or the next free name.",
    )
    keep_times: bool = option(
        False, help="Keep every _creationTime: one atomic import into an empty table. The key must allow imports."
    )
    compare: bool = option(False, help="At the end read both sides again and compare them.")
    max_unpacked: str | int | None = _max_unpacked()
    as_of: str | datetime | None = _as_of()
    max_read: str | float | None = None
    """Most bytes to read of a deployment that is the source."""
    names: Names | None = None
    """Field names in files that do not say them; the target's without it."""
    decide: Callable[[ImportPlan], bool] | None = None
    """Called with the plan where `yes` is needed and not given; returns whether to continue."""
    progress: Progress | None = None


class ImportKeywords(SelectionKeywords, total=False):
    """Keywords of `import_` and `migrate`."""

    dry_run: bool
    yes: bool
    on_conflict: OnConflict
    save_replaced: str | Path | None
    level: Level
    language: Language
    rename: Sequence[str]
    rename_regex: Sequence[str]
    rewrite: bool
    fixes: Sequence[str | Path]
    skip_bad: bool
    quarantine: str | Path | None
    keep_times: bool
    compare: bool
    max_unpacked: str | int | None
    as_of: str | datetime | None
    max_read: str | float | None
    names: Names | None
    decide: Callable[[ImportPlan], bool] | None
    progress: Progress | None


@dataclass(frozen=True, kw_only=True)
class MigrateOptions(ImportOptions):
    """Options of `migrate`."""

    compare: bool = True
    as_of: str | datetime | None = None
    max_read: str | float | None = _max_read("Read at most this much of the source, such as 250MB.")


@dataclass(frozen=True, kw_only=True)
class SyncOptions(SelectionOptions):
    """Options of `sync`."""

    create: bool = option(False, help="Create the archive if there is none.")
    full: bool = option(False, help="Read and compare everything in this run.")
    full_every: Span = option(
        "7d", metavar="SPAN", help="Without streaming: read everything this often, to find edits and deletions."
    )
    lookback: Span = option(
        "10m", metavar="SPAN", help="Without streaming: overlap with the last run, for rows that were committed late."
    )
    allow_shared: bool = option(False, help="Write to an archive whose folder other users can write to.")
    allow_shrink: bool = option(False, help="Record a run that deletes more than 10 % and more than 100 rows.")
    rebind: bool = option(False, help="Continue with another deployment into which this archive was restored.")
    lock_wait: Span = option(
        "0s", metavar="SPAN", variable="CONVEX_MSGS_LOCK_WAIT", help="Wait this long for another run to end."
    )
    ping_url: str | None = option(
        None,
        metavar="URL",
        variable="CONVEX_MSGS_PING_URL",
        help="Notify a watchdog such as healthchecks.io: POST to URL/start, then to URL or URL/fail.",
    )
    metrics_file: str | Path | None = option(
        None,
        metavar="FILE",
        variable="CONVEX_MSGS_METRICS_FILE",
        help="Write metrics for Prometheus' textfile collector.",
    )
    max_read: str | float | None = _max_read()
    step_size: str | int | None = option(
        "32MiB", metavar="SIZE", help="Save a resume point after this much data is read or written."
    )
    via: SyncVia = option(
        "auto",
        choices=get_args(SyncVia),
        section=CONNECTION,
        help="Reader: the stream of changes, deployed functions, or the dashboard's system queries.",
    )
    progress: Progress | None = None


class SyncKeywords(SelectionKeywords, total=False):
    """Keywords of `sync`."""

    create: bool
    full: bool
    full_every: Span
    lookback: Span
    allow_shared: bool
    allow_shrink: bool
    rebind: bool
    lock_wait: Span
    ping_url: str | None
    metrics_file: str | Path | None
    max_read: str | float | None
    step_size: str | int | None
    via: SyncVia
    progress: Progress | None


@dataclass(frozen=True, kw_only=True)
class RestoreOptions(SelectionOptions):
    """Options of `restore`."""

    as_of: str | datetime | None = _as_of()
    replace: bool = option(False, help="Delete the rows that the table holds, in the same step.")
    yes: bool = option(
        False, "-y", "--yes", help="Do not ask before deleting rows or writing to a production deployment."
    )
    dry_run: bool = option(False, help="Upload, show the deployment's plan, and cancel.")
    names: Names | None = None
    decide: Callable[[RestorePlan], bool] | None = None
    """Called with the plan where `yes` is needed and not given; returns whether to continue."""
    progress: Progress | None = None


class RestoreKeywords(SelectionKeywords, total=False):
    """Keywords of `restore`."""

    as_of: str | datetime | None
    replace: bool
    yes: bool
    dry_run: bool
    names: Names | None
    decide: Callable[[RestorePlan], bool] | None
    progress: Progress | None


@dataclass(frozen=True, kw_only=True)
class DiffOptions(SelectionOptions):
    """Options of `diff`."""

    only: Iterable[Difference] = option(
        (),
        choices=get_args(Difference),
        help="List only these differences, and let only these set the exit code (repeatable).",
    )
    by: By | None = option(
        None,
        choices=get_args(By),
        help="rows: ids and times count; history: content in order. Default: rows if both have the same ids.",
    )
    as_of: str | datetime | None = _as_of()
    there_as_of: str | datetime | None = option(None, metavar="RUN|DATE", help="The same for B.")
    listed: int = 1000
    """Sessions that differ to list at most; all are counted."""
    names: Names | None = None
    progress: Progress | None = None


class DiffKeywords(SelectionKeywords, total=False):
    """Keywords of `diff`."""

    only: Iterable[Difference]
    by: By | None
    as_of: str | datetime | None
    there_as_of: str | datetime | None
    listed: int
    names: Names | None
    progress: Progress | None


@dataclass(frozen=True, kw_only=True)
class ValidateOptions(SelectionOptions):
    """Options of `validate`."""

    level: Level = _level(
        "documented: the four documented fields; langchain: all that LangChain writes; loadable: LangChain reads it."
    )
    language: Language = _language("Language of the app that reads the messages, for the level loadable.")
    max_errors: int = option(100, metavar="N", limits=(0, inf), help="List at most N bad records; all are counted.")
    max_unpacked: str | int | None = _max_unpacked()
    max_read: str | float | None = _max_read()
    as_of: str | datetime | None = _as_of()
    processes: int | None = _processes()
    names: Names | None = None
    progress: Progress | None = None


class ValidateKeywords(SelectionKeywords, total=False):
    """Keywords of `validate`."""

    level: Level
    language: Language
    max_errors: int
    max_unpacked: str | int | None
    max_read: str | float | None
    as_of: str | datetime | None
    processes: int | None
    names: Names | None
    progress: Progress | None


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(Options):
    """Options of `verify`; `restore` is a keyword of the function."""

    quick: bool = option(False, help="Check names, sizes and the small files, but do not read the parts.")
    subset: str | None = option(None, metavar="N/M", help="Read only every M-th part, beginning with the N-th.")
    max_age: Span | None = option(None, metavar="SPAN", help="Exit 4 if the newest run is older, such as 26h.")
    as_of: str | datetime | None = _as_of()
    progress: Progress | None = None


class VerifyKeywords(TypedDict, total=False):
    """Keywords of `verify` beside `restore`."""

    quick: bool
    subset: str | None
    max_age: Span | None
    as_of: str | datetime | None
    progress: Progress | None
