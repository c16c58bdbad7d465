"""A deployment that is written to, and archives of it, for tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sync_tool as cm
from running import Sandbox
from sandbox.box import Running
from sync_tool.archive.layout import Layout

KEYED = {"table": "messages", "index": "bySessionId", "keyField": "sessionId"}
DOORS = ("stream", "functions", "system")
SECOND_DOORS = ("functions", "system")


def message(text: str) -> dict[str, Any]:
    """Return LangChain's stored form of what a human said."""
    return {"type": "human", "data": {"content": text}}


@dataclass(frozen=True)
class Writer:
    """An app that writes to a deployment."""

    box: Running

    @classmethod
    def of(cls, sandbox: Sandbox) -> Writer:
        """Write to a sandbox."""
        return cls(Running(sandbox.process, sandbox.url, "", sandbox.key))

    def append(self, session: str, *texts: str) -> None:
        """Append messages to a session."""
        self.box.append(session, *({"message": message(text)} for text in texts))

    def edit(self, session: str, text: str) -> None:
        """Replace the one message of a session, or write it if there is none."""
        document = {"sessionId": session, "message": message(text)}
        self._mutate("langchain/db:upsert", {**KEYED, "key": session, "document": document})

    def clear(self, session: str) -> None:
        """Delete the messages of a session."""
        self._mutate("langchain/db:deleteMany", {**KEYED, "key": session})

    def _mutate(self, path: str, args: dict[str, Any]) -> None:
        assert self.box.call("mutation", path, args)["status"] == "success"


class Notes:
    """Keeps what a job has to say."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def begin(self, title: str, total: int | None) -> None:
        """Forget it."""

    def advance(self, rows: int, size: int) -> None:
        """Forget it."""

    def note(self, text: str) -> None:
        """Keep it."""
        self.said.append(text)

    def detail(self, text: str) -> None:
        """Keep it too."""
        self.said.append(text)

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.said)


def sync(sandbox: Sandbox, archive: Path, via: str = "auto", **keywords: Any) -> cm.SyncReport:
    """Sync, making the archive if there is none."""
    with cm.connect(sandbox.url, key=sandbox.key) as history:
        return cm.sync(history, archive, create=True, via=via, **keywords)  # type: ignore[arg-type]


def rows_of(archive: Path, as_of: str | None = None) -> list[bytes]:
    """Return the rows of an archive, in session order."""
    with cm.open(archive, as_of=as_of) as history:
        return [row.raw for row in history.messages()]


def live_rows(sandbox: Sandbox) -> list[bytes]:
    """Return the rows of the deployment, in session order."""
    with cm.connect(sandbox.url, key=sandbox.key) as history:
        return [row.raw for row in history.messages()]


def files_of(archive: Path) -> list[Path]:
    """Return all files of an archive outside its cache, but the lock, which is empty."""
    cache = Layout(archive).cache
    found = (path for path in archive.rglob("*") if path.is_file() and path.stat().st_size)
    return sorted(path for path in found if cache not in path.parents)
