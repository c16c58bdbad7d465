"""A local deployment: SQLite behind Convex's HTTP API and WebSocket protocol.

It is a stand-in for trying, testing and proving restores, not a database to run an app on.
"""

from sync_tool.sandbox.database.store import NotASandboxError
from sync_tool.sandbox.instance import BadRowError
from sync_tool.sandbox.options import Naming, SandboxOptions
from sync_tool.sandbox.serve import PortTakenError, serve

__all__ = ["BadRowError", "Naming", "NotASandboxError", "PortTakenError", "SandboxOptions", "serve"]
