"""The functions that the sandbox can run, one module a file, written in Python."""
