"""Export, import, sync and restore LangChain chat history in Convex, by session.

::

    import sync_tool as cm

    db = cm.connect(env_file="~/keys/prod.env")
    print(db.sessions(recent=5))
    frame = db.messages(after="2026-08-01").to_pandas()

The names below are the public interface.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from sync_tool._version import __version__

if TYPE_CHECKING:  # `__getattr__` imports these names at their first use
    from sync_tool.commands.convert import ConvertReport, convert
    from sync_tool.commands.diff.diff import DiffReport, diff
    from sync_tool.commands.doctor import doctor
    from sync_tool.commands.export.export import ExportReport, export
    from sync_tool.commands.history import History, Messages, Sessions
    from sync_tool.commands.import_.report import ImportPlan, ImportReport
    from sync_tool.commands.import_.run import import_, migrate
    from sync_tool.commands.init import init
    from sync_tool.commands.opening import connect
    from sync_tool.commands.opening import open_source as open  # noqa: A004  # read as sync_tool.open
    from sync_tool.commands.restore.package import RestorePlan, RestoreReport
    from sync_tool.commands.restore.restore import restore
    from sync_tool.commands.runs import RunsReport, runs
    from sync_tool.commands.sync.report import SyncReport
    from sync_tool.commands.sync.sync import sync
    from sync_tool.commands.tail import tail
    from sync_tool.commands.validate.report import ValidationReport
    from sync_tool.commands.validate.validate import validate
    from sync_tool.commands.verify import VerifyReport, verify
    from sync_tool.deployment.rates import Patience
    from sync_tool.errors import (
        Conflict,
        ConvexMsgsError,
        CursorExpired,
        Damaged,
        Differs,
        Exit,
        FunctionFailed,
        Locked,
        NoArchive,
        NoStreaming,
        NotSupported,
        OutputError,
        PipeClosed,
        Refused,
        Unreachable,
        UsageError,
    )
    from sync_tool.rows.model import Names, Row, SessionInfo

__all__ = [
    "Conflict", "ConvertReport", "ConvexMsgsError", "CursorExpired", "Damaged", "DiffReport", "Differs", "Exit",
    "ExportReport", "FunctionFailed", "History", "ImportPlan", "ImportReport", "Locked", "Messages", "Names",
    "NoArchive", "NoStreaming", "NotSupported", "OutputError", "Patience", "PipeClosed", "Refused", "RestorePlan",
    "RestoreReport", "Row", "RunsReport", "SessionInfo", "Sessions", "SyncReport", "Unreachable", "UsageError",
    "ValidationReport", "VerifyReport", "__version__", "connect", "convert", "diff", "doctor", "export", "import_",
    "init", "migrate", "open", "restore", "runs", "sync", "tail", "validate", "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name at its first use, so that ``--help`` stays fast."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, its_name = _homes()[name]
    return getattr(importlib.import_module(home), its_name)


@cache
def _homes() -> dict[str, tuple[str, str]]:
    """Return module and name of each import above; they are written once, for type checkers and for this."""
    import ast
    import inspect

    return {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(ast.parse(inspect.getsource(sys.modules[__name__])))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def __dir__() -> list[str]:
    return sorted(__all__)
