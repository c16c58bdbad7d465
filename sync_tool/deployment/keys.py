"""What a deploy or admin key says about itself.

Forms: get-convex/convex-backend, ``npm-packages/docs/docs/cli/deploy-key-types.mdx`` and
``crates/common/src/types/admin_key.rs``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from sync_tool.errors import UsageError

_CLOUD_TYPES: Final = ("prod", "dev", "preview", "custom")
_JWT = re.compile(r"^eyJ[\w-]+\.[\w-]+\.[\w-]*$")
_PLACEHOLDER = re.compile(r"^<missing_deploy_key:(.*)>$", re.DOTALL)
_MAKE_ONE: Final = ("make one", "npx convex deployment token create convex-msgs --prod --save-env .env.msgs")


@dataclass(frozen=True, slots=True)
class Key:
    """A key that may act as administrator of one deployment."""

    secret: str = field(repr=False)
    """The whole key, as it is sent. Never shown."""
    type: str | None
    """``prod``, ``dev``, ``preview`` or ``custom`` for Convex cloud; None for self-hosted and local."""
    name: str
    """The deployment (instance) that the key belongs to."""

    @property
    def label(self) -> str:
        """The part that may be shown: everything before the secret."""
        return f"{self.type}:{self.name}" if self.type else self.name


def parse_key(text: str, origin: str) -> Key:
    """Read a key.

    Args:
        text: the key, with or without white space around it.
        origin: where it came from, for messages, such as ``CONVEX_DEPLOY_KEY``.

    Raises:
        UsageError: it is some other kind of token, and which.
    """
    text = text.strip()
    placeholder = _PLACEHOLDER.match(text)
    if placeholder:
        raise UsageError(f"{origin} holds no key: {placeholder[1]}")
    if _JWT.match(text) or text.lower().startswith("bearer "):
        raise _not_a_key(origin, "a user's login token (a JWT), which cannot read other people's messages")
    head, bar, secret = text.partition("|")
    parts = head.split(":")
    if not bar:
        raise _not_a_key(origin, "no key of one deployment: those have the form name|secret (quote the '|')")
    if not secret or not parts[-1] or " " in text or not (text.isascii() and text.isprintable()):
        raise _not_a_key(origin, "cut off: a name and a secret belong around the '|' (quote it in the shell)")
    if parts[0] == "project" or len(parts) > 2:
        raise _not_a_key(origin, f"a key of the project {':'.join(parts[1:])!r}; it names no deployment")
    if len(parts) == 2 and parts[0] not in _CLOUD_TYPES:
        raise _not_a_key(origin, f"of an unknown type, {parts[0]!r}")
    return Key(secret=text, type=parts[0] if len(parts) == 2 else None, name=parts[-1])


def _not_a_key(origin: str, what: str) -> UsageError:
    return UsageError(
        f"the key in {origin} is {what}.",
        hint=[
            ("needed", "a deploy key (Convex cloud) or an admin key (self-hosted)"),
            _MAKE_ONE,
            ("self-hosted", "./generate_admin_key.sh in the backend's container"),
        ],
    )
