"""Which format a name stands for, and a writer for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol, runtime_checkable

from sync_tool.errors import UsageError
from sync_tool.files.bytes import COMPRESSIONS
from sync_tool.files.conversations import Training
from sync_tool.rows.model import Names
from sync_tool.rows.ports import Writer

if TYPE_CHECKING:
    from sync_tool.files.chunks import Encode

SUFFIXES: Final = {".jsonl": "jsonl", ".parquet": "parquet", ".zip": "zip", ".md": "md"}
TRAINING_FORMATS: Final = ("openai", "sharegpt")
"""Formats for fine-tuning; they share the suffix ``.jsonl``, so that they must be asked for."""
_COMPRESSED_INSIDE: Final = {"parquet": "Parquet", "zip": "zip"}
FORMATS: Final = (*SUFFIXES.values(), *TRAINING_FORMATS)


@runtime_checkable
class EncodedWriter(Writer, Protocol):
    """A writer that also takes rows encoded in other processes by the function of `encoder_of`."""

    def write_encoded(self, encoded: list[Any], numbers: list[int]) -> None:
        """Append encoded rows; `numbers` are those of the rows in their sessions."""


def format_of(path: Path, asked: str | None = None) -> str:
    """Return the format that the suffix of `path` names; a compression's suffix may follow it.

    Raises:
        UsageError: no format of that name, or `asked` names another one.
    """
    stem = path.with_suffix("") if path.suffix in COMPRESSIONS else path
    found = SUFFIXES.get(stem.suffix)
    if found is None and asked is None:
        raise UsageError(
            f"cannot tell the format of {path.name!r}.",
            hint=[("known", f"{' '.join(SUFFIXES)}, and .zst or .gz behind")],
        )
    if asked in TRAINING_FORMATS and found in ("jsonl", None):
        return asked
    kind, _, squeezed = (asked or "").partition(".")
    suffix = path.suffix if stem is not path else ""
    if found and asked and (found != kind or (squeezed and suffix != f".{squeezed}")):
        raise UsageError(f"{path.name!r} is {found}{suffix}, but the format asked for is {asked}.")
    if found is None and suffix and squeezed and suffix != f".{squeezed}":
        raise UsageError(f"{path.name!r} ends with {suffix}, but the format asked for is {asked}.")
    found = found or asked or ""
    if stem is not path and found in _COMPRESSED_INSIDE:
        raise UsageError(f"{_COMPRESSED_INSIDE[found]} is compressed inside; leave out the second suffix.")
    return found


def names_a_format(path: Path) -> bool:
    """Return whether the suffix of a path is that of a format."""
    stem = path.with_suffix("") if path.suffix in COMPRESSIONS else path
    return stem.suffix in SUFFIXES


def compression_of(kind: str, path: Path | None) -> str:
    """Return the suffix of the compression that a format or a file name asks for; empty if neither does."""
    _, _, compression = kind.partition(".")
    if compression:
        return f".{compression}"
    return path.suffix if path is not None else ""


def make_writer(kind: str, stream: BinaryIO, names: Names, origin: str, training: Training | None = None) -> Writer:
    """Return a writer of format `kind` (its compression is not looked at).

    Args:
        kind: the format.
        stream: where the bytes go.
        names: what the session and message fields are called.
        origin: where the rows are from, for people.
        training: for formats for fine-tuning, what the lines shall look like.

    Raises:
        UsageError: there is no such format.
    """
    kind = kind.partition(".")[0]
    if kind == "jsonl":
        from sync_tool.files.jsonl import JsonlWriter

        return JsonlWriter(stream)
    if kind == "parquet":
        from sync_tool.files.parquet import ParquetWriter

        return ParquetWriter(stream, names, origin)
    if kind == "zip":
        from sync_tool.files.zip import ZipWriter

        return ZipWriter(stream, names)
    if kind == "md":
        from sync_tool.files.markdown import MarkdownWriter

        return MarkdownWriter(stream, origin)
    if kind == "openai":
        from sync_tool.files.openai import OpenAIWriter

        return OpenAIWriter(stream, training or Training())
    if kind == "sharegpt":
        from sync_tool.files.sharegpt import ShareGPTWriter

        return ShareGPTWriter(stream, training or Training())
    raise UsageError(f"there is no format {kind!r}.", hint=[("known", ", ".join(FORMATS))])


def encoder_of(kind: str) -> Encode | None:
    """Return the function that encodes rows for the writer of format `kind` in other processes, if there is one."""
    kind = kind.partition(".")[0]
    if kind == "jsonl":
        from sync_tool.files.jsonl import encode_lines

        return encode_lines
    if kind == "parquet":
        from sync_tool.files.parquet import encode_columns

        return encode_columns
    return None
