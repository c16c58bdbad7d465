"""The options that say where messages are written to and in which format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from sync_tool.cli.report import Shared
from sync_tool.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


def _take_output(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Keep errors off standard output from the start if the data goes there."""
    if value == "":
        raise UsageError("-o is empty.", hint=[("give", "-o FILE, or leave -o out for standard output")])
    try:
        _ = value and Path(value).is_dir()
    except OSError as error:  # such as a name that is too long
        raise UsageError(f"-o {value}: {error.strerror}.") from None
    if isinstance(shared := ctx.find_root().obj, Shared):  # none while a shell completes
        shared.json_on_stderr = value in (None, "-")
    return value


_OPTIONS: Final = (
    click.option(
        "-o",
        "output",
        metavar="FILE",
        is_eager=True,
        callback=_take_output,
        help="Where to; .jsonl .parquet .zip .md, .zst or .gz behind .jsonl and .md; a folder ends with /. "
        "Default stdout.",
    ),
    click.option(
        "-f",
        "--format",
        "kind",
        type=click.Choice(["jsonl", "jsonl.zst", "jsonl.gz", "parquet", "zip", "md", "openai", "sharegpt"]),
        help="Where no name says it: stdout (jsonl), folders (parquet), and of .jsonl openai and sharegpt.",
    ),
    click.option(
        "--partition-by",
        type=click.Choice(["none", "session", "month"]),
        help="A folder: a file for each session or month, or (none) parts by size.",
    ),
    click.option("--overwrite", is_flag=True, help="Replace an existing file."),
)


def output_options(function: F) -> F:
    """Add the options; the function gets ``output``, ``kind``, ``partition_by`` and ``overwrite``."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
