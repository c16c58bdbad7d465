"""Journals of `import` and `restore`: private files in ``XDG_STATE_HOME`` by which a call continues an earlier one.

A journal is about one table of one deployment. It only saves work, so it may be deleted at any time.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from sync_tool.errors import OutputError
from sync_tool.files.bytes import new_file, translate
from sync_tool.files.private import open_private, open_regular


def journal_path(command: str, place: str, suffix: str) -> Path:
    """Return the path of a journal.

    Args:
        command: ``import`` or ``restore``.
        place: deployment and table as text; the name holds only its digest.
        suffix: such as ``.json``.
    """
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base, "convex-msgs", f"{command}-{blake2b(place.encode(), digest_size=8).hexdigest()}{suffix}")


def _make_folder(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


_VERSION: Final = 1


class KnownSession(NamedTuple):
    """A session as an earlier import left it."""

    rows: int
    digest: bytes
    """The history digest of these rows."""
    last: str
    """``_id`` of the last one."""


class ImportJournal:
    """The sessions that earlier imports wrote. Errors are ignored: then the next plan reads the table.

    An entry counts while the session's last row in the deployment is still the one that it names.

    Args:
        place: deployment and table as text.
    """

    def __init__(self, place: str) -> None:
        self._path = journal_path("import", place, ".sqlite")
        self._lock = threading.Lock()
        self._database = self._open()

    def close(self) -> None:
        """Close the file."""
        with self._lock, suppress(sqlite3.Error):
            self._database.close()

    def known(self, session: str) -> KnownSession | None:
        """Return the entry of a session."""
        with self._lock, suppress(sqlite3.Error):
            found = self._database.execute(
                "SELECT rows, digest, last FROM session WHERE name = ?", (_hashed(session),)
            ).fetchone()
            return KnownSession(*found) if found else None
        return None

    def empty(self) -> bool:
        """Return True without any entry."""
        with self._lock, suppress(sqlite3.Error):
            return self._database.execute("SELECT 1 FROM session LIMIT 1").fetchone() is None
        return True

    def record(self, sessions: Iterable[tuple[str, KnownSession]]) -> None:
        """Write the entries of sessions."""
        rows = [(_hashed(session), *known) for session, known in sessions]
        with self._lock, suppress(sqlite3.Error):
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR REPLACE INTO session VALUES (?, ?, ?, ?)", rows)
            self._database.execute("COMMIT")

    def forget(self, session: str) -> None:
        """Delete the entry of a session."""
        with self._lock, suppress(sqlite3.Error):
            self._database.execute("DELETE FROM session WHERE name = ?", (_hashed(session),))

    def _open(self) -> sqlite3.Connection:
        try:
            _make_folder(self._path)
            os.close(open_private(self._path))
            return _connect(str(self._path))
        except sqlite3.DatabaseError:  # damaged, for example by a full disk
            with suppress(OSError):
                self._path.unlink()
        except (OSError, OutputError):
            pass
        return _connect(":memory:")


def _connect(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1.0)
    # The rollback journal protects the file from kill -9; a power failure may cost the entries, which is harmless.
    database.execute("PRAGMA synchronous = OFF")
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version != _VERSION:
        database.execute("DROP TABLE IF EXISTS session")
        database.execute(f"PRAGMA user_version = {_VERSION}")
    database.execute("CREATE TABLE IF NOT EXISTS session (name BLOB PRIMARY KEY, rows, digest, last) WITHOUT ROWID")
    return database


def _hashed(session: str) -> bytes:
    """Return a session id as the journal stores it: not readable."""
    return blake2b(session.encode(), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class ConfirmedImport:
    """A snapshot import that was confirmed, and whose end was not seen yet."""

    import_id: str
    digest: str
    """sha256 of the upload: a deployment does not return what an import was made of."""
    deleted: int
    """Rows that it replaces."""


class RestoreJournal:
    """The confirmed import of a restore, so that the same call joins it instead of starting another.

    Args:
        place: deployment and table as text.
    """

    def __init__(self, place: str) -> None:
        self._path = journal_path("restore", place, ".json")

    def read(self) -> ConfirmedImport | None:
        """Return the confirmed import; None without a readable one."""
        try:
            with open_regular(self._path) as file:
                return ConfirmedImport(**json.loads(file.read()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, begun: ConfirmedImport) -> None:
        """Write the file and sync it to disk.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            _make_folder(self._path)
        except OSError as error:
            raise translate(error, self._path) from None
        with new_file(self._path, overwrite=True) as stream:
            stream.write(json.dumps(asdict(begun)).encode())

    def clear(self) -> None:
        """Delete the file; one that cannot be deleted was not written either."""
        with suppress(OSError):
            self._path.unlink()
