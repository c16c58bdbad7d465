"""What a folder of an export holds: a journal while it grows, a manifest once it is complete.

The journal has a line for each finished part, written after the part itself is safe on disk: it may lag
behind the files, never lead them. The manifest is written last; its presence means complete.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, Protocol

from sync_tool._version import __version__
from sync_tool.errors import Damaged, OutputError
from sync_tool.files.output import lock, new_file

MANIFEST: Final = "manifest.json"
JOURNAL: Final = ".convex-msgs-export.jsonl"
FORMAT_VERSION: Final = 1
_CHUNK: Final = 1 << 20
_MARK: Final = {"convex-msgs": "export", "format": FORMAT_VERSION}


class Counts(Protocol):
    """What is in a part."""

    rows: int
    sessions: int


@dataclass(frozen=True, slots=True)
class Part:
    """A finished file of an export."""

    path: str
    """Relative to the folder, with forward slashes."""
    rows: int
    sessions: int
    bytes: int
    sha256: str
    label: str
    """What the part is: a month, or a number."""
    session: Any = None
    """The session id, where the part is one session; in ``convex_encoded_json``."""
    last: Any = None
    """Place of the part's last row, behind which reading goes on: session, creation time, id, n."""


class Journal:
    """The parts of an export that is under way, kept so that the same command can go on.

    Args:
        folder: the export's folder, which exists.
        about: what is asked for and how; another export does not go on here.
        settled: what that meant when the export began, such as the times that ``7d`` stands for; an export
            that goes on keeps to it (`Journal.settled`).

    Raises:
        OutputError: the folder holds another export, under way or complete, or other files.
        Locked: another run is writing this folder.
        Damaged: the journal is none of this tool's.
    """

    def __init__(self, folder: Path, about: dict[str, Any], settled: dict[str, Any]) -> None:
        self._folder = folder
        self._path = folder / JOURNAL
        self._about = json.loads(json.dumps({**_MARK, **about}))
        self.settled = json.loads(json.dumps(settled))
        self.parts: list[Part] = []
        if (folder / MANIFEST).exists():  # complete; only the journal may have outlived a kill
            self._path.unlink(missing_ok=True)
        if not self._path.exists():
            _refuse_used(folder)
        self._file = self._path.open("ab")
        with ExitStack() as undo:
            undo.callback(self._file.close)
            lock(self._file.fileno(), str(folder))
            self._path.chmod(0o600)
            self._load()
            undo.pop_all()  # all went well: it stays open

    def add(self, path: Path, counts: Counts, *, label: str, session: Any = None, last: Any = None) -> Part:
        """Record a part that is complete on disk."""
        name = path.relative_to(self._folder).as_posix()
        size, digest = path.stat().st_size, digest_of(path)
        part = Part(name, counts.rows, counts.sessions, size, digest, label, session, last)
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
        lines = self._path.read_bytes().split(b"\n")[:-1]
        records = list(_records(self._path, lines))
        parts = [_part(self._path, record) for record in records[1:]]
        if records and parts and records[0].get("about") != self._about:
            raise OutputError(
                f"{self._folder} holds another export that was not finished.",
                hint=[("go on with it", "the same command as then"), ("or", "give another folder")],
            )
        if parts:
            self.settled = records[0].get("settled", self.settled)
        self.parts = list(takewhile(self._is_there, parts))
        if self._about.get("partition_by") == "month":
            del self.parts[-1:]
        for part in parts[len(self.parts) :]:
            (self._folder / part.path).unlink(missing_ok=True)
        self._file.truncate(0)
        for record in ({"about": self._about, "settled": self.settled}, *map(asdict, self.parts)):
            self._append(record)

    def _is_there(self, part: Part) -> bool:
        path = self._folder / part.path
        return path.is_file() and path.stat().st_size == part.bytes


def is_export(folder: Path) -> bool:
    """Tell whether a folder holds a complete export of this tool, and nothing else.

    Raises:
        OutputError: it holds an export, but other files too.
    """
    listed = listed_files(folder)
    if listed is None:
        return False
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    other = min(there - listed - {MANIFEST, JOURNAL}, default=None)
    if other is not None:
        raise OutputError(f"{folder} holds other files beside an export ({other}); nothing was changed.")
    return True


def remove_export(folder: Path) -> None:
    """Remove a complete export: first what says that it is complete, then the files that it lists, then the folder."""
    listed = listed_files(folder) or set()
    (folder / MANIFEST).unlink()
    for name in listed:
        (folder / name).unlink(missing_ok=True)
        if (folder / name).parent != folder and not any((folder / name).parent.iterdir()):
            (folder / name).parent.rmdir()
    folder.rmdir()


def listed_files(folder: Path) -> set[str] | None:
    """Return the files that a complete export lists, relative to its folder; None if there is no such export."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if any(manifest.get(name) != value for name, value in _MARK.items()):
            return None
        names = [str(record["path"]) for record in manifest["parts"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    inside = all(".." not in Path(name).parts and not Path(name).is_absolute() for name in names)
    return set(names) if inside else None


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


def _part(path: Path, record: dict[str, Any]) -> Part:
    try:
        return Part(**record)
    except TypeError:
        raise Damaged(f"{path} is not a journal of this tool; delete that file to start over.") from None


def _refuse_used(folder: Path) -> None:
    if listed_files(folder) is not None:
        raise OutputError(
            f"{folder} holds a complete export; nothing was written.", hint=[("replace it", "--overwrite")]
        )
    other = next((path.name for path in folder.iterdir() if not path.name.endswith(".part")), None)
    if other is not None:
        raise OutputError(f"{folder} is not empty (it holds {other}).", hint=[("give", "a new or empty folder")])
