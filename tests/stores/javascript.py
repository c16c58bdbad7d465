"""LangChain's JavaScript classes as writers."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from running import ROOT


def write(store: str, **where: Any) -> dict[str, Any]:
    """Let a JavaScript class write the conversation of write.mjs; return what it was given, session by session."""
    command = ["node", "tests/stores/write.mjs", store, json.dumps(where)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
