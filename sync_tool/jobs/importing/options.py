"""What may be asked of an import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, TypedDict

from sync_tool.errors import UsageError
from sync_tool.jobs.importing.report import ImportPlan, OnConflict
from sync_tool.jobs.selecting import SelectionKeywords
from sync_tool.model import Names
from sync_tool.ports import Progress
from sync_tool.schema.rules import LANGUAGES, LEVELS, Language, Level

_POLICIES: Final = ("error", "skip", "replace")


class ImportOptions(TypedDict, total=False):
    """The keywords of `import_` beside those that select messages."""

    level: Level
    """What every message must be: ``langchain`` unless said otherwise."""
    language: Language
    """Who shall read the messages, ``js`` or ``python``: decides what a message with a free role is called."""
    rewrite: bool
    """False to set aside what would have to be brought to today's form."""
    fixes: Sequence[str | Path]
    """Quarantine files whose records were repaired: each takes its old place."""
    skip_bad: bool
    """Go on behind a bad message; without it the session waits there."""
    quarantine: str | Path | None
    """The file for what is set aside; ``quarantine.jsonl`` here, or the next free name, unless said otherwise."""
    on_conflict: OnConflict
    """What to do with a session of which the target has another history: ``error``, ``skip`` or ``replace``."""
    save_replaced: str | Path | None
    """The file that rows are saved to before they are replaced."""
    keep_times: bool
    """Keep each message's ``_creationTime``; into an empty table only."""
    dry_run: bool
    """Make the plan, and write nothing."""
    yes: bool
    """Go on without asking, where that is needed: a production deployment, or rows are replaced."""
    rename: Sequence[str]
    """``OLD=NEW``: what sessions are called in the target."""
    rename_regex: Sequence[str]
    """``PATTERN=REPLACEMENT``: the same for many, by regular expressions."""
    as_of: str | datetime | None
    """Of an archive, an older state: a run's name, a date, or a time."""
    compare: bool
    """Read both sides again at the end, and say whether they are equal."""
    names: Names | None
    """How files call their fields that do not say it; as the target does unless said otherwise."""
    max_unpacked: str | int | None
    """Most bytes that may come out of a compressed file; without it 4 GiB or 200 times its size."""
    max_read: str | int | None
    """Most bytes to read of a deployment that is the source."""
    decide: Callable[[ImportPlan], bool] | None
    """Asked about the plan where `yes` is needed and not given."""
    progress: Progress | None
    """Who is told how far it is."""


class ImportKeywords(SelectionKeywords, ImportOptions, total=False):
    """All keywords of `import_`."""


def check_options(options: ImportOptions) -> None:
    """Raise a UsageError for an unknown level, language or policy, or for options that exclude each other."""
    for name, given, known in (
        ("level", options.get("level", "langchain"), tuple(LEVELS)),
        ("language", options.get("language", "js"), LANGUAGES),
        ("on_conflict", options.get("on_conflict", "error"), _POLICIES),
    ):
        if given not in known:
            raise UsageError(f"there is no {name} {given!r}.", hint=[("there is", ", ".join(known))])
    if options.get("keep_times") and options.get("on_conflict") == "replace":
        raise UsageError("--keep-times writes into an empty table, where there is nothing to replace.")
