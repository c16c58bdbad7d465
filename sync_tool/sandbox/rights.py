"""What a key may do, where it may not do everything.

Source: get-convex/convex-backend, ``crates/keybroker/src/operations.rs`` and ``crates/roles/src/{types,eval}.rs``
(names and refusal), ``crates/udf/src/validation.rs`` and ``npm-packages/system-udfs`` (which call needs which).
"""

from __future__ import annotations

from typing import Final

from sync_tool.sandbox.faults import ServerError
from sync_tool.sandbox.keys import Token, is_admin, must_be_admin
from sync_tool.sandbox.options import SandboxOptions

VIEW_DATA: Final = "deployment:data:view"
VIEW_BACKUPS: Final = "deployment:backups:view"
IMPORT_BACKUPS: Final = "deployment:backups:import"
RUN_INTERNAL: Final = {
    "Query": "deployment:functions:runInternalQueries",
    "Mutation": "deployment:functions:runInternalMutations",
    "Action": "deployment:functions:runInternalActions",
}

_OPERATIONS: Final = {
    VIEW_DATA: "ViewData",
    VIEW_BACKUPS: "ViewBackups",
    IMPORT_BACKUPS: "ImportBackups",
    RUN_INTERNAL["Query"]: "RunInternalQueries",
    RUN_INTERNAL["Mutation"]: "RunInternalMutations",
    RUN_INTERNAL["Action"]: "RunInternalActions",
}


def allowed_operations(options: SandboxOptions) -> list[str]:
    """Return what ``check_admin_key`` lists: nothing for a key that may do everything."""
    if not options.denied:
        return []
    return [name for action, name in _OPERATIONS.items() if action not in options.denied]


def must_be_allowed(token: Token, key: str, options: SandboxOptions, action: str) -> None:
    """Refuse whoever is no admin, or may not do this.

    Raises:
        ServerError: 401 or 403.
    """
    must_be_admin(is_admin(token, key), options.name)
    if action in options.denied:
        raise forbidden(action)


def forbidden(action: str) -> ServerError:
    """The key may not do this."""
    return ServerError(403, "OperationNotPermitted", refusal_text(action))


def refusal_text(action: str) -> str:
    """What is said to a key that may not do this."""
    return f"You do not have permission to perform this operation ({action})."
