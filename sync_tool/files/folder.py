"""A folder that an export wrote, as a source of messages."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from hashlib import blake2b, sha256
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, Protocol

from sync_tool._version import __version__
from sync_tool.encoding.canonical import dumps
from sync_tool.encoding.order import MISSING
from sync_tool.encoding.values import Value
from sync_tool.errors import Damaged, OutputError, UsageError
from sync_tool.files.bytes import lock, new_file
from sync_tool.files.private import below, is_real_folder, is_regular, open_private, open_regular
from sync_tool.files.source import MessageFile, MessageFiles
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Names
from sync_tool.text import one_line, plural

# A folder of an export holds a journal while it grows and a manifest once it is complete. The journal has a line
# for each finished part, written after the part itself is safe on disk: it may lag behind the files, never lead
# them. The manifest is written last; its presence means complete.

MANIFEST: Final = "manifest.json"
JOURNAL: Final = ".convex-msgs-export.jsonl"
FORMAT_VERSION: Final = 1
_CHUNK: Final = 1 << 20
_EXPORT_MARK: Final = {"convex-msgs": "export", "format": FORMAT_VERSION}
_PART_NAME: Final = re.compile(
    r"(?:month=(?:[0-9]{4}-[0-9]{2}|undated)/)?"
    r"[a-z0-9][a-z0-9._-]{0,99}(?:~[0-9a-f]{16})?"
    r"\.(?:jsonl|jsonl\.zst|jsonl\.gz|parquet|md)"
)
"""The names that exports give; a record with any other is not the tool's own."""


class PartCounts(Protocol):
    """Rows and sessions of a part."""

    rows: int
    sessions: int


@dataclass(frozen=True, slots=True)
class ExportPart:
    """A finished file of an export."""

    path: str
    """Relative to the folder, with forward slashes."""
    rows: int
    sessions: int
    bytes: int
    sha256: str
    label: str
    """Month or number of the part."""
    session: Any = None
    """The session id, where the part is one session; in ``convex_encoded_json``."""
    last: Any = None
    """Position of the part's last row, from which reading resumes: session, creation time, id, n."""


class ExportJournal:
    """The finished parts of an export, kept so that the same command can resume it.

    Args:
        folder: the export's folder, which exists.
        about: the selection and format; another export is refused.
        settled: what that meant when the export began, such as the times that ``7d`` stands for; an export
            that goes on keeps to it (`ExportJournal.settled`).

    Raises:
        OutputError: the folder holds another export, under way or complete, or other files.
        Locked: another run is writing this folder.
        Damaged: the journal is none of this tool's.
    """

    def __init__(self, folder: Path, about: dict[str, Any], settled: dict[str, Any]) -> None:
        self._folder = folder
        self._path = folder / JOURNAL
        self._about = json.loads(json.dumps({**_EXPORT_MARK, **about}))
        self.settled = json.loads(json.dumps(settled))
        self.parts: list[ExportPart] = []
        if (folder / MANIFEST).exists():  # complete; only the journal may have outlived a kill
            self._path.unlink(missing_ok=True)
        if not self._path.exists():
            _refuse_used(folder)
        self._file = open(open_private(self._path, os.O_APPEND), "a+b")  # noqa: PTH123, SIM115  # close() closes it
        with ExitStack() as undo:
            undo.callback(self._file.close)
            lock(self._file.fileno(), str(folder))
            self._load()
            undo.pop_all()  # all went well: it stays open

    def add(self, path: Path, counts: PartCounts, *, label: str, session: Any = None, last: Any = None) -> ExportPart:
        """Record a part that is complete on disk."""
        name = path.relative_to(self._folder).as_posix()
        size, digest = path.stat().st_size, digest_of(path)
        part = ExportPart(name, counts.rows, counts.sessions, size, digest, label, session, last)
        self._append(asdict(part))
        self.parts.append(part)
        return part

    def finish(self, totals: dict[str, Any]) -> None:
        """Write the manifest and take the journal away: the export is complete."""
        parts = [asdict(part) for part in self.parts]
        tool = {"tool": f"convex-msgs {__version__}", "complete": True}
        manifest = {**self._about, **tool, **self.settled, **totals, "parts": parts}
        with new_file(self._folder / MANIFEST) as stream:
            stream.write(json.dumps(manifest, ensure_ascii=False, indent=1).encode() + b"\n")
        self._path.unlink()
        self.close()

    def discard(self) -> None:
        """Remove the finished parts and the journal, so that the next run starts over."""
        for part in self.parts:
            below(self._folder, part.path).unlink(missing_ok=True)
        self._path.unlink()
        self.close()

    def close(self) -> None:
        """Close the journal; it stays for the next run."""
        self._file.close()

    def _append(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _load(self) -> None:
        """Take over what an earlier run has finished; a last line that was cut off by a kill does not count.

        Reading goes on behind the last part that is kept, so none may be missing before it: what comes
        behind a missing one, and of months the last one, which may have been the current one, is made anew.
        """
        self._file.seek(0)
        lines = self._file.read().split(b"\n")[:-1]
        records = list(_records(self._path, lines))
        parts = [_part(self._path, record) for record in records[1:]]
        if records and parts and records[0].get("about") != self._about:
            raise OutputError(
                f"{self._folder} holds another export that was not finished.",
                hint=[("resume it", "the same command as then"), ("or", "give another folder")],
            )
        if parts:
            self.settled = records[0].get("settled", self.settled)
        self.parts = list(takewhile(self._is_there, parts))
        if self._about.get("partition_by") == "month":
            del self.parts[-1:]
        for part in parts[len(self.parts) :]:
            below(self._folder, part.path).unlink(missing_ok=True)
        self._file.truncate(0)
        for record in ({"about": self._about, "settled": self.settled}, *map(asdict, self.parts)):
            self._append(record)

    def _is_there(self, part: ExportPart) -> bool:
        path = below(self._folder, part.path)
        return is_regular(path) and path.stat().st_size == part.bytes


def is_export(folder: Path) -> bool:
    """Return whether a folder holds a complete export of this tool, and nothing else.

    Raises:
        OutputError: it holds an export, but other files too.
    """
    listed = listed_files(folder)
    if listed is None:
        return False
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not is_real_folder(path)}
    other = min(there - listed - {MANIFEST, JOURNAL}, default=None)
    if other is not None:
        raise OutputError(f"{folder} holds other files beside an export ({other}); nothing was changed.")
    return True


def remove_export(folder: Path) -> None:
    """Remove a complete export: first what says that it is complete, then the files that it lists, then the folder."""
    listed = [below(folder, name) for name in listed_files(folder) or ()]
    (folder / MANIFEST).unlink()
    for path in listed:
        path.unlink(missing_ok=True)
        if path.parent != folder and not any(path.parent.iterdir()):
            path.parent.rmdir()
    folder.rmdir()


def listed_files(folder: Path) -> set[str] | None:
    """Return the files that a complete export lists, relative to its folder; None if there is no such export."""
    try:
        with open_regular(folder / MANIFEST) as file:
            manifest = json.loads(file.read())
        if any(manifest.get(name) != value for name, value in _EXPORT_MARK.items()):
            return None
        names = [str(record["path"]) for record in manifest["parts"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return set(names) if all(map(is_part_name, names)) else None


def is_part_name(name: str) -> bool:
    """Return whether an export may have given a file this name, relative to its folder."""
    return _PART_NAME.fullmatch(name) is not None


def digest_of(path: Path) -> str:
    """Return the sha256 of a file."""
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _records(path: Path, lines: list[bytes]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise Damaged(f"{path}, line {number}: not a journal of this tool; delete that file to start over.")
        yield record


def _part(path: Path, record: dict[str, Any]) -> ExportPart:
    try:
        part = ExportPart(**record)
        if is_part_name(part.path) and {type(part.rows), type(part.sessions), type(part.bytes)} == {int}:
            return part
    except TypeError:
        pass
    raise Damaged(f"{path} is not a journal of this tool; delete that file to start over.")


def _refuse_used(folder: Path) -> None:
    if listed_files(folder) is not None:
        raise OutputError(
            f"{folder} holds a complete export; nothing was written.", hint=[("replace it", "--overwrite")]
        )
    other = next((path.name for path in folder.iterdir() if not path.name.endswith(".part")), None)
    if other is not None:
        raise OutputError(f"{folder} is not empty (it holds {other}).", hint=[("give", "a new or empty folder")])


class MessageFolder(MessageFiles):
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
            self._partial = any(manifest["selection"].values())
            parts = [(str(part["path"]), int(part["bytes"])) for part in manifest["parts"]]
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Damaged(f"{path / MANIFEST} is not a manifest of this tool.") from None
        self._files = [MessageFile(_checked(path, name, size), self._names) for name, size in parts]

    @property
    def title(self) -> str:
        """The folder's name."""
        return f"{self.path.resolve().name}/"

    @property
    def method(self) -> str:
        """Its files are read one after the other."""
        return f"reading {plural(len(self._files), 'file')} of the folder {self.path}"

    @property
    def names(self) -> Names:
        """How the table and its fields are called, as the manifest says."""
        return self._names

    @property
    def partial(self) -> bool:
        """True if only some rows were selected for it."""
        return self._partial

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
        with open_regular(path) as file:
            found = json.loads(file.read())
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
    if not is_part_name(name):
        raise Damaged(f"{folder / MANIFEST} names a file outside the folder, or none of an export: {one_line(name)}.")
    try:
        path = below(folder, name)
    except OutputError as error:
        raise Damaged(f"{folder / MANIFEST}: {error.message}") from None
    if not is_regular(path):
        raise Damaged(f"{path} is missing; {MANIFEST} lists it.")
    found = path.stat().st_size
    if found != size:
        raise Damaged(f"{path} has {found:,} bytes; {MANIFEST} says {size:,}.")
    return path


# File names for session ids: readable where that is safe, different wherever the ids differ. Safe means safe
# everywhere: file systems that fold case (macOS, Windows) or Unicode forms (macOS), that forbid characters, trailing
# dots or device names (Windows), or names over 255 bytes.

_PLAIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}(?<![.])")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_UNSAFE = re.compile(r"[^a-z0-9_-]+")
_READABLE_LETTERS: Final = 40
_MARK: Final = "~"
"""Stands between a shortened id and its digest; no plain name holds it."""


def safe_name(session: Value) -> str:
    """Return a file name, without suffix, for a session id of any kind."""
    if isinstance(session, str) and _PLAIN.fullmatch(session) and not _DEVICES.fullmatch(session):
        return session
    readable = session if isinstance(session, str) else "no-id" if session is MISSING else type(session).__name__
    readable = _UNSAFE.sub("_", readable.lower()).strip("_-")[:_READABLE_LETTERS] or "session"
    content = b"" if session is MISSING else dumps(session)
    return f"{readable}{_MARK}{blake2b(content, digest_size=8).hexdigest()}"
