"""HTTP API of the sandbox."""
