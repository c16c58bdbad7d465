"""TODO sync_tool/commands/diff."""
