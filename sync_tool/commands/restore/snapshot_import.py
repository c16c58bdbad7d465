"""Snapshot imports under way: cancelled on Ctrl-C, and their errors in our words."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import TracebackType
from typing import Final

from sync_tool.deployment.snapshot import ImportStatus, SnapshotWriter
from sync_tool.errors import ConvexMsgsError, Hint, Refused, Unreachable, UsageError
from sync_tool.rows.ports import Progress
from sync_tool.text import one_line


class CancelledByInterrupt:
    """Cancels an import if Ctrl-C or SIGTERM ends the block; other errors leave it running, to be joined.

    Args:
        writer: of the deployment.
        import_id: the import.
        progress: shows the result.
        forget: called when the import has ended.
    """

    def __init__(
        self, writer: SnapshotWriter, import_id: str, progress: Progress, forget: Callable[[], None] = lambda: None
    ) -> None:
        self._writer = writer
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
        cancelled = cancel_import(self._writer, self._import_id, self._progress)
        if cancelled is None:
            return
        self._forget()
        said = "the import was cancelled; the table is as it was." if cancelled else "too late: the import has ended."
        self._progress.note(said)


def cancel_import(writer: SnapshotWriter, import_id: str, progress: Progress) -> bool | None:
    """Cancel an import; return False if it had ended, None without an answer."""
    try:
        return writer.cancel(import_id)
    except Unreachable as error:
        progress.note(f"the import {import_id} could not be cancelled: {error.message}")
        return None


# Errors of imports, recognised by their text: they have no code. The texts are in get-convex/convex-backend,
# ``crates/application/src/snapshot_import/import_error.rs`` and
# ``crates/database/src/bootstrap_model/{import_facing,table}.rs``.

_HEAD: Final = re.compile(r"^hit an error while importing:\s*", re.IGNORECASE)

_OWN_NUMBER: Final = (
    ("1", "restore into a deployment where no other table has that number, such as a new one"),
    ("2", "without _id: take it out of the rows and run `npx convex import`; ids are new then, times are kept"),
    ("3", "if the other tables there may go: `npx convex import --replace-all` of a zip, which clears them"),
)
"""Advice for ids with the number of another table."""

_KNOWN: Final[tuple[tuple[str, type[ConvexMsgsError], Hint], ...]] = (
    (r"already exists\. Please choose", UsageError, (("replace it", "--replace --yes"),)),
    (r"IDs that conflict with existing|came from a\s+different deployment|conflict between", UsageError, _OWN_NUMBER),
    (r"duplicate _id", UsageError, (("", "the source holds a row twice"),)),
    (r"does not match the\s+schema", Refused, (("either", "deploy a schema that takes these rows"), ("or", "restore \
elsewhere; `convex-msgs doctor` says which level is in force"))),
    (r"Import canceled", Refused, (("", "someone cancelled it; the table is as it was"),)),
    (r"took too long", Refused, (("", "it waited for more than seven days; run it again"),)),
    (r"Uniform|generated.schema|GeneratedSchema", Refused, (("", "the backend is older than March 2026; update it"),)),
)  # fmt: skip


def refused_import(status: ImportStatus, target: str) -> ConvexMsgsError:
    """Return the error for an import that failed; the table is as it was."""
    said = one_line(_HEAD.sub("", status.error).strip()) or f"the import is {status.state}"
    for pattern, kind, hint in _KNOWN:
        if re.search(pattern, said, re.IGNORECASE):
            return kind(f"{target} did not take the rows: {said}", hint=hint)
    return Refused(f"{target} did not take the rows: {said}", hint=[("", "nothing was changed")])


def number_taken(number: int, owner: str, table: str, target: str) -> UsageError:
    """Return the error for ids with the number of another table of the target."""
    return UsageError(
        f"the _id of these rows carry table number {number}, which on {target} belongs to the table {owner!r}, "
        f"not to {table!r}; nothing was written.",
        hint=_OWN_NUMBER,
    )
