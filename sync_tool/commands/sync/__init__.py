"""TODO sync_tool/commands/sync."""
