"""What a sandbox is told when it is started."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sync_tool.sandbox.limits import RETENTION_SECONDS, STREAM_PAGE_ROWS

DeploymentType = Literal["self-hosted", "prod", "dev", "preview"]
SchemaLevel = Literal["documented", "langchain", "any"]


@dataclass(frozen=True, slots=True)
class Naming:
    """Names that a LangChain app gave to its table."""

    table: str = "messages"
    index: str = "bySessionId"
    session_field: str = "sessionId"


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """Settings of one sandbox."""

    port: int = 3210
    """TCP port on 127.0.0.1; 0 takes any free one."""
    data: Path | None = None
    """SQLite file that outlives the process; None keeps data only while it runs."""
    load: Path | None = None
    """Canonical JSONL rows to put into the table if it is empty."""
    latency: float = 0.0
    """Seconds added to every API call."""
    name: str = "sandbox"
    """Instance name."""
    type: DeploymentType = "self-hosted"
    streaming: bool = True
    """Whether the plan allows streaming export."""
    data_sync: bool = True
    """Whether the backend is new enough for data sync (July 2026)."""
    retention: float = RETENTION_SECONDS
    """Seconds for which changes are kept for streaming export."""
    stream_page: int = STREAM_PAGE_ROWS
    """Documents on a page of data sync."""
    denied: tuple[str, ...] = ()
    """Operations that the key may not do, such as ``deployment:data:view``."""
    functions: bool = True
    """Whether ``convexMsgs`` and ``langchain/db`` are deployed."""
    examples: bool = False
    """Whether the public functions of Convex's own examples are deployed."""
    naming: Naming = field(default_factory=Naming)
    schema: SchemaLevel = "any"
    env_file: Path | None = None
    """File to write the address and the key into."""
    slow_rows: int | None = None
    """A function that reads more rows than this fails as one that ran longer than a second."""
    write_rate: int | None = None
    """Bytes per second that the whole deployment may write."""
    with_parent: bool = False
    """Stop when standard input is closed."""
    verbose: bool = False

    @property
    def is_cloud(self) -> bool:
        """Whether it plays a deployment of Convex Cloud."""
        return self.type != "self-hosted"

    @property
    def redacts(self) -> bool:
        """Whether error messages are hidden from clients, as production deployments do."""
        return self.type == "prod"
