"""``runs/<run>.json``: a completed run. Written last, never again; each holds the seal of the one before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sync_tool.archive.layout import Layout
from sync_tool.archive.sealed import read_sealed, write_sealed
from sync_tool.errors import Damaged

_KIND: Final = "run"


@dataclass(frozen=True, slots=True)
class Part:
    """A file of records."""

    path: str
    """Relative to the archive, with forward slashes."""
    bytes: int
    records: int
    """Rows and deletions."""
    sha256: str


@dataclass(frozen=True, slots=True)
class Position:
    """Where the next run goes on."""

    door: str = ""
    """``stream`` or ``time``; empty before the first run."""
    cursor: str | None = None
    """Of the stream."""
    head: float | None = None
    """Without the stream: everything created before this has been read but for late arrivals. ms since 1970."""
    full: str | None = None
    """When the last full pass began. ISO 8601, UTC."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What an archive holds after a run."""

    rows: int = 0
    sessions: int = 0
    digest: str = f"{0:032x}"
    """The digests of all rows added up (`sync_tool.digests`): the digests of all sessions added up."""
    bytes: int = 0
    """Size of all parts so far."""


@dataclass(frozen=True, slots=True)
class Run:
    """A completed run."""

    run: str
    before: str | None
    """Name of the run before."""
    before_sha256: str | None
    """Its seal."""
    deployment: str
    """Instance name of the deployment that was read."""
    way: str
    """``stream``, ``functions`` or ``system``."""
    full: bool
    """True if everything was read and compared."""
    started: str
    """ISO 8601, UTC."""
    ended: str
    consistent: str | None
    """The one moment at which the archive equals the table; None where pages were read one after the other."""
    new: int
    changed: int
    deleted: int
    totals: Totals
    position: Position
    parts: tuple[Part, ...]

    def write(self, layout: Layout) -> str:
        """Write it, which makes the run complete, and return its seal.

        Raises:
            OutputError: it cannot be written.
        """
        return write_sealed(layout.run(self.run), _KIND, asdict(self))


def read_run(layout: Layout, name: str) -> tuple[Run, str]:
    """Return a completed run and its seal.

    Raises:
        Damaged: it is missing, not what was written, or of another name.
    """
    path = layout.run(name)
    content, seal = read_sealed(path, _KIND)
    if content["run"] != name:
        raise Damaged(f"{path} is damaged: it is the file of another run.")
    return _run(content), seal


def read_chain(layout: Layout, names: Sequence[str] | None = None) -> list[tuple[Run, str]]:
    """Return the runs with their seals, oldest first.

    Args:
        layout: of the archive.
        names: the first ones; all without it.

    Raises:
        Damaged: one is damaged, or one is missing in between.
    """
    chain: list[tuple[Run, str]] = []
    for name in layout.run_names() if names is None else names:
        run, seal = read_run(layout, name)
        check_link(layout, run, chain[-1][1] if chain else None)
        chain.append((run, seal))
    return chain


def check_link(layout: Layout, run: Run, before: str | None) -> None:
    """See that a run follows the one whose seal is `before` (None: that it is the first one).

    Raises:
        Damaged: another run was before it.
    """
    if run.before_sha256 != before:
        missing = f"{layout.run(run.before)} is missing or another" if run.before else "it says that it is the first"
        raise Damaged(f"{layout.run(run.run)} does not follow the run that is before it: {missing}.")


def _run(content: dict[str, Any]) -> Run:
    parts = tuple(Part(**part) for part in content.pop("parts"))
    totals, position = Totals(**content.pop("totals")), Position(**content.pop("position"))
    return Run(**content, totals=totals, position=position, parts=parts)
