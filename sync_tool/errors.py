"""Every error of the tool, sorted by what the reader can do about it, and every exit code.

::

    ConvexMsgsError
    ├── UsageError          2   wrong input: change the command, a setting or a file
    │   ├── OutputError     2   the place to write to is taken, missing, read-only or full
    │   └── NotSupported    2   this kind of place cannot do the work: a file cannot be followed live
    ├── Conflict            3   done, but sessions whose histories part were left as they are
    ├── Differs             4   differences, incomplete, too old
    ├── Unreachable         5   no usable answer after retries: run it again
    ├── Refused             6   the deployment said no: key, rights, limit, plan
    │   ├── FunctionFailed  6   a function ran on the deployment and failed
    │   ├── CursorExpired   6   what follows a saved position is no longer kept: read everything
    │   └── NoStreaming     6   the deployment does not stream changes: use another reader
    ├── Damaged             7   stored data is not what it was
    ├── NoArchive          10   no archive there
    ├── Locked             11   another run is at work there
    └── PipeClosed        141   the reader of standard output stopped reading
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Any, ClassVar, Final


class Exit(IntEnum):
    """Exit codes; `EXIT_CODES` says what each means."""

    DONE = 0
    FAULT = 1
    USAGE = 2
    SET_ASIDE = 3
    DIFFERS = 4
    UNREACHABLE = 5
    REFUSED = 6
    DAMAGED = 7
    NO_ARCHIVE = 10
    LOCKED = 11
    INTERRUPTED = 130
    PIPE_CLOSED = 141
    TERMINATED = 143


EXIT_CODES: Final[dict[Exit, str]] = {
    Exit.DONE: "done (also: nothing new)",
    Exit.FAULT: "a fault of the tool itself",
    Exit.USAGE: "wrong input: the command, a setting or a file needs changing",
    Exit.SET_ASIDE: "done, but records were quarantined or sessions skipped",
    Exit.DIFFERS: "differences found, incomplete, or too old",
    Exit.UNREACHABLE: "no usable answer after retries; safe to run again",
    Exit.REFUSED: "refused by the deployment: key, rights, limit or plan",
    Exit.DAMAGED: "stored data is damaged",
    Exit.NO_ARCHIVE: "no archive there",
    Exit.LOCKED: "another run holds the lock",
    Exit.INTERRUPTED: "stopped by Ctrl-C; safe to run again",
    Exit.PIPE_CLOSED: "the program reading standard output stopped reading",
    Exit.TERMINATED: "stopped by SIGTERM; safe to run again",
}
"""The one table of exit codes, shown by every ``--help`` and in the docs."""

Hint = Iterable[tuple[str, str]]
"""Lines of advice: a label and a text each, e.g. ``("make one", "npx convex …")``."""


class ConvexMsgsError(Exception):
    """Base of every error that this package raises on purpose.

    The hint is a note of the exception too, so that a traceback shows it.

    Args:
        message: one line that says what happened, and where.
        hint: what to do about it, as labelled lines.
    """

    exit_code: ClassVar[Exit] = Exit.FAULT

    def __init__(self, message: str, *, hint: Hint = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint_lines = tuple(hint)
        if self.hint_lines:
            self.add_note(self.hint)

    @property
    def hint(self) -> str:
        """Advice as text with the labels in a column; empty without advice."""
        width = max((len(label) for label, _ in self.hint_lines), default=0)
        return "\n".join(f"{label:<{width}}  {text}".rstrip() for label, text in self.hint_lines)


class UsageError(ConvexMsgsError):
    """Asked wrongly: running it again unchanged will not help, changing the command or a setting will."""

    exit_code = Exit.USAGE


class OutputError(UsageError):
    """The output cannot be written: it exists, its folder does not, no permission, no space."""


class NotSupported(UsageError):
    """The source or target cannot do this work, because of its kind: only a deployment can be followed live."""


class Conflict(ConvexMsgsError):
    """The target has another history of some sessions than the one to be imported; all others were imported.

    Attributes:
        report: what was done (`sync_tool.commands.import_.report.ImportReport`).
    """

    exit_code = Exit.SET_ASIDE

    def __init__(self, message: str, report: Any, *, hint: Hint = ()) -> None:
        super().__init__(message, hint=hint)
        self.report = report


class Differs(ConvexMsgsError):
    """Two histories differ, or something is incomplete or too old."""

    exit_code = Exit.DIFFERS


class Unreachable(ConvexMsgsError):
    """The deployment gave no usable answer, after retries. Running again is safe."""

    exit_code = Exit.UNREACHABLE


class Refused(ConvexMsgsError):
    """The deployment said no: key, rights, a limit or the plan.

    Attributes:
        code: the deployment's own short word for it, such as ``OperationNotPermitted``; empty if it had none.
    """

    exit_code = Exit.REFUSED

    def __init__(self, message: str, *, code: str = "", hint: Hint = ()) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class FunctionFailed(Refused):
    """A function ran on the deployment and failed there.

    Attributes:
        data: the data of a ConvexError, or None where the failure was none.
        code: the ``code`` in that data; empty where there is none.
    """

    def __init__(self, message: str, *, data: Any = None, hint: Hint = ()) -> None:
        code = data.get("code") if isinstance(data, dict) else None
        super().__init__(message, code=code if isinstance(code, str) else "", hint=hint)
        self.data = data


class CursorExpired(Refused):
    """The deployment no longer keeps the changes after a saved position; a full pass finds everything."""


class NoStreaming(Refused):
    """The deployment does not stream changes: its plan, or a backend too old. Other readers may work."""


def only_this_refused(error: Refused) -> bool:
    """Return whether only this request is refused (a missing function or right), not the key as such."""
    return isinstance(error, FunctionFailed) or error.code == "OperationNotPermitted"


class Damaged(ConvexMsgsError):
    """Stored data cannot be read, or is not what its manifest says."""

    exit_code = Exit.DAMAGED


class NoArchive(ConvexMsgsError):
    """There is no archive at the place named."""

    exit_code = Exit.NO_ARCHIVE


class Locked(ConvexMsgsError):
    """Another run is at work on the same output."""

    exit_code = Exit.LOCKED


class PipeClosed(ConvexMsgsError):
    """The program that reads standard output has stopped reading."""

    exit_code = Exit.PIPE_CLOSED
