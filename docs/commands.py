"""Write docs/commands.md: the help of every command, as a terminal of 100 columns shows it."""  # noqa: INP001

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from sync_tool.cli.main import cli

PAGE: Final = Path(__file__).with_suffix(".md")
_WIDTH: Final = 98  # click leaves two columns free
_HEAD: Final = """\
# Commands

The text of `--help`, written by `python docs/commands.py`. Do not edit it here.
"""


def commands_text() -> str:
    """Return the whole page."""
    group = click.Context(cli, info_name="convex-msgs", terminal_width=_WIDTH, **cli.context_settings)
    parts = [_HEAD, _section("convex-msgs", cli.get_help(group))]
    for name in cli.list_commands(group):
        command = cli.get_command(group, name)
        if command is not None:
            context = click.Context(command, info_name=name, parent=group)
            parts.append(_section(f"convex-msgs {name}", command.get_help(context)))
    return "\n".join(parts)


def _section(title: str, text: str) -> str:
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return f"## {title}\n\n```text\n{lines}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(commands_text(), encoding="utf-8")
