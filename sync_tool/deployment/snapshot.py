"""Writer of whole tables with ids and times, through the deployment's snapshot import.

Endpoints, states and their meaning: get-convex/convex-backend, ``crates/local_backend/src/snapshot_import.rs``,
``crates/model/src/snapshot_imports``, ``npm-packages/convex/src/cli/lib/convexImport.ts``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Literal
from urllib.parse import urlencode

from sync_tool.deployment.client import Client
from sync_tool.errors import Refused, Unreachable

Mode = Literal["requireEmpty", "replace"]

UPLOADED: Final = "uploaded"
WAITING: Final = "waiting_for_confirmation"
RUNNING: Final = "in_progress"
COMPLETED: Final = "completed"
FAILED: Final = "failed"

_STATUS: Final = "_system/cli/queryImport"
# Smallest part that S3 accepts, where the cloud keeps uploads.
_PART_BYTES: Final = 5 << 20
_MOST_PARTS: Final = 9_999
_UPLOADS: Final = 4
_ATTEMPTS: Final = 4
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0


@dataclass(frozen=True, slots=True)
class TablePlan:
    """Effect of an import on one table, as the deployment counted it."""

    table: str
    rows: int
    existing: int
    deleted: int


@dataclass(frozen=True, slots=True)
class ImportStatus:
    """State of an import."""

    id: str
    state: str
    """``uploaded``, ``waiting_for_confirmation``, ``in_progress``, ``completed`` or ``failed``."""
    error: str
    """Message of the deployment, if it failed."""
    rows: int
    """Rows written, if it is completed."""
    created: float
    """Milliseconds since 1970."""
    tables: tuple[TablePlan, ...]
    """Empty until the upload is parsed."""

    @property
    def under_way(self) -> bool:
        """True while the deployment is parsing or writing."""
        return self.state in (UPLOADED, RUNNING)


class SnapshotWriter:
    """Imports into one deployment.

    Args:
        client: of the deployment.
        note: receives a line when an upload restarts.
    """

    def __init__(self, client: Client, note: Callable[[str], None]) -> None:
        self._client = client
        self._note = note

    def upload(self, file: BinaryIO, size: int, mode: Mode) -> str:
        """Send a zip and return the id of its import; nothing changes before `performed`.

        The parts are sent one after the other. If one may or may not have arrived, all are sent again under a new
        token: a deployment that keeps uploads on its own disk would append a repeated part.

        Raises:
            Refused: the deployment refused.
            Unreachable: no usable answer after retries.
        """
        for attempt in range(1, _UPLOADS + 1):
            try:
                return self._upload(file, size, mode)
            except Unreachable as error:
                if attempt == _UPLOADS:
                    raise
                self._note(f"restarting the upload: {error.message}")
        raise AssertionError

    def status(self, import_id: str) -> ImportStatus | None:
        """Return the state of an import; None if the id is unknown."""
        document = self._client.query_value(_STATUS, {"importId": import_id})
        return None if document is None else _status(document)

    def newest(self) -> list[ImportStatus]:
        """Return the newest twenty imports, newest first."""
        return [_status(document) for document in self._client.query_value(f"{_STATUS}:list", {})]

    def settled(self, import_id: str) -> ImportStatus:
        """Wait until the deployment stops working on an import, and return its state.

        Raises:
            Refused: there is no such import.
            Unreachable: no answer; the import continues.
        """
        pause = _FIRST_PAUSE
        while True:
            status = self.status(import_id)
            if status is None:
                raise Refused(f"the deployment does not know the import {import_id} any more.")
            if not status.under_way:
                return status
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def performed(self, import_id: str) -> ImportStatus:
        """Confirm a waiting import, wait for its end, and return its state.

        The answer to a confirmation is empty, so one of a proxy looks the same. It is repeated while the import still
        waits; a second confirmation has no effect.

        Raises:
            Refused: the deployment refused.
            Unreachable: no answer; the import may continue.
        """
        for _ in range(_ATTEMPTS):
            self._client.post_empty("/api/perform_import", {"importId": import_id})
            status = self.settled(import_id)
            if status.state != WAITING:
                return status
        raise Unreachable(f"the deployment does not begin the import {import_id}.")

    def cancel(self, import_id: str) -> bool:
        """Stop an import and return True; False if it had been completed already.

        Raises:
            Unreachable: no answer, or no effect.
        """
        for _ in range(_ATTEMPTS):
            # Refused if it has ended, also by an earlier request whose answer was lost.
            with suppress(Refused):
                self._client.post_empty("/api/cancel_import", {"importId": import_id})
            status = self.status(import_id)
            if status is None or status.state in (COMPLETED, FAILED):
                return status is None or status.state == FAILED
        raise Unreachable(f"the deployment does not cancel the import {import_id}.")

    def _upload(self, file: BinaryIO, size: int, mode: Mode) -> str:
        token = self._client.post("/api/import/start_upload", {})["uploadToken"]
        file.seek(0)
        part_bytes = max(_PART_BYTES, -(-size // _MOST_PARTS))
        part_tokens: list[str] = []
        while part := file.read(part_bytes):
            query = urlencode({"uploadToken": token, "partNumber": len(part_tokens) + 1})
            part_tokens.append(self._client.post_bytes(f"/api/import/upload_part?{query}", part))
        body = {"import": {"mode": mode, "format": "zip"}, "uploadToken": token, "partTokens": part_tokens}
        return str(self._client.post("/api/import/finish_upload", body, writes=True)["importId"])


def _status(document: dict[str, Any]) -> ImportStatus:
    state = document["state"]
    return ImportStatus(
        id=document["_id"],
        state=state["state"],
        error=str(state.get("error_message", "")),
        rows=int(state.get("num_rows_written", 0)),
        created=float(document["_creationTime"]),
        tables=tuple(
            TablePlan(
                table=table["display_table_name"],
                rows=int(table["total_num_rows_to_write"]),
                existing=int(table["existing_rows_in_table"]),
                deleted=int(table["existing_rows_to_delete"]),
            )
            for table in document.get("checkpoints") or ()
        ),
    )
