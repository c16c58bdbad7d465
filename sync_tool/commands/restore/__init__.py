"""The ``restore`` command."""
