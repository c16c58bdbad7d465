"""The ``sync`` command."""
