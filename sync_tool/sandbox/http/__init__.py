"""TODO sync_tool/sandbox/http."""
