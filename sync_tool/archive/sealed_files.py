"""``runs/<run>.json``: a completed run. Written last, never again; each holds the seal of the one before."""

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

# JSON files that carry the sha256 of their own content. The last field is ``"sha256"``; it is taken over the bytes
# of the file before the comma in front of it. So one changed byte anywhere shows, in the seal as well as in what it
# seals.

FORMAT: Final = 1
_SEAL: Final = re.compile(rb',\n "sha256": "([0-9a-f]{64})"\n}\n\Z')


def write_sealed(path: Path, kind: str, content: dict[str, Any], *, overwrite: bool = False) -> str:
    """Write a file that appears complete or not at all, and return its seal.

    Args:
        path: where to.
        kind: what it is: ``archive``, ``state``, ``run`` or ``proof``.
        content: JSON.
        overwrite: replace an older one.

    Raises:
        OutputError: it cannot be written, or is there.
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
        Damaged: it is missing, cannot be read, or is not what was written there.
        UsageError: a newer version of this tool has written it, or this user may not read it.
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
class RunTotals:
    """What an archive holds after a run."""

    rows: int = 0
    sessions: int = 0
    digest: str = f"{0:032x}"
    """The digests of all rows added up (`sync_tool.rows.digests`): the digests of all sessions added up."""
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
    totals: RunTotals
    position: PassPosition
    parts: tuple[ArchivePart, ...]

    def write(self, layout: Layout) -> str:
        """Write it, which makes the run complete, and return its seal.

        Raises:
            OutputError: it cannot be written.
        """
        return write_sealed(layout.run(self.run), _RUN_KIND, asdict(self))


def read_run(layout: Layout, name: str) -> tuple[Run, str]:
    """Return a completed run and its seal.

    Raises:
        Damaged: it is missing, not what was written, or of another name.
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
    parts = tuple(ArchivePart(**part) for part in content.pop("parts"))
    totals, position = RunTotals(**content.pop("totals")), PassPosition(**content.pop("position"))
    return Run(**content, totals=totals, position=position, parts=parts)


# ``convex-msgs.json``: what an archive is of. Written once.

_ARCHIVE_KIND: Final = "archive"


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
        write_sealed(layout.manifest, _ARCHIVE_KIND, asdict(self))


def read_manifest(layout: Layout) -> Manifest:
    """Read it.

    Raises:
        Damaged: it is not what was written.
        UsageError: a newer version of this tool has written it.
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


# ``state.json``: where the next run goes on, and what a run that was cut off has already made durable. Constant in
# size. It can be made again from the newest run, but for the run that was cut off.

_STATE_KIND: Final = "state"


@dataclass(frozen=True, slots=True)
class Pass:
    """How far the reading of a run is."""

    way: str = "time"
    """``stream`` or ``time``."""
    since: int | None = None
    """For a full pass: the number of records before it; rows recorded later, or marked as seen, exist."""
    full_started: str | None = None
    cursor: str | None = None
    """Of the stream: what follows it is not recorded yet."""
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
    """How many of its parts count; more may lie there, which do not."""
    records: int = 0
    """How many records are in them."""
    chain: str = sha256(b"").hexdigest()
    """sha256 over the sha256 of each of these parts, one after the other."""
    steps: int = 0
    """How often it was made durable."""
    progress: Pass = Pass()


@dataclass(frozen=True, slots=True)
class State:
    """Where the next run goes on."""

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
    """Read the file as it stands.

    Raises:
        Damaged: it is missing or not what was written.
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
    """Return the state that the newest complete run stands for.

    Raises:
        Damaged: that run's file is.
    """
    names = layout.run_names()
    if not names:
        return State()
    run, seal = read_run(layout, names[-1])
    return State(run.run, seal, run.position)


def settle(layout: Layout, state: State) -> State:
    """Return `state`, or what became true just before its file could be written: that its open run is complete.

    Raises:
        Damaged: the run that it names is not there any more.
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


# ``proofs/``: that the rows of a run were restored, read back and compared. A file for each time.

_PROOF_KIND: Final = "proof"


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
        write_sealed(path, _PROOF_KIND, asdict(self))
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
    proof = Proof(**read_sealed(path, _PROOF_KIND)[0])
    if path.name != proof._name:  # noqa: SLF001  # of our own class
        raise Damaged(f"{path} is damaged: it is the proof of another restore.")
    return proof


def proof_files(layout: Layout) -> list[Path]:
    """Return the proofs there are, oldest first for each run."""
    return sorted(layout.proofs.glob("*.json")) if layout.proofs.is_dir() else []
