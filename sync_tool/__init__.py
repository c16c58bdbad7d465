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
    from sync_tool.deployment.http import Patience
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
        OutputError,
        PipeClosed,
        Refused,
        Unreachable,
        UsageError,
    )
    from sync_tool.jobs.convert import ConvertReport, convert
    from sync_tool.jobs.diff import DiffReport, diff
    from sync_tool.jobs.doctor import doctor
    from sync_tool.jobs.export import ExportReport, export
    from sync_tool.jobs.history import History, Messages, Sessions
    from sync_tool.jobs.import_ import import_
    from sync_tool.jobs.importing.report import ImportPlan, ImportReport
    from sync_tool.jobs.init import init
    from sync_tool.jobs.migrate import migrate
    from sync_tool.jobs.opening import connect
    from sync_tool.jobs.opening import open_address as open  # noqa: A004  # read as sync_tool.open
    from sync_tool.jobs.restore import restore
    from sync_tool.jobs.restore_report import RestorePlan, RestoreReport
    from sync_tool.jobs.runs import RunsReport, runs
    from sync_tool.jobs.sync import sync
    from sync_tool.jobs.sync_report import SyncReport
    from sync_tool.jobs.tail import tail
    from sync_tool.jobs.validate import validate
    from sync_tool.jobs.validation import ValidationReport
    from sync_tool.jobs.verify import VerifyReport, verify
    from sync_tool.model import Names, Row, SessionInfo

_HOMES = {
    "sync_tool.deployment.http": ("Patience",),
    "sync_tool.errors": (
        "Conflict", "ConvexMsgsError", "CursorExpired", "Damaged", "Differs", "Exit", "FunctionFailed", "Locked",
        "NoArchive", "NoStreaming", "OutputError", "PipeClosed", "Refused", "Unreachable", "UsageError",
    ),
    "sync_tool.jobs.convert": ("ConvertReport", "convert"),
    "sync_tool.jobs.diff": ("DiffReport", "diff"),
    "sync_tool.jobs.doctor": ("doctor",),
    "sync_tool.jobs.export": ("ExportReport", "export"),
    "sync_tool.jobs.history": ("History", "Messages", "Sessions"),
    "sync_tool.jobs.import_": ("import_",),
    "sync_tool.jobs.importing.report": ("ImportPlan", "ImportReport"),
    "sync_tool.jobs.init": ("init",),
    "sync_tool.jobs.migrate": ("migrate",),
    "sync_tool.jobs.opening": ("connect",),
    "sync_tool.jobs.restore": ("restore",),
    "sync_tool.jobs.restore_report": ("RestorePlan", "RestoreReport"),
    "sync_tool.jobs.runs": ("RunsReport", "runs"),
    "sync_tool.jobs.sync": ("sync",),
    "sync_tool.jobs.sync_report": ("SyncReport",),
    "sync_tool.jobs.tail": ("tail",),
    "sync_tool.jobs.validate": ("validate",),
    "sync_tool.jobs.validation": ("ValidationReport",),
    "sync_tool.jobs.verify": ("VerifyReport", "verify"),
    "sync_tool.model": ("Names", "Row", "SessionInfo"),
}  # fmt: skip

__all__ = [
    "Conflict", "ConvertReport", "ConvexMsgsError", "CursorExpired", "Damaged", "DiffReport", "Differs", "Exit",
    "ExportReport", "FunctionFailed", "History", "ImportPlan", "ImportReport", "Locked", "Messages", "Names",
    "NoArchive", "NoStreaming", "OutputError", "Patience", "PipeClosed", "Refused", "RestorePlan", "RestoreReport",
    "Row", "RunsReport", "SessionInfo", "Sessions", "SyncReport", "Unreachable", "UsageError", "ValidationReport",
    "VerifyReport", "__version__", "connect", "convert", "diff", "doctor", "export", "import_", "init", "migrate",
    "open", "restore", "runs", "sync", "tail", "validate", "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``--help`` stays fast."""
    if name == "open":
        return importlib.import_module("sync_tool.jobs.opening").open_address
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
