"""TODO sync_tool/parallel."""
