"""File names for session ids: readable where that is safe, different wherever the ids differ.

Safe means safe everywhere: file systems that fold case (macOS, Windows) or Unicode forms (macOS), that
forbid characters, trailing dots or device names (Windows), or names over 255 bytes.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

from sync_tool.encoding.canonical import dumps
from sync_tool.encoding.order import MISSING
from sync_tool.encoding.values import Value

_PLAIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}(?<![.])")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_UNSAFE = re.compile(r"[^a-z0-9_-]+")
_READABLE_LETTERS: Final = 40
_MARK: Final = "~"
"""Stands between a shortened id and its digest; no plain name holds it."""


def safe_name(session: Value) -> str:
    """Return a file name, without suffix, for a session id of any kind."""
    if isinstance(session, str) and _PLAIN.fullmatch(session) and not _DEVICES.fullmatch(session):
        return session
    readable = session if isinstance(session, str) else "no-id" if session is MISSING else type(session).__name__
    readable = _UNSAFE.sub("_", readable.lower()).strip("_-")[:_READABLE_LETTERS] or "session"
    content = b"" if session is MISSING else dumps(session)
    return f"{readable}{_MARK}{blake2b(content, digest_size=8).hexdigest()}"
