"""The ``validate`` command."""
