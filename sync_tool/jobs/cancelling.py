"""A snapshot import under way in a deployment, stopped when the person who began it stops waiting."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from sync_tool.deployment.snapshot import SnapshotDoor
from sync_tool.errors import ConvexMsgsError, Unreachable
from sync_tool.ports import Progress


class CancelledByInterrupt:
    """Cancels an import when the block is left by Ctrl-C or SIGTERM; other errors leave it running, to be joined.

    Args:
        door: to the deployment.
        import_id: the import.
        progress: is told what came of it.
        forget: called when the import has ended.
    """

    def __init__(
        self, door: SnapshotDoor, import_id: str, progress: Progress, forget: Callable[[], None] = lambda: None
    ) -> None:
        self._door = door
        self._import_id = import_id
        self._progress = progress
        self._forget = forget

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, ConvexMsgsError):
            return
        cancelled = let_go(self._door, self._import_id, self._progress)
        if cancelled is None:
            return
        self._forget()
        said = "the import was cancelled; the table is as it was." if cancelled else "too late: the import has ended."
        self._progress.note(said)


def let_go(door: SnapshotDoor, import_id: str, progress: Progress) -> bool | None:
    """Cancel an import; False if it had ended, None if nobody answered."""
    try:
        return door.cancel(import_id)
    except Unreachable as error:
        progress.note(f"the import {import_id} could not be cancelled: {error.message}")
        return None
