"""``migrate``: an import whose source is a deployment, with both sides compared at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from sync_tool.deployment.deployment import Deployment
from sync_tool.errors import UsageError
from sync_tool.jobs.history import History
from sync_tool.jobs.import_ import import_
from sync_tool.jobs.importing.options import ImportKeywords
from sync_tool.jobs.importing.report import ImportReport
from sync_tool.jobs.opening import open_address
from sync_tool.ports import Source


def migrate(source: History | str | Path, target: Source | History, **keywords: Unpack[ImportKeywords]) -> ImportReport:
    """Bring the messages of one deployment into another; what it means is that of `import_`.

    Args:
        source: what `connect` or `open` returned for a deployment, or its address.
        target: what `connect` or `open` returned for a deployment.
        keywords: those of `import_`; `compare` is on unless it is turned off.

    Raises:
        UsageError: source and target are one table, or as `import_`.
        Conflict: as `import_`.
        Refused: a deployment refused the key, or cannot be written to.
        Unreachable: no usable answer; the same call goes on.
    """
    keywords.setdefault("compare", True)
    if isinstance(source, History):
        _refuse_same(source, target)
        return import_(source, target, **keywords)
    with open_address(source, names=keywords.get("names")) as opened:
        _refuse_same(opened, target)
        return import_(opened, target, **keywords)


def _refuse_same(source: History, target: Source | History) -> None:
    one, other = source.source, getattr(target, "source", target)
    if not isinstance(one, Deployment):
        raise UsageError(
            f"{source.title} is a file; migrate reads a deployment.", hint=[("files", "convex-msgs import FILE…")]
        )
    if isinstance(other, Deployment) and one.client.url == other.client.url and one.names == other.names:
        raise UsageError(f"source and target are the same table of {one.title}.")
