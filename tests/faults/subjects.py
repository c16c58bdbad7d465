"""Subjects of the endurance runs: a command, its variants, and the conditions that always hold."""

from __future__ import annotations

import random
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self

from faults.killing import KILLED, Life, Tool, Violation, left_in, measure
from faults.proxying import Event, in_vain
from running import ROOT, Sandbox, running_sandbox


class Case(Protocol):
    """One variant of a command in a folder of its own, ready to be disturbed."""

    @property
    def label(self) -> str:
        """Name it by its command."""

    @property
    def tool(self) -> Tool:
        """Return the command itself."""

    @property
    def life(self) -> Life:
        """Return what an undisturbed run takes."""

    def check(self, code: int) -> None:
        """Raise `Violation` if, after a run that ended with `code`, anything is not as promised."""

    def done(self) -> bool:
        """Return whether a disturbed run has nevertheless reached its end."""

    def found(self) -> str:
        """Return in a word what the disturbed run left."""

    def gave_up_rightly(self, events: list[Event], tries: int) -> bool:
        """Return whether a run that met these faults may report an unreachable deployment."""

    def close(self) -> None:
        """Let go of what only this case needs."""


class Subject(Protocol):
    """A command that is run again and again."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

    def case(self, chance: random.Random, folder: Path) -> Case:
        """Draw a variant and make it ready in a new folder."""


SAMPLE: Final = ROOT / "sample_data" / "messages.jsonl"
DOORS: Final = ("functions", "system")
FORMATS: Final = ("jsonl", "jsonl.zst", "jsonl.gz", "parquet", "md")
SELECTIONS: Final[tuple[tuple[str, ...], ...]] = (
    (),
    ("-s", "cust-42"),
    ("-s", "cust-42", "-s", "cust-4", "-s", "cust-421"),
    ("--match", "cust-*"),
    ("--after", "2026-01-01"),
    ("-s", "cust-42", "--after", "2026-01-01"),
    ("--active-after", "2026-01-01"),
)
_OLD: Final = b"what was there before\n"


@dataclass(frozen=True)
class ExportCase:
    """An export by one reader, in one format, of one selection; over an old file or not."""

    label: str
    tool: Tool
    life: Life
    output: Path
    whole: bytes
    overwrite: bool

    def check(self, code: int) -> None:
        """The file is the undisturbed one or none (or the old one); success and only success means whole."""
        content = self.output.read_bytes() if self.output.exists() else None
        if content not in (_OLD if self.overwrite else None, self.whole):
            size = "gone" if content is None else f"{len(content)} bytes"
            raise Violation(f"{self.output.name} is neither whole nor as before: {size}")
        if code == 0 and content != self.whole:
            raise Violation(f"exit 0, but {self.output.name} is not whole")
        if code not in (0, 5, KILLED):
            raise Violation(f"exit {code}: {self.tool.words}")
        part = f".{self.output.name}.part"
        allowed = {self.output.name} | ({part} if code == KILLED else set())
        extra = {path.name for path in self.output.parent.iterdir()} - allowed
        if extra:
            raise Violation(f"exit {code} leaves {', '.join(sorted(extra))}")
        left = left_in(Path(self.tool.env["TMPDIR"]))
        if left:
            raise Violation(f"left in the temporary folder: {left}")
        if "Traceback" in self.tool.words:
            raise Violation(f"a traceback: {self.tool.words}")

    def done(self) -> bool:
        """True if the new file is there: running again without --overwrite would refuse it."""
        return self.output.exists() and self.output.read_bytes() == self.whole

    def found(self) -> str:
        """Return what is under the final name, or beside it."""
        if self.done():
            return "whole"
        return "part" if self.output.with_name(f".{self.output.name}.part").exists() else "nothing"

    def gave_up_rightly(self, events: list[Event], tries: int) -> bool:
        """One request met as many faults as there are attempts."""
        return in_vain(events) >= tries

    def close(self) -> None:
        """The sandbox is that of all cases."""


class ExportSubject:
    """``export`` of the sample data from a deployment that answers in small pages, a few milliseconds away."""

    def __init__(
        self,
        formats: Sequence[str] = FORMATS,
        selections: Sequence[tuple[str, ...]] = SELECTIONS,
    ) -> None:
        self._formats = formats
        self._selections = selections
        self._stack = ExitStack()
        self._references: dict[tuple[str, ...], _Reference] = {}
        self._lock = threading.Lock()
        self._sandbox: Sandbox

    def __enter__(self) -> Self:
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="endurance-")))
        flags = ("--sample-data", "--slow-rows", "200", "--latency", "8", "--type", "prod", "--name", "tall-forest-123")
        self._sandbox = self._stack.enter_context(running_sandbox(self._folder, *flags))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def case(self, chance: random.Random, folder: Path) -> ExportCase:
        """Draw reader, format, selection and whether an old file is to be replaced."""
        door, suffix, selected = chance.choice(DOORS), chance.choice(self._formats), chance.choice(self._selections)
        overwrite = chance.random() < 0.25
        reference = self._reference(door, suffix, selected)
        tool = self._tool(folder, door, suffix, (*selected, "--overwrite") if overwrite else selected)
        output = tool.cwd / f"a.{suffix}"
        if overwrite:
            output.write_bytes(_OLD)
        label = " ".join([door, suffix, *selected, *(["--overwrite"] if overwrite else [])])
        return ExportCase(label, tool, reference.life, output, reference.whole, overwrite)

    def _tool(self, folder: Path, door: str, suffix: str, flags: tuple[str, ...]) -> Tool:
        out, spool = folder / "out", folder / "tmp"
        out.mkdir(parents=True)
        spool.mkdir()
        fixed = ("export", "-o", f"a.{suffix}", "--via", door, "--env-file", str(self._sandbox.env_file), *flags)
        env = {"TMPDIR": str(spool), "SQLITE_TMPDIR": str(spool), "CONVEX_MSGS_TIMEOUT": "2"}
        return Tool(_with_url(fixed), self._sandbox.url, out, env)

    def _reference(self, door: str, suffix: str, selected: tuple[str, ...]) -> _Reference:
        """Return the undisturbed export, made once; the same for both readers and the sample."""
        key = (door, suffix, *selected)
        with self._lock:
            if key not in self._references:
                made = _Reference.make(lambda name: self._tool(self._folder / name, door, suffix, selected), key)
                for other in DOORS:
                    same = self._references.get((other, suffix, *selected))
                    if same is not None and same.whole != made.whole:
                        raise Violation(f"{suffix} {selected} differs between the readers")
                self._references[key] = made
            return self._references[key]


@dataclass(frozen=True)
class _Reference:
    whole: bytes
    life: Life

    @classmethod
    def make(cls, tool: Callable[[str], Tool], key: tuple[str, ...]) -> _Reference:
        undisturbed = tool("-".join(key).replace("*", ""))
        life = measure(undisturbed)
        whole = (undisturbed.cwd / f"a.{key[1]}").read_bytes()
        _check_rows(whole, *key[1:])
        return cls(whole, life)


def _with_url(fixed: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    return lambda url: (*fixed, "--url", url)


def _check_rows(whole: bytes, suffix: str, *selected: str) -> None:
    """Compare an undisturbed JSONL file with the rows that the sample file itself holds."""
    import sync_tool as cm

    if suffix != "jsonl":
        return
    chosen: dict[str, object] = {}
    for flag, value in zip(selected[::2], selected[1::2], strict=True):
        if flag in ("-s", "--match"):
            name = "sessions" if flag == "-s" else "match"
            chosen.setdefault(name, []).append(value)  # type: ignore[attr-defined]
        else:
            chosen[flag[2:].replace("-", "_")] = value
    expected = [row.raw for row in cm.open(SAMPLE).messages(**chosen)]  # type: ignore[arg-type]
    if whole.splitlines() != expected:
        raise Violation(f"undisturbed, {selected} gives {len(whole.splitlines())} rows, not {len(expected)}")
