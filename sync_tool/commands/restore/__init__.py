"""TODO sync_tool/commands/restore."""
