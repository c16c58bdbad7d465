"""What a deployment says when it does not take an import, in our words and with what to do about it.

Its texts: get-convex/convex-backend, ``crates/application/src/snapshot_import/import_error.rs``,
``crates/database/src/bootstrap_model/{import_facing,table}.rs``. Only the text is told, no code.
"""

from __future__ import annotations

import re
from typing import Final

from sync_tool.deployment.snapshot import ImportStatus
from sync_tool.errors import ConvexMsgsError, Hint, Refused, UsageError
from sync_tool.text import one_line

_HEAD: Final = re.compile(r"^hit an error while importing:\s*", re.IGNORECASE)

_OWN_NUMBER: Final = (
    ("1", "restore into a deployment where no other table has that number, such as a new one"),
    ("2", "without _id: take it out of the rows and run `npx convex import`; ids are new then, times are kept"),
    ("3", "if the other tables there may go: `npx convex import --replace-all` of a zip, which clears them"),
)
"""The ways out where ids carry the number of another table."""

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
    """Return the error for ids that another table of the target would own."""
    return UsageError(
        f"the _id of these rows carry table number {number}, which on {target} belongs to the table {owner!r}, "
        f"not to {table!r}; nothing was written.",
        hint=_OWN_NUMBER,
    )
