"""Where everything lies in an archive, and how files get there: complete under their name, or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from sync_tool.errors import Damaged, Locked, NoArchive, OutputError, UsageError
from sync_tool.files.bytes import translate

MANIFEST: Final = "convex-msgs.json"
_STAMP: Final = "%Y-%m-%dT%H-%M-%SZ"
_RUN: Final = re.compile(r"^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ$")
_PART: Final = re.compile(r"^\d{6}\.jsonl\.zst$")


class Layout:
    """The paths of one archive.

    Args:
        root: the archive's folder, which need not exist.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.manifest = root / MANIFEST
        self.state = root / "state.json"
        self.parts = root / "parts"
        self.runs = root / "runs"
        self.proofs = root / "proofs"
        self.cache = root / "cache"

    def require(self) -> None:
        """See that there is an archive.

        Raises:
            NoArchive: there is none.
            Damaged: there is one that has lost its manifest.
            UsageError: this user may not look.
        """
        if is_archive(self.root):
            return
        if self.run_names():
            raise Damaged(
                f"{self.manifest} is missing; the other files of an archive are there.",
                hint=[("", "put it back from a copy: it says of which deployment the archive is")],
            )
        raise NoArchive(f"no archive at {self.root}.")

    def part(self, run: str, number: int) -> Path:
        """Return the path of a run's part; numbers count from 1."""
        return self.parts / run / f"{number:06}.jsonl.zst"

    def run(self, run: str) -> Path:
        """Return the path of the file that says that a run is complete."""
        return self.runs / f"{run}.json"

    def run_names(self) -> list[str]:
        """Return the complete runs, oldest first."""
        return sorted(path.stem for path in _listed(self.runs) if path.suffix == ".json" and _RUN.match(path.stem))

    def part_files(self, run: str) -> list[Path]:
        """Return the finished part files that lie in a run's folder, in order."""
        return sorted(path for path in _listed(self.parts / run) if _PART.match(path.name))

    def stray(self, known: set[Path]) -> list[Path]:
        """Return the files of `parts` and `runs` that nothing names: left by runs that were cut off."""
        found = [*self.parts.rglob("*"), *self.runs.glob("*")]
        return sorted(path for path in found if path.is_file() and path not in known)

    @contextmanager
    def locked(self, wait: float) -> Iterator[None]:
        """Keep other runs out for the block; the lock dies with the process.

        Args:
            wait: seconds to wait for another run's end.

        Raises:
            Locked: another run is still at work.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.root / ".lock", timeout=wait, mode=0o600, fallback_to_soft=False)
        try:
            lock.acquire()
        except Timeout:
            raise Locked(f"another run is writing {self.root}.", hint=[("wait for it", "--lock-wait 10m")]) from None
        except NotImplementedError:
            raise OutputError(f"{self.root}: this file system has no locks, so two runs could meet there.") from None
        except OSError as error:
            raise translate(error, self.root / ".lock") from None
        try:
            yield
        finally:
            lock.release()


def make_folder(path: Path) -> None:
    """Make a folder for the owner alone, and its name durable; one that is there is fine.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        if path.exists() and not path.is_dir():
            raise OutputError(f"{path} is a file, not a folder.")
        if not path.is_dir():
            path.mkdir(mode=0o700)
            handle = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
    except OSError as error:
        raise translate(error, path) from None


def remove_folder(path: Path) -> None:
    """Remove a folder of parts that no run names, if it is there."""
    for file in _listed(path):
        file.unlink(missing_ok=True)
    with suppress(OSError):
        path.rmdir()


def run_name(now: datetime, last: str | None) -> str:
    """Return the name of a run that begins now: its time, but always after the run before it."""
    name = now.astimezone(UTC).strftime(_STAMP)
    if last is not None and name <= last:
        name = (run_time(last) + timedelta(seconds=1)).strftime(_STAMP)
    return name


def run_time(name: str) -> datetime:
    """Return the time that a run is named for."""
    return datetime.strptime(name, _STAMP).replace(tzinfo=UTC)


def is_archive(path: Path) -> bool:
    """Tell whether a folder is an archive.

    Raises:
        UsageError: this user may not look.
    """
    try:
        return (path / MANIFEST).is_file()
    except PermissionError:
        raise unreadable(path / MANIFEST) from None
    except OSError:  # such as a name that is too long
        return False


def unreadable(path: Path) -> UsageError:
    """Return the error for what belongs to somebody else: nothing is damaged, and nothing can be said of it."""
    return UsageError(
        f"cannot read {path}: Permission denied.",
        hint=[("run as", "the user who runs `sync`: an archive can be read by its owner alone")],
    )


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
    except PermissionError:
        raise unreadable(folder) from None
