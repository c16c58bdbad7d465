"""``convert``: an export whose source is files."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from sync_tool.commands.export.export import STDOUT, FileReport, target_of, write_target
from sync_tool.commands.export.training import TrainingReport, training_of
from sync_tool.commands.opening import STDIN, Openable, each_openable, kind_of, opened
from sync_tool.commands.options import ConvertKeywords, ConvertOptions
from sync_tool.errors import NotSupported, UsageError
from sync_tool.files.merged import Merged
from sync_tool.keywords import strict_keywords
from sync_tool.rows.stored import StoredRows


@dataclass(frozen=True, slots=True)
class ConvertReport:
    """Result of a conversion; the object that ``--json`` prints."""

    inputs: tuple[str, ...]
    rows: int
    sessions: int | None
    """None where the files are months: a session may be in several."""
    repeated: int
    """Rows that were there before, equal in ``_id`` and content; they were written once."""
    read_bytes: int
    files: tuple[FileReport, ...]
    seconds: float
    training: TrainingReport | None = None
    """As in `ExportReport`."""


@strict_keywords(ConvertOptions)
def convert(
    inputs: Openable | Iterable[Openable], output: str | Path, **keywords: Unpack[ConvertKeywords]
) -> ConvertReport:
    """Write the messages of files into one file of another format, or into the files of a folder.

    Several inputs become one history in session order. Rows equal in ``_id`` and content count once.

    Args:
        inputs: one or several of: path of a JSONL, Parquet or zip file; path of a folder that an export
            wrote, or of an archive; another store of LangChain's (``redis://…``, ``env:NAME``); ``-`` for JSONL on
            standard input; what `open` returned for any of these.
        output: as in `export`.
        keywords: `ConvertOptions`. An input is never replaced.

    Raises:
        UsageError: an input that cannot be read, an unknown session, an unusable output.
        Damaged: a broken input, or two rows with the same ``_id`` and other content; says where.
    """
    options = ConvertOptions(**keywords)
    training = training_of(options)
    given = each_openable(inputs)
    if not given:
        raise UsageError("no input was given.")
    if [str(name) for name in given].count(STDIN) > 1:
        raise UsageError("standard input can be read only once.")
    _refuse_output_among(given, output)
    target = target_of(output, options)
    with ExitStack() as stack:
        merged = Merged([_rows_of(one, options, stack) for one in given])
        report = write_target(merged, target, options, training)
    return ConvertReport(
        inputs=tuple(str(one) if isinstance(one, str | Path) else one.title for one in given),
        rows=report.rows,
        sessions=report.sessions,
        repeated=merged.repeated,
        read_bytes=report.read_bytes,
        files=report.files,
        seconds=report.seconds,
        training=report.training,
    )


def _rows_of(place: Openable, options: ConvertOptions, stack: ExitStack) -> StoredRows:
    refusal = "convert reads files, archives and stores, not deployments."
    advice = [("use", "export, which reads deployments")]
    if isinstance(place, str | Path) and kind_of(place) == "deployment":
        raise NotSupported(refusal, hint=advice)
    rows = stack.enter_context(opened(place, as_of=options.as_of, names=options.names)).capability(StoredRows)
    if rows is None:
        raise NotSupported(refusal, hint=advice)
    return rows


def _refuse_output_among(inputs: list[Openable], output: str | Path) -> None:
    """Refuse to write over an input, even with `overwrite`."""
    if str(output) == STDOUT:
        return
    target = Path(output).resolve()
    for given in inputs:
        if not isinstance(given, str | Path) or str(given) == STDIN:
            continue
        if Path(given).expanduser().resolve() == target:
            raise UsageError(f"{given} is input and output at once.", hint=[("give", "another name with -o")])
