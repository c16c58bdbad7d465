"""Imports into a sandbox by the library, and what is there afterwards, for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import sync_tool as cm
from running import Sandbox
from sandbox.box import Running
from sync_tool.commands.history import History

NOON = 1_750_000_000_000.0
"""A time in 2025, ms since 1970."""
_NUMBERS = count()


def new_session(name: str = "s") -> str:
    """Return a session id that no other test uses."""
    return f"{name}-{uuid4().hex[:6]}-{next(_NUMBERS)}"


def message(text: str, kind: str = "human", **data: Any) -> dict[str, Any]:
    """Return a message as LangChain stores it."""
    return {"type": kind, "data": {"content": text, "additional_kwargs": {}, "response_metadata": {}, **data}}


def row(session: str, text: str, time: float | None = None, id: str | None = None, **extra: Any) -> dict[str, Any]:  # noqa: A002
    """Return a row of a file; without time and id unless they are given."""
    own = {"_id": id, "_creationTime": time}
    return {
        **{name: value for name, value in own.items() if value is not None},
        "sessionId": session,
        "message": message(text),
        **extra,
    }


def history(session: str, texts: Iterable[str], start: float = NOON) -> list[dict[str, Any]]:
    """Return rows with times a second apart."""
    return [row(session, text, start + 1000.0 * number) for number, text in enumerate(texts)]


def write(path: Path, rows: Iterable[Any]) -> Path:
    """Write a JSONL file; bytes are written as they are."""
    lines = (one if isinstance(one, bytes) else json.dumps(one).encode() for one in rows)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def lines(path: str | Path | None) -> list[dict[str, Any]]:
    """Return what a JSONL file holds."""
    assert path is not None
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


@dataclass(frozen=True)
class Target:
    """The table of a sandbox as something to import into."""

    sandbox: Sandbox
    names: cm.Names = field(default_factory=cm.Names)

    @property
    def box(self) -> Running:
        """The sandbox with helpers for direct requests."""
        return Running(self.sandbox.process, self.sandbox.url, "", self.sandbox.key)

    @contextmanager
    def connected(self, url: str | None = None, **patience: Any) -> Iterator[History]:
        """Connect, perhaps through a proxy."""
        settings = cm.Patience(**patience)
        with cm.connect(url or self.sandbox.url, key=self.sandbox.key, names=self.names, patience=settings) as found:
            yield found

    def put(self, *sources: Any, url: str | None = None, attempts: int = 6, **keywords: Any) -> cm.ImportReport:
        """Import; conflicts are in the report."""
        with self.connected(url, attempts=attempts) as there:
            try:
                return cm.import_(sources, there, **keywords)
            except cm.Conflict as conflict:
                report: cm.ImportReport = conflict.report
                return report

    def append(self, session: str, *texts: str) -> list[str]:
        """Write as the app would, and return the new ids."""
        documents = [{self.names.session_field: session, "message": message(text)} for text in texts]
        naming = {"table": self.names.table, "index": self.names.index, "sessionField": self.names.session_field}
        batches = [{"sessionId": session, "documents": documents}]
        answer = self.box.call("mutation", "convexMsgs:append", {**naming, "batches": batches})
        ids: list[str] = answer["value"]["results"][0]["ids"]
        return ids

    def rows(self, session: str) -> list[dict[str, Any]]:
        """Return what a session holds now."""
        naming = {"table": self.names.table, "index": self.names.index, "sessionField": self.names.session_field}
        found: list[dict[str, Any]] = []
        after: dict[str, Any] = {}
        while True:
            page = self.box.query("convexMsgs:page", {"sessionId": session, "limit": 4096, **naming, **after})
            found += page["rows"]
            if page["isDone"]:
                return found
            after = {"after": page["cursor"]}

    def texts(self, session: str) -> list[str]:
        """Return what was said in a session."""
        return [found["message"]["data"]["content"] for found in self.rows(session)]

    def ids(self, session: str) -> list[str]:
        """Return the ids of a session's rows."""
        return [found["_id"] for found in self.rows(session)]
