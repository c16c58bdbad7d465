"""TODO sync_tool/commands/export."""
