"""LangChain's JavaScript classes as writers."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from running import ROOT


def write(store: str, **where: Any) -> dict[str, Any]:
    """Let a JavaScript class write the conversation of write.mjs; return what it was given and reads, by session."""
    return _node(store, json.dumps(where))


def load(stored: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Return what JavaScript's LangChain makes of stored messages, stored again."""
    return _node("load", "{}", json.dumps(stored))


def _node(store: str, where: str, given: str = "") -> dict[str, Any]:
    command = ["node", "tests/stores/write.mjs", store, where]
    done = subprocess.run(command, cwd=ROOT, input=given, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
