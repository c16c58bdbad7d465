"""``convert``: an export whose source is files."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Unpack

from sync_tool.commands.arguments import make_selection
from sync_tool.commands.export.export import STDOUT, ExportKeywords, FileReport, export
from sync_tool.commands.export.folder import PartitionBy, is_folder
from sync_tool.commands.export.training import TrainingReport, split_training
from sync_tool.commands.history import History
from sync_tool.commands.opening import open_store_rows, open_stored
from sync_tool.errors import UsageError
from sync_tool.files.merged import Merged, NotAsTrusted
from sync_tool.files.source import STDIN
from sync_tool.rows.model import Names
from sync_tool.rows.ports import Progress
from sync_tool.rows.stored import StoredRows

Input = str | Path | History


@dataclass(frozen=True, slots=True)
class ConvertReport:
    """What a conversion did; the object that ``--json`` prints."""

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


def convert(
    inputs: Input | Iterable[Input],
    output: str | Path,
    *,
    format: str | None = None,  # noqa: A002  # the flag's name
    partition_by: PartitionBy | None = None,
    overwrite: bool = False,
    names: Names | None = None,
    progress: Progress | None = None,
    **keywords: Unpack[ExportKeywords],
) -> ConvertReport:
    """Write the messages of files into one file of another format, or into the files of a folder.

    Several inputs become one history in session order. Rows equal in ``_id`` and content count once.

    Args:
        inputs: one or several of: path of a JSONL, Parquet or zip file; path of a folder that an export
            wrote, or of an archive; another store of LangChain's (``redis://…``, ``env:NAME``); ``-`` for JSONL on
            standard input; what `open` returned for any of these.
        output: as in `export`.
        format: as in `export`.
        partition_by: as in `export`.
        overwrite: replace an existing file or export. An input is never replaced.
        names: table (of a zip) and field names other than LangChain's; Parquet and folders know theirs.
        progress: who is told how far it is.
        keywords: as in `export`.

    Raises:
        UsageError: an input that cannot be read, an unknown session, an unusable output.
        Damaged: a broken input, or two rows with the same ``_id`` and other content; says where.
    """
    given = [inputs] if isinstance(inputs, str | Path | History) else list(inputs)
    if not given:
        raise UsageError("no input was given.")
    if [str(name) for name in given].count(STDIN) > 1:
        raise UsageError("standard input can be read only once.")
    _refuse_output_among(given, output)
    _, selection = split_training(keywords, format)
    whole_file = str(output) != STDOUT and not is_folder(output, partition_by) and make_selection(selection).everything
    with closing(Merged([_opened(one, names) for one in given], trusting=whole_file)) as merged:
        write = partial(
            export,
            merged,
            output,
            format=format,
            partition_by=partition_by,
            overwrite=overwrite,
            progress=progress,
            **keywords,
        )
        try:
            report = write()
        except NotAsTrusted:  # the file that was begun is gone
            merged.trusting = False
            report = write()
    return ConvertReport(
        inputs=tuple(one.title if isinstance(one, History) else str(one) for one in given),
        rows=report.rows,
        sessions=report.sessions,
        repeated=merged.repeated,
        read_bytes=report.read_bytes,
        files=report.files,
        seconds=report.seconds,
        training=report.training,
    )


def _opened(given: Input, names: Names | None) -> StoredRows:
    if isinstance(given, History):
        rows = given.capability(StoredRows)
        if rows is None:
            raise UsageError(f"{given.title} is a deployment.", hint=[("use", "export, which reads deployments")])
        return rows
    store = open_store_rows(given)
    if store is not None:
        return store
    if str(given).startswith(("http://", "https://", "@", "env:")) and not Path(given).exists():
        raise UsageError(f"convert reads files; {given} names a deployment.", hint=[("use", "export -o FILE")])
    return open_stored(given, names)


def _refuse_output_among(inputs: list[Input], output: str | Path) -> None:
    """Refuse to write over what is read, with or without leave to overwrite."""
    if str(output) == STDOUT:
        return
    target = Path(output).resolve()
    for given in inputs:
        if not isinstance(given, History) and str(given) != STDIN and Path(given).expanduser().resolve() == target:
            raise UsageError(f"{given} is input and output at once.", hint=[("give", "another name with -o")])
