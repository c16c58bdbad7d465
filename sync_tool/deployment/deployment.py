"""A deployment as a source of messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Literal

from sync_tool.deployment.catalog import Catalog, check_names, read_catalog
from sync_tool.deployment.client import Client
from sync_tool.deployment.functions import MODULE, FunctionsDoor
from sync_tool.deployment.http import Patience
from sync_tool.deployment.identity import Identity, find_url, identify, may_stream
from sync_tool.deployment.ranges import TimeRange, key_ranges
from sync_tool.deployment.recent import RECENT_ROWS, recent_sessions
from sync_tool.deployment.settings import Target
from sync_tool.deployment.system import SystemDoor
from sync_tool.errors import FunctionFailed, Refused
from sync_tool.model import Names, Page, Selection, SessionInfo
from sync_tool.rowreader import numbered
from sync_tool.selecting import filtered, session_filter, sessions_of, unknown_session
from sync_tool.spool import in_session_order

Via = Literal["auto", "functions", "system"]
Door = FunctionsDoor | SystemDoor


class Deployment:
    """One table of one deployment.

    Args:
        target: which deployment, and the key to it.
        names: how its table, index and fields are called.
        via: the way to read; ``auto`` takes the deployed functions where there are any.
        patience: how long to wait for answers.

    Raises:
        Refused: the key is wrong.
        UsageError: the key belongs to another deployment than the URL.
        Unreachable: no answer.
    """

    def __init__(
        self,
        target: Target,
        names: Names | None = None,
        *,
        via: Via = "auto",
        patience: Patience | None = None,
    ) -> None:
        patience = patience or Patience()
        self.names = names or Names()
        self.key = target.key
        self.client = Client(find_url(target, patience), target.key.secret, patience)
        self.identity: Identity = identify(self.client, target.key)
        self._via = via

    def __repr__(self) -> str:
        return f"<Deployment {self.title}>"

    @property
    def title(self) -> str:
        """What a person calls it, such as ``prod tall-forest-123``."""
        return self.identity.title

    @cached_property
    def catalog(self) -> Catalog | None:
        """Tables and declared schema; None where the deployment does not tell."""
        return read_catalog(self.client)

    @cached_property
    def has_functions(self) -> bool:
        """True if ``convexMsgs`` is deployed there.

        Asked of the list of functions: in production a missing function says no more than "Server Error".
        """
        try:
            functions = self.client.query_value("_system/cli/modules:apiSpec", {})
        except FunctionFailed:
            return self._answers_info()
        wanted = (f"{MODULE}.js:page", f"{MODULE}:page")
        return any(function.get("identifier") in wanted for function in functions)

    @cached_property
    def door(self) -> Door:
        """The way by which this deployment is read."""
        if self.catalog is not None:
            check_names(self.catalog, self.names)
        if self._via == "functions" and not self.has_functions:
            raise Refused(
                f"{MODULE} is not deployed on {self.title}.",
                hint=[
                    ("without it", "--via system reads through the dashboard's queries"),
                    ("to add it", "convex-msgs init"),
                ],
            )
        return self._make_door()

    def _make_door(self, rows: int | None = None) -> Door:
        kind = SystemDoor if self._via == "system" or not self.has_functions else FunctionsDoor
        return kind(self.client, self.names, rows)

    @property
    def way(self) -> str:
        """Which door is used, and why."""
        if self.door.name == "functions":
            return f"reading through {MODULE}, which is deployed there"
        why = "asked for with --via" if self._via == "system" else f"{MODULE} is not deployed there"
        return f"reading through the dashboard's queries: {why}"

    @cached_property
    def may_stream(self) -> bool:
        """True if the plan includes streaming export: Pro on Convex cloud, always on self-hosted."""
        return may_stream(self.client)

    def pages(self, selection: Selection) -> Iterator[Page]:
        """Yield the selected rows in session order (`sync_tool.ports.Source`)."""
        return numbered(filtered(self._unnumbered(selection), selection))

    def sessions(self, selection: Selection, *, count: bool = False) -> Iterator[SessionInfo]:
        """Yield the selected sessions in order; reads their messages only where it must."""
        if count or selection.windowed or selection.active_after is not None:
            yield from sessions_of(self.pages(selection))
            return
        chosen = session_filter(selection)
        if selection.sessions:
            for where in key_ranges(selection):
                self._require(where.session or "")
                yield from self.door.sessions(where.session, f"{where.session}\0")
            return
        for where in key_ranges(selection):
            yield from (info for info in self.door.sessions(where.first, where.stop) if chosen(info.session))

    def recent_sessions(self, limit: int) -> list[SessionInfo]:
        """Return the `limit` sessions with the newest messages, newest first, with their last human words."""
        self.door  # checks the names  # noqa: B018
        return recent_sessions(self._make_door(RECENT_ROWS), limit)

    def count(self) -> int | None:
        """Return the table's row count from the deployment's statistics; None where it does not tell."""
        try:
            return int(self.client.query_value("_system/cli/tableSize", {"tableName": self.names.table}))
        except FunctionFailed:
            return None

    def close(self) -> None:
        """Close all connections."""
        self.client.close()

    def _answers_info(self) -> bool:
        try:
            self.client.query_value(f"{MODULE}:info", {})
        except FunctionFailed:
            return False
        return True

    def _unnumbered(self, selection: Selection) -> Iterator[Page]:
        if selection.active_after is not None:
            return self._active(selection)
        if selection.sessions:
            return self._named(selection)
        if selection.windowed:
            window = TimeRange(selection.after, selection.before)
            return in_session_order(filtered(self.door.by_time(window), selection), self.names)
        return (page for where in key_ranges(selection) for page in self.door.pages(where))

    def _named(self, selection: Selection) -> Iterator[Page]:
        ranges = key_ranges(selection)
        for where in ranges:
            self._require(where.session or "")
        for where in ranges:
            yield from self.door.pages(where)

    def _active(self, selection: Selection) -> Iterator[Page]:
        """Read the sessions that have a message since `active_after`: first who they are, then each whole."""
        chosen = session_filter(selection)
        active: set[str] = set()
        for page in self.door.by_time(TimeRange(after=selection.active_after)):
            active.update(row.session for row in page.rows if isinstance(row.session, str) and chosen(row.session))
            yield Page([], page.bytes)
        for session in selection.sessions:
            self._require(session)
        wanted = active & set(selection.sessions) if selection.sessions else active
        if wanted:
            for where in key_ranges(replace(selection, sessions=tuple(wanted))):
                yield from self.door.pages(where)

    def _require(self, session: str) -> None:
        if not self.door.has_session(session):
            raise unknown_session(session, self.door.neighbours(session))
