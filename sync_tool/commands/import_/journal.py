"""What earlier imports wrote into a table, so that the next plan need not read it all again.

It only saves reading: what it says of a session counts while the session's last row is still the one that was
written then, and that is asked of the deployment. It may be deleted at any time.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from sync_tool.errors import OutputError
from sync_tool.files.private import open_private

# Where this machine keeps what one call notes for the next.


def note_path(job: str, place: str, suffix: str) -> Path:
    """Return the file for the notes of a job about one table of one deployment, in ``XDG_STATE_HOME``.

    Args:
        job: such as ``import``.
        place: deployment and table, as text; it does not show in the name.
        suffix: such as ``.json``.
    """
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base, "convex-msgs", f"{job}-{blake2b(place.encode(), digest_size=8).hexdigest()}{suffix}")


_VERSION: Final = 1


class Known(NamedTuple):
    """What a session held after an import."""

    rows: int
    digest: bytes
    """The history digest of these rows."""
    last: str
    """``_id`` of the last one."""


class ImportJournal:
    """The notes about one table of one deployment. Failing to keep them stops nothing.

    Args:
        place: deployment and table, as text.
    """

    def __init__(self, place: str) -> None:
        self._path = note_path("import", place, ".sqlite")
        self._lock = threading.Lock()
        self._database = self._open()

    def close(self) -> None:
        """Keep what was noted."""
        with self._lock, suppress(sqlite3.Error):
            self._database.close()

    def known(self, session: str) -> Known | None:
        """Return what is noted of a session."""
        with self._lock, suppress(sqlite3.Error):
            found = self._database.execute(
                "SELECT rows, digest, last FROM session WHERE name = ?", (_name(session),)
            ).fetchone()
            return Known(*found) if found else None
        return None

    def empty(self) -> bool:
        """Tell whether nothing is noted."""
        with self._lock, suppress(sqlite3.Error):
            return self._database.execute("SELECT 1 FROM session LIMIT 1").fetchone() is None
        return True

    def note(self, sessions: Iterable[tuple[str, Known]]) -> None:
        """Note what sessions hold now."""
        rows = [(_name(session), *known) for session, known in sessions]
        with self._lock, suppress(sqlite3.Error):
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR REPLACE INTO session VALUES (?, ?, ?, ?)", rows)
            self._database.execute("COMMIT")

    def forget(self, session: str) -> None:
        """Note that nothing is known of a session any more."""
        with self._lock, suppress(sqlite3.Error):
            self._database.execute("DELETE FROM session WHERE name = ?", (_name(session),))

    def _open(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(open_private(self._path))
            return _opened(str(self._path))
        except sqlite3.DatabaseError:  # damaged, for example by a full disk: it is only a saving
            with suppress(OSError):
                self._path.unlink()
        except (OSError, OutputError):
            pass
        return _opened(":memory:")


def _opened(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1.0)
    # The rollback journal keeps a killed process from spoiling the file; losing power may cost the notes.
    database.execute("PRAGMA synchronous = OFF")
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version != _VERSION:
        database.execute("DROP TABLE IF EXISTS session")
        database.execute(f"PRAGMA user_version = {_VERSION}")
    database.execute("CREATE TABLE IF NOT EXISTS session (name BLOB PRIMARY KEY, rows, digest, last) WITHOUT ROWID")
    return database


def _name(session: str) -> bytes:
    """Return what a session is noted under: the ids themselves are nobody's business."""
    return blake2b(session.encode(), digest_size=16).digest()
