"""The admin key: how it looks, how it is made, and who a request says it is.

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

KEY_VARIABLE = "CONVEX_MSGS_SANDBOX_KEY"
"""Environment variable that sets the admin key."""


class Token(NamedTuple):
    """What a request shows."""

    kind: Literal["none", "user", "admin"]
    value: str


NO_TOKEN = Token("none", "")


def new_key(options: SandboxOptions) -> str:
    """Make an admin key in the form of the deployment's type."""
    if options.is_cloud:
        return f"{options.type}:{options.name}|{base64.b64encode(secrets.token_bytes(48)).decode()}"
    return f"{options.name}|{secrets.token_hex(48)}"


def without_type(key: str) -> str:
    """Take ``prod:`` and the like off a key; preview and project keys lose their whole prefix."""
    prefix, bar, secret = key.partition("|")
    kind, colon, name = prefix.partition(":")
    if not bar or not colon:
        return key
    return secret if kind.lower() in ("preview", "project") else f"{name}|{secret}"


def token_of_header(header: str) -> Token:
    """Read an ``Authorization`` header.

    Raises:
        ServerError: 400, it has neither of the two forms.
    """
    if len(header) < 7:
        raise bad_request("InvalidHeaderFailure", "Invalid authentication header")
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "convex":
        return Token("admin", _without_user(without_type(value)))
    if scheme.lower() == "bearer":
        return Token("user", value)
    raise bad_request("InvalidAdminKey", "Invalid admin key")


def _without_user(key: str) -> str:
    """Take off the identity that an admin acts as, after checking that it is one."""
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
    """Whether a token is this deployment's admin key; no token at all is nobody's.

    Raises:
        ServerError: 401, a wrong key or a user's token.
    """
    if token.kind == "none":
        return False
    if token.kind == "user":
        raise ServerError(401, "NoAuthProvider", "No auth provider found matching the given token.")
    if not hmac.compare_digest(without_type(token.value).encode(), without_type(key).encode()):
        raise ServerError(401, "BadAdminKey", "The provided admin key was invalid for this instance")
    return True


def must_be_admin(admin: bool, name: str) -> None:
    """Refuse everybody else.

    Raises:
        ServerError: 403 `BadDeployKey`.
    """
    if not admin:
        raise ServerError(
            403,
            "BadDeployKey",
            f"The provided deploy key was invalid for deployment '{name}'. Double check that the environment"
            " this key was generated for matches the desired deployment.",
        )


# What a key may do, where it may not do everything. Source: get-convex/convex-backend,
# ``crates/keybroker/src/operations.rs`` and ``crates/roles/src/{types,eval}.rs`` (names and refusal),
# ``crates/udf/src/validation.rs`` and ``npm-packages/system-udfs`` (which call needs which).

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
