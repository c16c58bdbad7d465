"""Files that ship with the package but are not Python: the TypeScript functions and the sample data."""

from __future__ import annotations

from pathlib import Path

_IN_REPOSITORY = {"convexMsgs.ts": "convex", "messages.jsonl": "sample_data"}


def asset(name: str) -> Path:
    """Return the path of a shipped file, in an installed wheel or in a checkout of the repository.

    Raises:
        FileNotFoundError: there is no such file.
    """
    package = Path(__file__).parent
    for path in (package / "_assets" / name, package.parent / _IN_REPOSITORY.get(name, "") / name):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{name} was not shipped with this installation")
