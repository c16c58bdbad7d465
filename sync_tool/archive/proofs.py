"""``proofs/``: that the rows of a run were restored, read back and compared. A file for each time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sync_tool.archive.layout import Layout, make_folder
from sync_tool.archive.sealed import read_sealed, write_sealed
from sync_tool.errors import Damaged

_KIND: Final = "proof"


@dataclass(frozen=True, slots=True)
class Proof:
    """One restore that gave back exactly what is in the archive."""

    run: str
    run_sha256: str
    """Seal of the run's file: what it lists is what was restored."""
    proven: str
    """When. ISO 8601, UTC."""
    target: str
    """Into what."""
    rows: int
    sessions: int

    def write(self, layout: Layout) -> Path:
        """Write it into a file of its own.

        Raises:
            OutputError: it cannot be written.
        """
        make_folder(layout.proofs)
        path = layout.proofs / self._name
        write_sealed(path, _KIND, asdict(self))
        return path

    @property
    def _name(self) -> str:
        stamp = datetime.fromisoformat(self.proven).astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        return f"{self.run}.{stamp}.json"


def read_proof(path: Path) -> Proof:
    """Read one.

    Raises:
        Damaged: it is not what was written.
    """
    proof = Proof(**read_sealed(path, _KIND)[0])
    if path.name != proof._name:  # noqa: SLF001  # of our own class
        raise Damaged(f"{path} is damaged: it is the proof of another restore.")
    return proof


def proof_files(layout: Layout) -> list[Path]:
    """Return the proofs there are, oldest first for each run."""
    return sorted(layout.proofs.glob("*.json")) if layout.proofs.is_dir() else []
