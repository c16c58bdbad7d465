"""Functions of the sandbox, written in Python."""
