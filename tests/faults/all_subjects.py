"""Subjects of the endurance runs; a new command is one more class and one more line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from faults.importing import ImportSubject
from faults.migrating import MigrateSubject
from faults.subjects import ExportSubject, Subject
from faults.syncing import SyncSubject

SUBJECTS: Final[dict[str, Callable[[], Subject]]] = {
    "export": ExportSubject,
    "import": ImportSubject,
    "import-live": lambda: ImportSubject(live=True),
    "migrate": MigrateSubject,
    "sync": SyncSubject,
}
