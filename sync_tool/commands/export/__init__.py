"""The ``export`` command."""
