"""The ``Convex-Client`` header: which client in which version is calling.

Source: get-convex/convex-backend, ``crates/common/src/version.rs``, ``crates/common/deprecation.json``.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from sync_tool.sandbox.faults import ServerError, bad_request
from sync_tool.sandbox.results import CLEAN, ENCODED

Version = tuple[int, int, int]

_SEMVER: Final = re.compile(r"(.+?)-(\d+)\.(\d+)\.(\d+)(?:[-+].*)?")
_NEWEST: Final = (1 << 30, 0, 0)
_NPM: Final = ("npm", "npm-cli", "actions")

_UNSUPPORTED: Final[dict[str, Version]] = {
    **dict.fromkeys(_NPM, (0, 19, 1)),
    "python": (0, 0, 2),
    "rust": (0, 0, 1),
}
_DEPRECATED: Final[dict[str, Version]] = {**_UNSUPPORTED, "python": (0, 2, 0)}
_CLEAN_SINCE: Final[dict[str, Version]] = {**dict.fromkeys(_NPM, (1, 4, 1)), "python": (0, 5, 0)}


class Client(NamedTuple):
    """A calling program."""

    name: str
    version: Version
    spelled: str

    @property
    def default_format(self) -> str:
        """Format of answers where the request names none; very old clients relied on the encoded one."""
        return CLEAN if self.version >= _CLEAN_SINCE.get(self.name, (0, 0, 0)) else ENCODED

    @property
    def warning(self) -> tuple[str, str] | None:
        """State and text for the deprecation headers, or None."""
        if self.version <= _UNSUPPORTED.get(self.name, (-1, 0, 0)):
            return (
                "Unsupported",
                f"The Convex {self.name} package at version {self.spelled} is no longer supported.",
            )
        if self.version <= _DEPRECATED.get(self.name, (-1, 0, 0)):
            text = f"The Convex {self.name} package at {self.spelled} is deprecated"
            return "UpgradeRequired", f"{text} and will no longer be supported soon."
        return None

    def must_be_supported(self) -> None:
        """Refuse clients that are too old.

        Raises:
            ServerError: 400 `ClientVersionUnsupported`.
        """
        warning = self.warning
        if warning is not None and warning[0] == "Unsupported":
            raise bad_request("ClientVersionUnsupported", warning[1])


UNKNOWN: Final = Client("unknown", _NEWEST, "unknown")


def parse_client(header: str | None) -> Client:
    """Read the header; an absent one is fine.

    Raises:
        ServerError: 400 `InvalidClientVersion`, it has no dash.
    """
    if header is None:
        return UNKNOWN
    match = _SEMVER.fullmatch(header)
    if match is None:
        name, dash, version = header.partition("-")
        if not dash:
            raise ServerError(400, "InvalidClientVersion", f"Failed to parse client version string: '{header}'.")
        return Client(_canonical(name), _NEWEST, version)
    name, major, minor, patch = match.groups()
    version = header[len(name) + 1 :]
    return Client(_canonical(name), (int(major), int(minor), int(patch)), version)


def _canonical(name: str) -> str:
    lowered = name.lower()
    return "python" if lowered == "python-convex" else lowered
