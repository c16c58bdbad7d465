"""Paths, names and the lock of an archive."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from sync_tool.errors import Damaged, Locked, NoArchive, OutputError, UsageError
from sync_tool.files.bytes import translate
from sync_tool.files.private import is_real_folder, is_regular

MANIFEST: Final = "convex-msgs.json"
_STAMP: Final = "%Y-%m-%dT%H-%M-%SZ"
_RUN: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}-[0-9]{2}Z")
_PART: Final = re.compile(r"[0-9]{6}\.jsonl\.zst")
# Files that a run creates in its folder of parts.
_MADE: Final = re.compile(r"[0-9]{6}\.jsonl\.zst|\.[0-9]{6}\.jsonl\.zst\.part")
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


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
        """Raise an error unless there is an archive.

        Raises:
            NoArchive: there is none.
            Damaged: its manifest is missing.
            UsageError: this user may not read it.
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
        """Return the path of a run's file, which exists once the run is complete."""
        return self.runs / f"{run}.json"

    def run_names(self) -> list[str]:
        """Return the complete runs, oldest first."""
        return sorted(path.stem for path in _listed(self.runs) if path.suffix == ".json" and is_run(path.stem))

    def part_files(self, run: str) -> list[Path]:
        """Return the finished part files in a run's folder, in order."""
        return sorted(path for path in _listed(self.parts / run) if _PART.fullmatch(path.name))

    def stray(self, known: set[Path]) -> list[Path]:
        """Return the files of `parts` and `runs` that nothing names: those of interrupted runs."""
        found = [*self.parts.rglob("*"), *self.runs.glob("*")]
        return sorted(path for path in found if is_regular(path) and path not in known)

    def is_part(self, name: str, run: str) -> bool:
        """Return True if a path, relative to the archive, can be that of a part of `run`."""
        folder, _, file = name.rpartition("/")
        return folder == f"{self.parts.name}/{run}" and _PART.fullmatch(file) is not None

    def check_folders(self) -> None:
        """Check that the folders of the archive are its own: a link could lead a run elsewhere.

        Raises:
            OutputError: one is a link, or a file.
        """
        for path in (self.parts, self.runs, self.proofs, self.cache):
            if os.path.lexists(path):
                _require_own(path)

    def check_owner(self) -> None:
        """Check that no other user can put files into the archive.

        Raises:
            OutputError: one can.
        """
        for path in (self.root, self.parts, self.runs, self.proofs, self.cache):
            with suppress(FileNotFoundError):
                found = path.stat()
                if found.st_uid != os.geteuid() or found.st_mode & _OTHERS_WRITE:
                    mine = found.st_uid == os.geteuid()
                    why, cure = ("may be written by", "chmod go-w") if mine else ("belongs to", "chown")
                    raise OutputError(
                        f"{path} {why} other users, who could change the archive.",
                        hint=[("make it yours", f"{cure} …"), ("or you trust them", "--allow-shared")],
                    )

    @contextmanager
    def locked(self, wait: float) -> Iterator[None]:
        """Lock the archive for the block; the lock dies with the process.

        Args:
            wait: most seconds to wait for another run.

        Raises:
            Locked: another run still holds the lock.
            OutputError: the file system has no locks.
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
    """Create a folder for the owner alone, and sync its name to disk; an existing one is fine.

    Raises:
        OutputError: it cannot be created, or is a link.
    """
    try:
        if os.path.lexists(path):
            _require_own(path)
        else:
            path.mkdir(mode=0o700)
            handle = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
    except OSError as error:
        raise translate(error, path) from None


def make_root(path: Path) -> None:
    """Create the folder of an archive as `make_folder` does; it may be a link, which the user has chosen.

    Raises:
        OutputError: it cannot be created.
    """
    if not path.is_dir():
        make_folder(path)


def _require_own(path: Path) -> None:
    if path.is_symlink():
        raise OutputError(f"{path} is a symbolic link; a run follows none inside an archive.")
    if not is_real_folder(path):
        raise OutputError(f"{path} is a file, not a folder.")


def remove_parts(folder: Path, keep: Collection[Path] = ()) -> None:
    """Remove a run's parts except `keep`, and their folder if it is empty then."""
    if not is_real_folder(folder):
        return
    for path in _listed(folder):
        if _MADE.fullmatch(path.name) and not is_real_folder(path) and path not in keep:
            path.unlink(missing_ok=True)
    if not keep:
        with suppress(OSError):
            folder.rmdir()


def is_run(name: str) -> bool:
    """Return True for the name of a run."""
    try:
        return _RUN.fullmatch(name) is not None and bool(run_time(name))
    except ValueError:
        return False


def run_name(now: datetime, last: str | None) -> str:
    """Return the name of a run that begins now: its time, or later if the run before is not earlier."""
    name = now.astimezone(UTC).strftime(_STAMP)
    if last is not None and name <= last:
        name = (run_time(last) + timedelta(seconds=1)).strftime(_STAMP)
    return name


def run_time(name: str) -> datetime:
    """Return the time in a run's name."""
    return datetime.strptime(name, _STAMP).replace(tzinfo=UTC)


def is_archive(path: Path) -> bool:
    """Return True for the folder of an archive.

    Raises:
        UsageError: this user may not read it.
    """
    try:
        return (path / MANIFEST).is_file()
    except PermissionError:
        raise unreadable(path / MANIFEST) from None
    except OSError:  # such as a name that is too long
        return False


def unreadable(path: Path) -> UsageError:
    """Return the error for a file of another user: it may well be intact."""
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
