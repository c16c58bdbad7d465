"""A folder that an export wrote, as a source of messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sync_tool.errors import Damaged, UsageError
from sync_tool.files.manifest import FORMAT_VERSION, JOURNAL, MANIFEST
from sync_tool.files.source import MessageFile
from sync_tool.files.stored import StoredRows
from sync_tool.model import Names, Page
from sync_tool.text import one_line, plural


class MessageFolder(StoredRows):
    """The files that the manifest of a complete export lists.

    Args:
        path: the folder.

    Raises:
        UsageError: no folder of an export, one that was not finished, or one of transcripts.
        Damaged: the manifest cannot be read, or a file is missing or has another size than it says.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        manifest = _manifest(path)
        try:
            self._names = Names(**manifest["names"])
            self._rows = int(manifest["rows"])
            self.partial = any(manifest["selection"].values())
            """True if only some rows were selected for it."""
            parts = [(str(part["path"]), int(part["bytes"])) for part in manifest["parts"]]
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Damaged(f"{path / MANIFEST} is not a manifest of this tool.") from None
        self._files = [MessageFile(_checked(path, name, size), self._names) for name, size in parts]

    @property
    def title(self) -> str:
        """The folder's name."""
        return f"{self.path.resolve().name}/"

    @property
    def way(self) -> str:
        """Its files are read one after the other."""
        return f"reading {plural(len(self._files), 'file')} of the folder {self.path}"

    @property
    def names(self) -> Names:
        """How the table and its fields are called, as the manifest says."""
        return self._names

    @property
    def files(self) -> tuple[MessageFile, ...]:
        """Its files, in the order of the manifest."""
        return tuple(self._files)

    def count(self) -> int | None:
        """Return the number of rows, as the manifest says."""
        return self._rows

    def unpacked_bytes(self) -> int:
        """Return about how many bytes the rows are."""
        return sum(file.unpacked_bytes() for file in self._files)

    def stored(self) -> Iterator[Page]:
        """Yield the rows of one file after the other."""
        for file in self._files:
            yield from file.stored()


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise _no_export(folder) from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}.") from None
    except ValueError as error:
        raise Damaged(f"{path} is damaged: {error}.") from None
    if type(found) is not dict or found.get("convex-msgs") != "export" or found.get("complete") is not True:
        raise _no_export(folder)
    if found.get("format") != FORMAT_VERSION:
        raise UsageError(f"{path} was written by a newer version of this tool.", hint=[("", "update convex-msgs")])
    return found


def _no_export(folder: Path) -> UsageError:
    if (folder / JOURNAL).exists():
        return UsageError(
            f"{folder} holds an export that was not finished.",
            hint=[("finish it", "the same `export` command again"), ("or", "give single files of it")],
        )
    return UsageError(
        f"{folder} is a folder, and no export of this tool: it has no {MANIFEST} of one.",
        hint=[("give", "files, the folder of an export, or an archive")],
    )


def _checked(folder: Path, name: str, size: int) -> Path:
    """Return the path of a part that is there and as long as it was."""
    path = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise Damaged(f"{folder / MANIFEST} names a file outside the folder: {one_line(name)}.")
    try:
        found = path.stat().st_size
    except OSError:
        raise Damaged(f"{path} is missing; {MANIFEST} lists it.") from None
    if found != size:
        raise Damaged(f"{path} has {found:,} bytes; {MANIFEST} says {size:,}.")
    return path
