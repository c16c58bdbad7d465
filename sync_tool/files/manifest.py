"""What a folder of an export holds: a journal while it grows, a manifest once it is complete.

The journal has a line for each finished part, written after the part itself is safe on disk: it may lag
behind the files, never lead them. The manifest is written last; its presence means complete.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Protocol

from sync_tool._version import __version__
from sync_tool.errors import Damaged, OutputError
from sync_tool.files.output import new_file

MANIFEST: Final = "manifest.json"
JOURNAL: Final = ".convex-msgs-export.jsonl"
FORMAT_VERSION: Final = 1
_CHUNK: Final = 1 << 20


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
    """Position of the part's last row, from which reading goes on: session, creation time, id."""


class Journal:
    """The parts of an export that is under way, kept so that the same command can go on.

    Args:
        folder: the export's folder, which exists.
        about: what is exported and how; another export does not go on here.

    Raises:
        OutputError: the folder holds another export, under way or complete, or other files.
    """

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self._folder = folder
        self._path = folder / JOURNAL
        self._about = json.loads(json.dumps({"convex-msgs": "export", "format": FORMAT_VERSION, **about}))
        self.parts: list[Part] = []
        if self._path.exists():
            self._load()
        else:
            _refuse_used(folder)
        self._file = self._path.open("ab")
        self._path.chmod(0o600)
        if self._file.tell() == 0:
            self._append(self._about)

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
        manifest = {**self._about, "tool": f"convex-msgs {__version__}", "complete": True, **totals, "parts": parts}
        self.close()
        with new_file(self._folder / MANIFEST) as stream:
            stream.write(json.dumps(manifest, ensure_ascii=False, indent=1).encode() + b"\n")
        self._path.unlink()

    def close(self) -> None:
        """Close the journal; it stays for the next run."""
        self._file.close()

    def _append(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _load(self) -> None:
        """Read the journal; a last line that was cut off by a kill is cut away."""
        lines = self._path.read_bytes().split(b"\n")
        os.truncate(self._path, sum(len(line) + 1 for line in lines[:-1]))
        records = list(_records(self._path, lines[:-1]))
        if not records:
            return
        if records[0] != self._about:
            raise OutputError(
                f"{self._folder} holds another export that was not finished.",
                hint=[("go on with it", "the same command as then"), ("or", "give another folder, or --overwrite")],
            )
        self.parts = [part for part in (Part(**record) for record in records[1:]) if self._is_there(part)]

    def _is_there(self, part: Part) -> bool:
        path = self._folder / part.path
        return path.is_file() and path.stat().st_size == part.bytes


def clear(folder: Path) -> None:
    """Remove an export from its folder: the files it lists, nothing else."""
    listed = [*_listed(folder / MANIFEST), *_listed(folder / JOURNAL)]
    for name in listed:
        (folder / name).unlink(missing_ok=True)
        if (folder / name).parent != folder and not any((folder / name).parent.iterdir()):
            (folder / name).parent.rmdir()
    for name in (MANIFEST, JOURNAL):
        (folder / name).unlink(missing_ok=True)


def digest_of(path: Path) -> str:
    """Return the sha256 of a file."""
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _listed(path: Path) -> Iterator[str]:
    if not path.exists():
        return
    if path.name == MANIFEST:
        records = json.loads(path.read_text(encoding="utf-8"))["parts"]
    else:
        records = list(_records(path, path.read_bytes().split(b"\n")[:-1]))[1:]
    for record in records:
        if ".." not in Path(record["path"]).parts and not Path(record["path"]).is_absolute():
            yield record["path"]


def _records(path: Path, lines: list[bytes]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except ValueError:
            raise Damaged(f"{path}, line {number}: not a journal of this tool.") from None


def _refuse_used(folder: Path) -> None:
    if (folder / MANIFEST).exists():
        raise OutputError(
            f"{folder} holds a complete export; nothing was written.", hint=[("replace it", "--overwrite")]
        )
    other = next((path.name for path in folder.iterdir() if not path.name.endswith(".part")), None)
    if other is not None:
        raise OutputError(f"{folder} is not empty (it holds {other}).", hint=[("give", "a new or empty folder")])
