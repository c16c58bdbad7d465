"""Admin key: its form, its rights, and the identity of a request.

Source: get-convex/convex-backend, ``crates/local_backend/src/authentication.rs``,
``crates/common/src/types/admin_key.rs``.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
from typing import Final, Literal, NamedTuple

from sync_tool.sandbox.faults import ServerError, bad_request
from sync_tool.sandbox.options import SandboxOptions

KEY_VARIABLE = "CONVEX_MSGS_SANDBOX_KEY"  # Environment variable that sets the admin key


class Token(NamedTuple):
    """Credential of a request."""

    kind: Literal["none", "user", "admin"]
    value: str


NO_TOKEN = Token("none", "")


def new_key(options: SandboxOptions) -> str:
    """Return a new admin key in the form of the deployment's type."""
    if options.is_cloud:
        return f"{options.type}:{options.name}|{base64.b64encode(secrets.token_bytes(48)).decode()}"
    return f"{options.name}|{secrets.token_hex(48)}"


def without_type(key: str) -> str:
    """Remove a prefix such as ``prod:``; preview and project keys lose their whole prefix."""
    prefix, bar, secret = key.partition("|")
    kind, colon, name = prefix.partition(":")
    if not bar or not colon:
        return key
    return secret if kind.lower() in ("preview", "project") else f"{name}|{secret}"


def token_of_header(header: str) -> Token:
    """Parse an ``Authorization`` header."""
    if len(header) < 7:
        raise bad_request("InvalidHeaderFailure", "Invalid authentication header")
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "convex":
        return Token("admin", _without_user(without_type(value)))
    if scheme.lower() == "bearer":
        return Token("user", value)
    raise bad_request("InvalidAdminKey", "Invalid admin key")


def _without_user(key: str) -> str:
    """Remove the identity that an admin acts as, after a check of its form."""
    key, colon, user = key.partition(":")
    if colon:
        try:
            attributes = json.loads(base64.b64decode(user, validate=True))
        except (ValueError, binascii.Error):
            attributes = None
        if not isinstance(attributes, dict):
            raise bad_request("HeaderParseFailure", "Malformed Authorization header.")
    return key


def is_admin(token: Token, key: str) -> bool:
    """Return whether a token is the admin key; False without a token, ServerError 401 for a wrong one."""
    if token.kind == "none":
        return False
    if token.kind == "user":
        raise ServerError(401, "NoAuthProvider", "No auth provider found matching the given token.")
    if not hmac.compare_digest(without_type(token.value).encode(), without_type(key).encode()):
        raise ServerError(401, "BadAdminKey", "The provided admin key was invalid for this instance")
    return True


def must_be_admin(admin: bool, name: str) -> None:
    """Raise ServerError 403 unless the caller is an admin."""
    if not admin:
        raise ServerError(
            403,
            "BadDeployKey",
            f"The provided deploy key was invalid for deployment '{name}'. Double check that the environment"
            " this key was generated for matches the desired deployment.",
        )


# Rights of a key. Source: get-convex/convex-backend, ``crates/keybroker/src/operations.rs`` and
# ``crates/roles/src/{types,eval}.rs`` (names and refusal), ``crates/udf/src/validation.rs`` and
# ``npm-packages/system-udfs`` (which call needs which).

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
    """Return the list of ``check_admin_key``; empty for a key with all rights."""
    if not options.denied:
        return []
    return [name for action, name in _OPERATIONS.items() if action not in options.denied]


def must_be_allowed(token: Token, key: str, options: SandboxOptions, action: str) -> None:
    """Raise ServerError unless the token is an admin key with this right."""
    must_be_admin(is_admin(token, key), options.name)
    if action in options.denied:
        raise forbidden(action)


def forbidden(action: str) -> ServerError:
    """Return the error for a key without a right."""
    return ServerError(403, "OperationNotPermitted", refusal_text(action))


def refusal_text(action: str) -> str:
    """Return the message for a key without a right."""
    return f"You do not have permission to perform this operation ({action})."
