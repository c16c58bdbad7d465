"""Files for this user alone, reached through no link below a root that the user chose.

A name that others can foresee may hold a link, a pipe or a file of theirs. So the open file is checked, not the name.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from contextlib import ExitStack, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from sync_tool.errors import OutputError

_MODE: Final = 0o600
_CHECKED: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Opening follows no link, and waits for nobody at the other end of a pipe."""
_CURRENT_FOLDER: Final = -100  # AT_FDCWD
_NO_REPLACE: Final = 1  # RENAME_NOREPLACE


def open_private(path: Path, flags: int = 0) -> int:
    """Open a file for reading and writing, mode 0600; one that is missing is made.

    Raises:
        OutputError: a link, a device, a pipe, another user's file, or one that has a second name.
        OSError: from the operating system.
    """
    handle = open_own(path, flags)
    if os.fstat(handle).st_nlink > 1:
        os.close(handle)
        raise _refused(path, "has a second name")
    return handle


def open_own(path: Path, flags: int = 0) -> int:
    """Open a file as `open_private` does, but also one with several names, which keeps its mode.

    Raises:
        OutputError: a link, a device, a pipe, or another user's file.
        OSError: from the operating system.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | flags | _CHECKED, _MODE)
    except FileExistsError:
        return _open_there(path, flags)
    with suppress(PermissionError):  # a file system without modes; the umask may have taken bits away
        os.fchmod(handle, _MODE)
    return handle


def _open_there(path: Path, flags: int) -> int:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | flags | _CHECKED, _MODE)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _refused(path, "is a symbolic link") from None
        raise
    with ExitStack() as undo:
        undo.callback(os.close, handle)
        _check_own(path, os.fstat(handle))
        if os.fstat(handle).st_nlink == 1:
            os.fchmod(handle, _MODE)
        undo.pop_all()  # all went well: it stays open
    return handle


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading.

    Raises:
        OSError: from the operating system, also for a link, a device or a pipe.
    """
    handle = os.open(path, os.O_RDONLY | _CHECKED)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return open(handle, "rb")  # noqa: PTH123  # a handle, not a path


def is_regular(path: Path) -> bool:
    """Return whether a name is that of a file itself, not for a link, a folder, a device or a pipe."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def is_real_folder(path: Path) -> bool:
    """Return whether a name is that of a folder itself, not for a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def below(root: Path, name: str) -> Path:
    """Return the path of a file below a folder.

    Args:
        root: the folder.
        name: relative to it, with forward slashes.

    Raises:
        OutputError: the name leads out of the folder, or through a link in it.
    """
    parts = PurePosixPath(name).parts
    path = root.joinpath(*parts)
    if not parts or ".." in parts or PurePosixPath(name).is_absolute() or "\0" in name:
        raise OutputError(f"{name!r} is no name of a file in {root}.")
    for number in range(1, len(parts)):
        if root.joinpath(*parts[:number]).is_symlink():
            raise _refused(root.joinpath(*parts[:number]), "is a symbolic link")
    return path


def rename_new(source: Path, target: Path) -> None:
    """Rename a file to a name that is free.

    Raises:
        FileExistsError: it is not.
        OSError: from the operating system.
    """
    if _renamed(source, target):
        return
    try:
        target.hardlink_to(source)
    except FileExistsError:
        raise
    except OSError:  # a file system that knows neither: there a look just before has to do
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        source.rename(target)
    else:
        source.unlink()


def _renamed(source: Path, target: Path) -> bool:
    """Rename in one step where Linux and the file system can refuse to replace; else return False."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_CURRENT_FOLDER, os.fsencode(source), _CURRENT_FOLDER, os.fsencode(target), _NO_REPLACE) == 0:
        return True
    if ctypes.get_errno() == errno.EEXIST:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    return False


def _check_own(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OutputError(f"{path} is no regular file; nothing was written.")
    if found.st_uid != os.geteuid():
        raise _refused(path, "belongs to another user")


def _refused(path: Path, why: str) -> OutputError:
    return OutputError(f"{path} {why}; nothing was written.", hint=[("if it is not needed", f"delete {path}")])
