"""The data that is measured on, made once and kept in the work folder."""

from __future__ import annotations

from pathlib import Path

from deployments import write_history
from frame import Bench, sandbox


def history(bench: Bench, rows: int, sessions: int) -> Path:
    """Return a generated history as a file."""
    path = bench.work / f"history-{rows}-{sessions}" / "history.jsonl"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        print(f"  generating {rows:,} rows …", flush=True)
        write_history(path.with_suffix(".part"), rows, sessions)
        path.with_suffix(".part").rename(path)
    return path


def chitchat(bench: Bench) -> tuple[Path, int]:
    """Return the conversations of the package chitchat-dataset as rows, in session order, and how many they are."""
    path = bench.work / "chitchat" / "history.jsonl"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        bench.peer("chitchat", path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)
    with path.open("rb") as lines:
        return path, sum(1 for _ in lines)


def deployment(source: Path) -> Path:
    """Return a folder whose sandbox holds the rows of a file."""
    if not (source.parent / "loaded").exists():
        print(f"  loading {source} into a sandbox …", flush=True)
        for part in source.parent.glob("data.sqlite*"):
            part.unlink()
        with sandbox(source.parent, "--load", source):
            (source.parent / "loaded").touch()
    return source.parent


def large(bench: Bench) -> Path:
    """Return the large generated history: 50 rows a session."""
    return history(bench, bench.rows, bench.rows // 50)


def first_lines(source: Path, rows: int) -> Path:
    """Return a file with the first rows of a history, for peers that are slow."""
    path = source.parent / f"first-{rows}.jsonl"
    if not path.exists():
        with source.open("rb") as lines, path.open("wb") as file:
            file.writelines(line for line, _ in zip(lines, range(rows), strict=False))
    return path
