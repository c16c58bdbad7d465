"""Settings of a sandbox."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sync_tool.sandbox.limits import RETENTION_SECONDS, STREAM_PAGE_ROWS

DeploymentType = Literal["self-hosted", "prod", "dev", "preview"]
SchemaLevel = Literal["documented", "langchain", "any"]


@dataclass(frozen=True, slots=True)
class Naming:
    """Names of the table of a LangChain app."""

    table: str = "messages"
    index: str = "bySessionId"
    session_field: str = "sessionId"


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """Settings of one sandbox."""

    port: int = 3210  # TCP port on 127.0.0.1; 0 takes any free one
    data: Path | None = None  # SQLite file; None keeps data only while the process runs
    load: Path | None = None  # Canonical JSONL rows for an empty table
    latency: float = 0.0  # Seconds added to every API call
    name: str = "sandbox"  # Instance name
    type: DeploymentType = "self-hosted"
    streaming: bool = True  # Whether the plan includes streaming export
    data_sync: bool = True  # Whether the backend is new enough for data sync (July 2026)
    retention: float = RETENTION_SECONDS  # Seconds that streaming export can go back
    stream_page: int = STREAM_PAGE_ROWS  # Documents on a page of data sync
    denied: tuple[str, ...] = ()  # Operations that the key may not do
    functions: bool = True  # Whether ``convexMsgs`` and ``langchain/db`` are deployed
    examples: bool = False  # Whether the functions of Convex's examples are deployed
    naming: Naming = field(default_factory=Naming)
    schema: SchemaLevel = "any"
    env_file: Path | None = None  # File for the address and the key
    slow_rows: int | None = None  # A function that reads more rows times out
    conflicts: int | None = None  # Every Nth mutation fails as one that lost a conflict
    max_calls: int | None = None  # Queries, mutations and actions of HTTP at a time, each
    write_rate: int | None = None  # Bytes per second that the deployment may write
    with_parent: bool = False  # Stop when standard input is closed
    verbose: bool = False

    @property
    def is_cloud(self) -> bool:
        """Whether it plays a deployment of Convex Cloud."""
        return self.type != "self-hosted"

    @property
    def redacts(self) -> bool:
        """Whether clients get no error messages, as in production."""
        return self.type == "prod"
