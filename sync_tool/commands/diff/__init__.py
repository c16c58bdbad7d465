"""The ``diff`` command."""
