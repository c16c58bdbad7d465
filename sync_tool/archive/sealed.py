"""JSON files that carry the sha256 of their own content.

The last field is ``"sha256"``; it is taken over the bytes of the file before the comma in front of it. So one
changed byte anywhere shows, in the seal as well as in what it seals.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from sync_tool.archive.layout import unreadable
from sync_tool.errors import Damaged, UsageError
from sync_tool.files.output import new_file

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
        data = path.read_bytes()
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
