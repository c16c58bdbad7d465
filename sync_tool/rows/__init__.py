"""TODO sync_tool/rows."""
