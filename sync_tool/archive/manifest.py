"""``convex-msgs.json``: what an archive is of. Written once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from sync_tool.archive.layout import Layout
from sync_tool.archive.sealed import read_sealed, write_sealed
from sync_tool.model import Names, Selection

_KIND: Final = "archive"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One table of one deployment, or the selected rows of it."""

    deployment: str
    """The deployment's instance name when the archive was made; later runs may say another (``--rebind``)."""
    names: Names
    selection: Selection
    created: str
    """ISO 8601, UTC."""

    def write(self, layout: Layout) -> None:
        """Write it, which makes the folder an archive.

        Raises:
            OutputError: it cannot be written, or is there.
        """
        write_sealed(layout.manifest, _KIND, asdict(self))


def read_manifest(layout: Layout) -> Manifest:
    """Read it.

    Raises:
        Damaged: it is not what was written.
        UsageError: a newer version of this tool has written it.
    """
    content, _ = read_sealed(layout.manifest, _KIND)
    return Manifest(
        deployment=content["deployment"],
        names=Names(**content["names"]),
        selection=_selection(content["selection"]),
        created=content["created"],
    )


def _selection(content: dict[str, Any]) -> Selection:
    kept: dict[str, Any] = {name: tuple(value) if type(value) is list else value for name, value in content.items()}
    return Selection(**kept)
