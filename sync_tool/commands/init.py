"""``init``: writes one new file of functions into a Convex project, and prints the schema lines."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sync_tool.assets import asset
from sync_tool.errors import OutputError, UsageError
from sync_tool.files.bytes import new_file
from sync_tool.files.private import open_regular
from sync_tool.keywords import strict_keywords
from sync_tool.rows.model import Names

_FILE: Final = "convexMsgs.ts"
_MODE: Final = 0o644
"""Source code, not somebody's chats."""
_MARK: Final = "// convex-msgs functions"
_WRITING = re.compile(
    r"^// --- writing functions \(left out by --read-only\) ---\n.*?^// --- end of writing functions ---\n",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class InitReport:
    """Outcome; the object that ``--json`` prints."""

    path: str
    written: bool
    """False if the same file existed already."""
    schema: str
    """Lines to add to the schema if it lacks them. They are never written."""


@strict_keywords()
def init(project: str | Path = ".", *, read_only: bool = False, names: Names | None = None) -> InitReport:
    """Write ``convexMsgs.ts`` into the functions folder of a Convex project.

    Args:
        project: the folder that holds ``convex.json`` or the ``convex`` folder.
        read_only: leave out the functions that append and erase.
        names: table, index and field names, for the schema lines.

    Raises:
        UsageError: there is no Convex project, or its functions lie outside it.
        OutputError: a file of that name exists that this tool did not write, or it cannot be written.
    """
    folder = _functions_folder(Path(project))
    path = folder / _FILE
    text = asset(_FILE).read_text(encoding="utf-8")
    if read_only:
        text = _WRITING.sub("", text)
    there = _content(path)
    if there is not None and not there.startswith(_MARK):
        raise OutputError(f"{path} exists and was not written by convex-msgs; nothing was changed.")
    if there != text:
        with new_file(path, overwrite=True, mode=_MODE) as stream:
            stream.write(text.encode())
    return InitReport(str(path), there != text, _schema_lines(names or Names()))


def _content(path: Path) -> str | None:
    if not os.path.lexists(path):
        return None
    try:
        with open_regular(path) as file:
            return file.read().decode(errors="replace")
    except OSError as error:
        raise OutputError(f"{path} exists and cannot be read: {error.strerror}; nothing was changed.") from None


def _functions_folder(project: Path) -> Path:
    config = project / "convex.json"
    folder = project / "convex"
    if config.is_file():
        try:
            settings = json.loads(config.read_text(encoding="utf-8"))
            folder = project / str(settings.get("functions") or "convex")
        except (OSError, ValueError, AttributeError) as error:
            raise UsageError(f"{config} cannot be read: {error}.") from None
    if not folder.is_dir():
        raise UsageError(
            f"no Convex project here: there is no folder {folder}.",
            hint=[("go to", "the project's folder, or name it: convex-msgs init FOLDER")],
        )
    if not folder.resolve().is_relative_to(project.resolve()):
        raise UsageError(
            f"the functions folder {folder} does not lie in the project {project}; nothing was written.",
            hint=[("give", "the folder that holds both: convex-msgs init FOLDER")],
        )
    return folder


def _schema_lines(names: Names) -> str:
    return "\n".join([
        f"{names.table}: defineTable({{",
        f"  {names.session_field}: v.string(),",
        f"  {names.message_field}: v.object({{ type: v.string(), data: v.any() }}),",
        f'}}).index("{names.index}", ["{names.session_field}"]),',
    ])  # fmt: skip
