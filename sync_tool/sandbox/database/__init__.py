"""TODO sync_tool/sandbox/database."""
