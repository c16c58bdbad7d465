"""The SQLite database behind the sandbox."""
