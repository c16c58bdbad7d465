"""``migrate``: an import whose source is a deployment or another store, with both sides compared at the end."""

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
from sync_tool.jobs.storerows import StoreRows
from sync_tool.ports import Source


def migrate(source: History | str | Path, target: Source | History, **keywords: Unpack[ImportKeywords]) -> ImportReport:
    """Bring the messages of a deployment, or of another store of LangChain's, into a deployment.

    Args:
        source: what `connect` or `open` returned for a deployment, or an address: of a deployment, or of a store
            (``redis://host:6379/0``, ``env:NAME``, the path of a JSON file that LangChain wrote).
        target: what `connect` or `open` returned for a deployment.
        keywords: those of `import_`; `compare` is on unless it is turned off.

    Raises:
        UsageError: source and target are one table, the source is a file of messages, a package is not installed,
            or as `import_`.
        Conflict: as `import_`.
        Refused: source or target refused the key, user or password, or the target cannot be written to.
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
    if isinstance(one, StoreRows):
        return
    if not isinstance(one, Deployment):
        raise UsageError(
            f"{source.title} is a file; migrate reads deployments and LangChain's other stores.",
            hint=[("files", "convex-msgs import FILE…")],
        )
    if isinstance(other, Deployment) and one.client.url == other.client.url and one.names == other.names:
        raise UsageError(f"source and target are the same table of {one.title}.")
