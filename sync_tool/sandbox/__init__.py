"""Local deployment on SQLite behind Convex's HTTP API and WebSocket protocol: for tests, not for apps."""

from sync_tool.sandbox.database.store import NotASandboxError
from sync_tool.sandbox.instance import BadRowError
from sync_tool.sandbox.options import Naming, SandboxOptions
from sync_tool.sandbox.serve import PortTakenError, serve

__all__ = ["BadRowError", "Naming", "NotASandboxError", "PortTakenError", "SandboxOptions", "serve"]
