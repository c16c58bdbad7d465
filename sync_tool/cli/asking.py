"""Questions to a person, where there is one."""

from __future__ import annotations

import sys

import click

from sync_tool.cli.report import Shared


def on_terminal(shared: Shared) -> bool:
    """Tell whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty() and not shared.as_json


def confirm(question: str) -> bool:
    """Ask on stderr; no is what Return alone means."""
    return click.confirm(question, err=True)
