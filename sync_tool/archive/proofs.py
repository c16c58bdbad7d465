"""``proofs/``: that the rows of a run were restored, read back and compared. A file for each time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sync_tool.archive.layout import Layout, make_folder
from sync_tool.archive.sealed import read_sealed, write_sealed

_MARK: Final = {"convex-msgs": "proof", "format": 1}


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
        stamp = datetime.fromisoformat(self.proven).astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        path = layout.proofs / f"{self.run}.{stamp}.json"
        write_sealed(path, {**_MARK, **asdict(self)})
        return path


def read_proof(path: Path) -> Proof:
    """Read one.

    Raises:
        Damaged: it is not what was written.
    """
    content, _ = read_sealed(path)
    return Proof(**{name: value for name, value in content.items() if name not in _MARK})


def proof_files(layout: Layout) -> list[Path]:
    """Return the proofs there are, oldest first for each run."""
    return sorted(layout.proofs.glob("*.json")) if layout.proofs.is_dir() else []
