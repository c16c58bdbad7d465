"""How an option is declared: a field of a frozen dataclass, with the help that the command line shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import NamedTuple, TypeVar

from sync_tool.errors import UsageError

T = TypeVar("T")


class Option(NamedTuple):
    """How the command line shows a field."""

    help: str
    flags: tuple[str, ...]
    """Without any, the field's name with hyphens."""
    metavar: str | None
    variable: str | None
    """The environment variable that sets it."""
    choices: tuple[str, ...]
    limits: tuple[float, float] | None
    """Least and greatest number; the number is whole unless the first is a float."""
    section: str
    """The heading of the help that it stands under."""


def option(
    default: T,
    *flags: str,
    help: str,  # noqa: A002  # click's word
    metavar: str | None = None,
    variable: str | None = None,
    choices: Iterable[str] = (),
    limits: tuple[float, float] | None = None,
    section: str = "Options",
) -> T:
    """Declare a field that the command line offers as an option."""
    shown = Option(help, flags, metavar, variable, tuple(choices), limits, section)
    return field(default=default, metadata={"option": shown})


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of all options: a value that is not among the choices is a UsageError."""

    def __post_init__(self) -> None:
        for name, shown in declared(type(self)).items():
            value = getattr(self, name)
            given = (value,) if value is None or isinstance(value, str) else value
            wrong = [one for one in given if one is not None and one not in shown.choices] if shown.choices else []
            if wrong:
                flag = name.replace("_", "-")
                raise UsageError(
                    f"--{flag} {wrong[0]!r} is not a choice.", hint=[("choices", ", ".join(shown.choices))]
                )


def declared(options: type[Options]) -> dict[str, Option]:
    """Return the fields that the command line offers, in order."""
    return {one.name: one.metadata["option"] for one in fields(options) if "option" in one.metadata}
