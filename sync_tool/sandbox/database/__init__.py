"""SQLite database of the sandbox."""
