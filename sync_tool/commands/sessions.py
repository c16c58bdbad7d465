"""``sessions``: lists sessions."""

from __future__ import annotations

from typing import Unpack

from sync_tool.commands.history import History, Sessions
from sync_tool.commands.selection import SelectionKeywords, SelectionOptions
from sync_tool.deployment.deployment import Deployment
from sync_tool.errors import UsageError
from sync_tool.rows.model import Selection
from sync_tool.rows.ports import Progress


def list_sessions(
    history: History,
    progress: Progress,
    *,
    recent: int | None = None,
    count: bool = False,
    **selection: Unpack[SelectionKeywords],
) -> Sessions:
    """Return the selected sessions, or the `recent` newest ones.

    Raises:
        UsageError: `recent` together with a selection, or an unknown session.
    """
    if recent is not None and (count or SelectionOptions(**selection).selection() != Selection()):
        raise UsageError("--recent lists the newest sessions of all; it does not go with a selection or --count.")
    title = f"{history.title} · table {history.names.table}"
    deployment = history.capability(Deployment)
    if deployment is not None and deployment.reader.name == "system":
        title += " · nothing deployed there is needed or changed"
    progress.begin(title, None)
    progress.detail(history.method)
    return history.sessions(recent) if recent is not None else history.sessions(count=count, **selection)
