"""The command line: options, progress, messages and exit codes. No work is done here."""
