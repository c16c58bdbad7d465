"""The JSON files of an archive: manifest, state, runs and proofs, each with the sha256 of its own content."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from sync_tool.archive.layout import Layout, is_run, make_folder, unreadable
from sync_tool.errors import Damaged, UsageError
from sync_tool.files.bytes import new_file
from sync_tool.files.private import open_regular
from sync_tool.rows.model import Names, Selection
from sync_tool.rows.selection import stored_selection

# The last field of each file is ``"sha256"``, the seal: the digest of all bytes before the comma in front of it. So a
# changed byte shows anywhere in the file.

FORMAT: Final = 1
_SEAL: Final = re.compile(rb',\n "sha256": "([0-9a-f]{64})"\n}\n\Z')


def write_sealed(path: Path, kind: str, content: dict[str, Any], *, overwrite: bool = False) -> str:
    """Write a file, complete or not at all, and return its seal.

    Args:
        path: of the file.
        kind: ``archive``, ``state``, ``run`` or ``proof``.
        content: JSON.
        overwrite: replace an older one.

    Raises:
        OutputError: it cannot be written, or exists.
    """
    marked = {"convex-msgs": kind, "format": FORMAT, **content}
    body = json.dumps(marked, ensure_ascii=True, indent=1).encode().removesuffix(b"\n}")
    seal = sha256(body).hexdigest()
    with new_file(path, overwrite=overwrite) as stream:
        stream.write(body + f',\n "sha256": "{seal}"\n}}\n'.encode())
    return seal


def read_sealed(path: Path, kind: str) -> tuple[dict[str, Any], str]:
    """Return the content of a file and its seal.

    Raises:
        Damaged: it is missing, cannot be read, or has changed.
        UsageError: a newer version of this tool wrote it, or this user may not read it.
    """
    try:
        with open_regular(path) as file:
            data = file.read()
    except FileNotFoundError:
        raise Damaged(f"{path} is missing.") from None
    except PermissionError:
        raise unreadable(path) from None
    except OSError as error:
        raise Damaged(f"{path} cannot be read: {error.strerror or error}.") from None
    found = _SEAL.search(data)
    if found is None or sha256(data[: found.start()]).hexdigest() != found[1].decode():
        raise Damaged(f"{path} is damaged: its sha256 is not that of its content.")
    content: dict[str, Any] = json.loads(data)
    if content.pop("convex-msgs", None) != kind:
        raise Damaged(f"{path} is damaged: it is another file than the one that was written there.")
    if content.pop("format", None) != FORMAT:
        raise UsageError(f"{path} was written by a newer version of this tool.", hint=[("", "update convex-msgs")])
    del content["sha256"]
    return content, found[1].decode()


_RUN_KIND: Final = "run"


@dataclass(frozen=True, slots=True)
class ArchivePart:
    """A file of records."""

    path: str
    """Relative to the archive, with forward slashes."""
    bytes: int
    records: int
    """Rows and deletions."""
    sha256: str


@dataclass(frozen=True, slots=True)
class PassPosition:
    """The position from which the next run reads."""

    door: str = ""
    """``stream`` or ``time``; empty before the first run."""
    cursor: str | None = None
    """Of the stream."""
    head: float | None = None
    """Without the stream: rows created before this were read, except late arrivals. ms since 1970."""
    full: str | None = None
    """When the last full pass began. ISO 8601, UTC."""


@dataclass(frozen=True, slots=True)
class RunTotals:
    """Totals of an archive after a run."""

    rows: int = 0
    sessions: int = 0
    digest: str = f"{0:032x}"
    """The sum of the digests of all rows (`sync_tool.rows.digests`)."""
    bytes: int = 0
    """Size of all parts so far."""


@dataclass(frozen=True, slots=True)
class Run:
    """A complete run. Its file is written last and never changed."""

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
    """The moment at which the archive equals the table; None if pages were read one after the other."""
    new: int
    changed: int
    deleted: int
    totals: RunTotals
    position: PassPosition
    parts: tuple[ArchivePart, ...]

    def write(self, layout: Layout) -> str:
        """Write the run's file, which makes it complete, and return its seal.

        Raises:
            OutputError: it cannot be written.
        """
        return write_sealed(layout.run(self.run), _RUN_KIND, asdict(self))


def read_run(layout: Layout, name: str) -> tuple[Run, str]:
    """Return a complete run and its seal.

    Raises:
        Damaged: its file is missing, has changed, or is of another run.
    """
    path = layout.run(name)
    content, seal = read_sealed(path, _RUN_KIND)
    if content.get("run") != name:
        raise Damaged(f"{path} is damaged: it is the file of another run.")
    try:
        run = _run(content)
        if all(layout.is_part(part.path, name) for part in run.parts) and (run.before is None or is_run(run.before)):
            return run, seal
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    raise Damaged(f"{path} is damaged: it is not what this tool writes there.")


def read_chain(layout: Layout, names: Sequence[str] | None = None) -> list[tuple[Run, str]]:
    """Return the runs with their seals, oldest first.

    Args:
        layout: of the archive.
        names: of the first runs; None for all.

    Raises:
        Damaged: a run is damaged or missing.
    """
    chain: list[tuple[Run, str]] = []
    for name in layout.run_names() if names is None else names:
        run, seal = read_run(layout, name)
        check_link(layout, run, chain[-1][1] if chain else None)
        chain.append((run, seal))
    return chain


def check_link(layout: Layout, run: Run, before: str | None) -> None:
    """Raise an error unless a run follows the one with the seal `before`, or is the first one if that is None.

    Raises:
        Damaged: another run was before it.
    """
    if run.before_sha256 != before:
        missing = f"{layout.run(run.before)} is missing or another" if run.before else "it says that it is the first"
        raise Damaged(f"{layout.run(run.run)} does not follow the run that is before it: {missing}.")


def _run(content: dict[str, Any]) -> Run:
    parts = tuple(ArchivePart(**part) for part in content.pop("parts"))
    totals, position = RunTotals(**content.pop("totals")), PassPosition(**content.pop("position"))
    return Run(**content, totals=totals, position=position, parts=parts)


_ARCHIVE_KIND: Final = "archive"


@dataclass(frozen=True, slots=True)
class Manifest:
    """``convex-msgs.json``: the table of a deployment that an archive is of, and the selection. Written once."""

    deployment: str
    """The deployment's instance name at creation; later runs may have another (``--rebind``)."""
    names: Names
    selection: Selection
    created: str
    """ISO 8601, UTC."""

    def write(self, layout: Layout) -> None:
        """Write the file, which makes the folder an archive.

        Raises:
            OutputError: it cannot be written, or exists.
        """
        write_sealed(layout.manifest, _ARCHIVE_KIND, asdict(self))


def read_manifest(layout: Layout) -> Manifest:
    """Read the manifest.

    Raises:
        Damaged: it is missing or has changed.
        UsageError: a newer version of this tool wrote it.
    """
    content, _ = read_sealed(layout.manifest, _ARCHIVE_KIND)
    try:
        return Manifest(
            deployment=content["deployment"],
            names=Names(**content["names"]),
            selection=stored_selection(content["selection"]),
            created=content["created"],
        )
    except (KeyError, TypeError, AttributeError):
        raise Damaged(f"{layout.manifest} is damaged: it is not what this tool writes there.") from None


_STATE_KIND: Final = "state"


@dataclass(frozen=True, slots=True)
class Pass:
    """Progress of the reading of a run."""

    way: str = "time"
    """``stream`` or ``time``."""
    since: int | None = None
    """For a full pass: the number of records before it. Rows recorded later, or marked as seen, exist."""
    full_started: str | None = None
    cursor: str | None = None
    """Of the stream: changes after it are not recorded yet."""
    after: float | None = None
    """Of time order: rows created before this have been read; None before the first. ms since 1970."""
    started_at: float | None = None
    """Of time order: the deployment's own clock when this pass began. ms since 1970."""
    greatest: float | None = None
    """Of time order: the greatest creation time seen so far. ms since 1970."""


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that is not complete."""

    run: str
    started: str
    """ISO 8601, UTC."""
    deployment: str
    parts: int = 0
    """Number of durable parts; further files do not count."""
    records: int = 0
    """Number of records in them."""
    chain: str = sha256(b"").hexdigest()
    """sha256 of the concatenated sha256 of these parts."""
    steps: int = 0
    """Number of durable steps."""
    progress: Pass = Pass()


@dataclass(frozen=True, slots=True)
class State:
    """``state.json``: the position of the next run, and the durable progress of an interrupted one."""

    run: str | None = None
    """The newest complete run."""
    run_sha256: str | None = None
    """Its seal."""
    position: PassPosition = field(default_factory=PassPosition)
    open_run: OpenRun | None = None

    def write(self, layout: Layout) -> None:
        """Replace the file in one step.

        Raises:
            OutputError: it cannot be written.
        """
        write_sealed(layout.state, _STATE_KIND, asdict(self), overwrite=True)


def read_state(layout: Layout) -> State:
    """Read the file.

    Raises:
        Damaged: it is missing or has changed.
    """
    content, _ = read_sealed(layout.state, _STATE_KIND)
    try:
        state = _state(content)
        names = [state.run, state.open_run.run if state.open_run else None]
        if all(name is None or is_run(name) for name in names):
            return state
    except (KeyError, TypeError, ValueError):
        pass
    raise Damaged(f"{layout.state} is damaged: it is not what this tool writes there.")


def rebuilt(layout: Layout) -> State:
    """Return the state after the newest complete run.

    Raises:
        Damaged: that run's file is damaged.
    """
    names = layout.run_names()
    if not names:
        return State()
    run, seal = read_run(layout, names[-1])
    return State(run.run, seal, run.position)


def settle(layout: Layout, state: State) -> State:
    """Return `state`, or the newer one after a kill between the completion of a run and the write of the state.

    Raises:
        Damaged: the run that it names is missing.
    """
    newest = next(iter(reversed(layout.run_names())), None)
    if newest == state.run:
        return state
    found = rebuilt(layout)
    if newest is None or (state.run is not None and newest < state.run):
        raise Damaged(f"{layout.run(state.run or '')} is missing: state.json says that it is the newest run.")
    return found


def _state(content: dict[str, Any]) -> State:
    position = PassPosition(**content.pop("position"))
    open_run = content.pop("open_run")
    if open_run is not None:
        open_run = OpenRun(**{**open_run, "progress": Pass(**open_run["progress"])})
    return State(**content, position=position, open_run=open_run)


_PROOF_KIND: Final = "proof"


@dataclass(frozen=True, slots=True)
class Proof:
    """A file in ``proofs/``: the rows of a run were restored, read back and found equal."""

    run: str
    run_sha256: str
    """Seal of the run's file."""
    proven: str
    """ISO 8601, UTC."""
    target: str
    """``sandbox``, or the title of a deployment."""
    rows: int
    sessions: int

    def write(self, layout: Layout) -> Path:
        """Write the proof into a file of its own.

        Raises:
            OutputError: it cannot be written.
        """
        make_folder(layout.proofs)
        path = layout.proofs / self._name
        write_sealed(path, _PROOF_KIND, asdict(self))
        return path

    @property
    def _name(self) -> str:
        stamp = datetime.fromisoformat(self.proven).astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        return f"{self.run}.{stamp}.json"


def read_proof(path: Path) -> Proof:
    """Read a proof.

    Raises:
        Damaged: it has changed.
    """
    proof = Proof(**read_sealed(path, _PROOF_KIND)[0])
    if path.name != proof._name:  # noqa: SLF001  # of our own class
        raise Damaged(f"{path} is damaged: it is the proof of another restore.")
    return proof


def proof_files(layout: Layout) -> list[Path]:
    """Return the files of proofs, oldest first for each run."""
    return sorted(layout.proofs.glob("*.json")) if layout.proofs.is_dir() else []
