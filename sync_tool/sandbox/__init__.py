"""A local deployment: SQLite behind Convex's HTTP API and WebSocket protocol.

It is a stand-in for trying, testing and proving restores, not a database to run an app on.
"""

from sync_tool.sandbox.loading import BadRowError
from sync_tool.sandbox.options import Naming, SandboxOptions
from sync_tool.sandbox.serve import PortTakenError, serve
from sync_tool.sandbox.store import NotASandboxError

__all__ = ["BadRowError", "Naming", "NotASandboxError", "PortTakenError", "SandboxOptions", "serve"]
