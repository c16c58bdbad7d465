"""TODO sync_tool/commands/validate."""
