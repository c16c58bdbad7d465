"""Where this machine keeps what one call notes for the next."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path


def note_path(job: str, place: str, suffix: str) -> Path:
    """Return the file for the notes of a job about one table of one deployment, in ``XDG_STATE_HOME``.

    Args:
        job: such as ``import``.
        place: deployment and table, as text; it does not show in the name.
        suffix: such as ``.json``.
    """
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base, "convex-msgs", f"{job}-{blake2b(place.encode(), digest_size=8).hexdigest()}{suffix}")
