"""Options that select messages, shared by most commands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypedDict

from sync_tool.commands.arguments import When, parse_when, texts_of
from sync_tool.commands.declaration import Options, option
from sync_tool.errors import UsageError
from sync_tool.rows.model import Selection

SELECTION: Final = "Selection"


@dataclass(frozen=True, kw_only=True)
class SelectionOptions(Options):
    """Options that select messages."""

    session: str | None = None
    """The same as `sessions`, for a single one."""
    sessions: str | Iterable[str] = option(
        (), "-s", "--session", metavar="ID", section=SELECTION, help="This session (repeatable; any characters)."
    )
    match: str | Iterable[str] = option(
        (), metavar="GLOB", section=SELECTION, help="Sessions whose id matches, such as 'cust-*' (repeatable)."
    )
    exclude: str | Iterable[str] = option(
        (), metavar="GLOB", section=SELECTION, help="Leave out sessions whose id matches (repeatable)."
    )
    after: When = option(
        None,
        metavar="TIME",
        section=SELECTION,
        help="Messages created at this time or later: ISO (UTC without a zone), or a span such as 7d.",
    )
    before: When = option(None, metavar="TIME", section=SELECTION, help="Messages created before this time.")
    active_after: When = option(
        None, metavar="TIME", section=SELECTION, help="Whole sessions that have a message at this time or later."
    )

    def selection(self) -> Selection:
        """Return what is selected.

        Raises:
            UsageError: a time that cannot be read, or an empty window.
        """
        single = () if self.session is None else (self.session,)
        chosen = Selection(
            sessions=(*texts_of(single), *texts_of(self.sessions)),
            match=texts_of(self.match),
            exclude=texts_of(self.exclude),
            after=parse_when(self.after, "--after"),
            before=parse_when(self.before, "--before"),
            active_after=parse_when(self.active_after, "--active-after"),
        )
        if chosen.after is not None and chosen.before is not None and chosen.after >= chosen.before:
            raise UsageError("--after is not earlier than --before: no message can be in between.")
        return chosen

    def selecting(self) -> dict[str, Any]:
        """Return the given selection options by name, as they were given."""
        return {name: value for name in SelectionKeywords.__annotations__ if (value := getattr(self, name))}


class SelectionKeywords(TypedDict, total=False):
    """Keywords that select messages."""

    session: str | None
    sessions: str | Iterable[str]
    match: str | Iterable[str]
    exclude: str | Iterable[str]
    after: When
    before: When
    active_after: When
