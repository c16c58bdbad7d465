"""What a restore that was cut off had begun, so that the same call joins it instead of starting another.

A deployment does not say what an import was made of. So the id of a confirmed import is kept on this machine,
beside the digest of what was uploaded, until its end was seen.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass

from sync_tool.files.output import new_file, translate
from sync_tool.jobs.noting import note_path


@dataclass(frozen=True, slots=True)
class Begun:
    """An import that was confirmed."""

    import_id: str
    digest: str
    """sha256 of the upload."""
    deleted: int
    """How many rows it replaces."""


class RestoreJournal:
    """The note about one table of one deployment.

    Args:
        place: deployment and table, as text.
    """

    def __init__(self, place: str) -> None:
        self._path = note_path("restore", place, ".json")

    def read(self) -> Begun | None:
        """Return what was begun; None where there is nothing, or nothing readable."""
        try:
            return Begun(**json.loads(self._path.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, begun: Begun) -> None:
        """Keep it, safe on disk.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise translate(error, self._path) from None
        with new_file(self._path, overwrite=True) as stream:
            stream.write(json.dumps(asdict(begun)).encode())

    def clear(self) -> None:
        """Forget it: its end was seen."""
        with suppress(OSError):  # also where it could not be written
            self._path.unlink()
