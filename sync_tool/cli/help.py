"""A command whose help shows examples and exit codes, and a group that imports a command when it is used."""

from __future__ import annotations

import importlib
import keyword
from collections.abc import Iterable
from typing import Any, Final

import click

from sync_tool.errors import EXIT_CODES, Exit, UsageError

COMMON_EXITS: Final = (Exit.DONE, Exit.FAULT, Exit.USAGE, Exit.INTERRUPTED, Exit.TERMINATED)

SECTIONS: Final = {
    "Look": ("sessions", "tail", "doctor"),
    "Move": ("export", "import", "migrate", "convert"),
    "Keep": ("sync", "runs", "verify", "diff", "restore"),
    "Check": ("validate",),
    "Try": ("sandbox", "init"),
}
"""Commands in the order and under the headings of ``--help``."""

OTHER_WORDS: Final = {
    "dump": "export",
    "backup": "sync",
    "snapshots": "runs",
    "compare": "diff",
    "download": "export",
    "load": "import",
    "upload": "import",
    "insert": "import",
    "copy": "migrate",
    "list": "sessions",
    "ls": "sessions",
    "threads": "sessions",
    "watch": "tail",
    "follow": "tail",
    "conversations": "sessions",
    "check": "verify",
    "status": "doctor",
    "dev": "sandbox",
    "setup": "init",
}
"""Words of other tools, and the command of the same meaning here."""


class SectionedOption(click.Option):
    """An option that the help shows under a heading."""

    def __init__(self, *args: Any, section: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class Command(click.Command):
    """A command with examples and its exit codes at the end of its help."""

    def __init__(self, *args: Any, examples: Iterable[str] = (), exits: Iterable[Exit] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        self.exits = tuple(sorted({*COMMON_EXITS, *exits}))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; text that is not Unicode is refused, as it can be neither sent nor stored."""
        rest = super().parse_args(ctx, args)
        arguments = {parameter.name for parameter in self.params if isinstance(parameter, click.Argument)}
        for name, value in ctx.params.items():
            for text in value if isinstance(value, tuple) else (value,):
                if text == "" and name in arguments:  # as a path it would name the folder where we are
                    raise UsageError(
                        f"{self._shown(name)} is empty.", hint=[("perhaps", "a variable of the shell that is not set")]
                    )
                if isinstance(text, str) and any("\ud800" <= letter <= "\udfff" for letter in text):
                    raise UsageError(f"{self._shown(name)} {text!r} is not valid Unicode.")
        return rest

    def _shown(self, name: str) -> str:
        found = next(parameter for parameter in self.params if parameter.name == name)
        return found.opts[-1] if isinstance(found, click.Option) else name.upper()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options first, then each group of shared ones under its heading."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record and isinstance(parameter, click.Option):
                sections.setdefault(getattr(parameter, "section", "Options"), []).append(record)
        sections["General"] = [*sections.pop("General", []), *sections["Options"][-1:]]
        sections["Options"] = sections["Options"][:-1]  # without --help
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples and exit codes."""
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), EXIT_CODES[code]) for code in self.exits])


class Group(click.Group):
    """The commands by section; each lives in a module of its name that is imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the help."""
        return [name for names in SECTIONS.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        command: click.Command = getattr(importlib.import_module(f"sync_tool.cli.{module}"), f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; answer words of other tools with ours."""
        ours = OTHER_WORDS.get(args[0])
        if ours and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(f"there is no command {args[0]!r}; here it is called {ours!r}.", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their headings."""
        for title, names in SECTIONS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl([(name, found.get_short_help_str(80)) for name, found in commands if found])
