"""LangChain chat history in Convex: out, in, across and safely stored, by session.

::

    import sync_tool as cm

    db = cm.connect(env_file="~/keys/prod.env")
    print(db.sessions(recent=5))
    frame = db.messages(after="2026-08-01").to_pandas()

The names below are the public interface; they are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sync_tool._version import __version__

if TYPE_CHECKING:
    from sync_tool.commands.convert import ConvertReport, convert
    from sync_tool.commands.diff.diff import DiffReport, diff
    from sync_tool.commands.doctor import doctor
    from sync_tool.commands.export.export import ExportReport, export
    from sync_tool.commands.history import History, Messages, Sessions
    from sync_tool.commands.import_.options_and_report import ImportPlan, ImportReport
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

_HOMES = {
    "sync_tool.deployment.rates": ("Patience",),
    "sync_tool.errors": (
        "Conflict", "ConvexMsgsError", "CursorExpired", "Damaged", "Differs", "Exit", "FunctionFailed", "Locked",
        "NoArchive", "NoStreaming", "NotSupported", "OutputError", "PipeClosed", "Refused", "Unreachable", "UsageError",
    ),
    "sync_tool.commands.convert": ("ConvertReport", "convert"),
    "sync_tool.commands.diff.diff": ("DiffReport", "diff"),
    "sync_tool.commands.doctor": ("doctor",),
    "sync_tool.commands.export.export": ("ExportReport", "export"),
    "sync_tool.commands.history": ("History", "Messages", "Sessions"),
    "sync_tool.commands.import_.run": ("import_", "migrate"),
    "sync_tool.commands.import_.options_and_report": ("ImportPlan", "ImportReport"),
    "sync_tool.commands.init": ("init",),
    "sync_tool.commands.opening": ("connect",),
    "sync_tool.commands.restore.restore": ("restore",),
    "sync_tool.commands.restore.package": ("RestorePlan", "RestoreReport"),
    "sync_tool.commands.runs": ("RunsReport", "runs"),
    "sync_tool.commands.sync.sync": ("sync",),
    "sync_tool.commands.sync.report": ("SyncReport",),
    "sync_tool.commands.tail": ("tail",),
    "sync_tool.commands.validate.validate": ("validate",),
    "sync_tool.commands.validate.report": ("ValidationReport",),
    "sync_tool.commands.verify": ("VerifyReport", "verify"),
    "sync_tool.rows.model": ("Names", "Row", "SessionInfo"),
}  # fmt: skip

__all__ = [
    "Conflict", "ConvertReport", "ConvexMsgsError", "CursorExpired", "Damaged", "DiffReport", "Differs", "Exit",
    "ExportReport", "FunctionFailed", "History", "ImportPlan", "ImportReport", "Locked", "Messages", "Names",
    "NoArchive", "NoStreaming", "NotSupported", "OutputError", "Patience", "PipeClosed", "Refused", "RestorePlan",
    "RestoreReport", "Row", "RunsReport", "SessionInfo", "Sessions", "SyncReport", "Unreachable", "UsageError",
    "ValidationReport", "VerifyReport", "__version__", "connect", "convert", "diff", "doctor", "export", "import_",
    "init", "migrate", "open", "restore", "runs", "sync", "tail", "validate", "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``--help`` stays fast."""
    if name == "open":
        return importlib.import_module("sync_tool.commands.opening").open_source
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
