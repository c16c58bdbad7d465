"""The report of a sync, the ping of a watchdog and the metrics for Prometheus."""

from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit, urlunsplit

from urllib3.exceptions import HTTPError
from urllib3.util import Timeout

from sync_tool.deployment.http import failure_of, make_pool
from sync_tool.errors import ConvexMsgsError, Exit, UsageError
from sync_tool.files.bytes import translate
from sync_tool.rows.ports import Progress

# Timeout of a ping.
_SECONDS: Final = 5.0


class Ping:
    """Pings a watchdog such as healthchecks.io: POST to URL/start at the start, URL after success, else URL/fail.

    A ping never makes the job fail, and delays at most its end by a few seconds.

    Args:
        url: usually a secret; it is in no message.

    Raises:
        UsageError: it is no http or https URL.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise UsageError("--ping-url is not a URL that begins with http:// or https://.")
        self._parts = parts
        self._pool = make_pool(url, Timeout(connect=_SECONDS, read=_SECONDS), 2)
        self._starting = threading.Thread(target=self._send, args=("/start", ""), daemon=True)

    def start(self) -> None:
        """Ping the start, without waiting."""
        self._starting.start()

    def succeed(self, text: str) -> str | None:
        """Ping the success; return the reason if that failed."""
        return self._finish("", text)

    def fail(self, text: str) -> str | None:
        """Ping the failure; return the reason if that failed."""
        return self._finish("/fail", text)

    def _finish(self, end: str, text: str) -> str | None:
        self._starting.join(2 * _SECONDS)  # keeps the order of the two pings
        failed = self._send(end, text)
        self._pool.clear()
        return failed

    def _send(self, end: str, text: str) -> str | None:
        url = urlunsplit(self._parts._replace(path=self._parts.path.rstrip("/") + end))
        try:
            answer = self._pool.request("POST", url, body=text.encode(), redirect=False)
        except HTTPError as error:
            return failure_of(error, self._pool.proxy).words
        return None if answer.status < 300 else f"HTTP {answer.status}"


_METRICS: Final = (
    ("success", "gauge", "1 if the last sync succeeded, 0 if it failed."),
    ("exit_code", "gauge", "Exit code of the last sync."),
    ("end_timestamp_seconds", "gauge", "When the last sync ended."),
    ("last_success_timestamp_seconds", "gauge", "When the last sync that succeeded ended."),
    ("duration_seconds", "gauge", "How long the last sync took."),
    ("rows", "gauge", "Rows in the archive."),
    ("sessions", "gauge", "Sessions in the archive."),
    ("new_rows", "gauge", "Rows that the last sync found new."),
    ("changed_rows", "gauge", "Rows that the last sync found changed."),
    ("deleted_rows", "gauge", "Rows that the last sync found deleted."),
    ("read_bytes", "gauge", "Bytes that the last sync read."),
    ("archive_bytes", "gauge", "Size of all parts of the archive."),
)


@dataclass(frozen=True, slots=True)
class SyncReport:
    """The result of a sync; the object that ``--json`` prints."""

    archive: str
    run: str
    source: str
    way: str
    """``stream``, ``functions`` or ``system``."""
    full: bool
    """True if everything was read and compared."""
    resumed: bool
    """True if it resumed an interrupted run."""
    rows: int
    """Rows in the archive now."""
    sessions: int
    new: int
    changed: int
    deleted: int
    archive_bytes: int
    """Size of all parts of the archive."""
    read_bytes: int
    """Bytes that this call read of the deployment."""
    consistent: datetime | None
    """The moment at which the archive equals the table; None if pages were read one after the other."""
    started: datetime
    ended: datetime
    seconds: float


class Reporting:
    """Reports start and end of a block: to a watchdog by pings, to Prometheus by a file.

    Args:
        ping_url: as for `Ping`; None for no pings.
        metrics_file: for metrics in Prometheus' text format; None for no file.
        archive: the label of the metrics.
        progress: shows failures of the reporting, which never make the job fail.
    """

    def __init__(self, ping_url: str | None, metrics_file: Path | None, archive: str, progress: Progress) -> None:
        self._ping = Ping(ping_url) if ping_url else None
        self._file = metrics_file
        self._archive = archive
        self._progress = progress
        self._started = time.time()
        self.report: SyncReport | None = None

    def __enter__(self) -> Self:
        if self._ping is not None:
            self._ping.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        report = self.report
        self._write_metrics(_exit_code(error))
        if self._ping is None:
            return
        if error is None and report is not None:
            failed = self._ping.succeed(f"{report.new} new, {report.changed} changed, {report.deleted} deleted rows")
        else:
            failed = self._ping.fail(f"exit {_exit_code(error)}")
        if failed:
            self._progress.note(f"the ping was not delivered: {failed}")

    def _write_metrics(self, code: int) -> None:
        if self._file is None:
            return
        now = time.time()
        values: dict[str, float] = {
            "success": int(code == 0),
            "exit_code": code,
            "end_timestamp_seconds": now,
            "duration_seconds": now - self._started,
        }
        if self.report is not None and code == 0:
            report = self.report
            values |= {"last_success_timestamp_seconds": now, "rows": report.rows, "sessions": report.sessions}
            values |= {"new_rows": report.new, "changed_rows": report.changed, "deleted_rows": report.deleted}
            values |= {"read_bytes": report.read_bytes, "archive_bytes": report.archive_bytes}
        else:
            values |= self._kept()
        try:
            _replace(self._file, _metrics_text(values, self._archive))
        except OSError as error:
            self._progress.note(f"the metrics were not written: {translate(error, self._file).message}")

    def _kept(self) -> dict[str, float]:
        """Return the file's values of the last success, which a failure does not change."""
        kept = ("last_success_timestamp_seconds", "rows", "sessions", "archive_bytes")
        found: dict[str, float] = {}
        try:
            lines = self._file.read_text(encoding="utf-8").splitlines() if self._file else []
        except (OSError, UnicodeDecodeError):
            return {}
        for line in lines:
            name, _, value = line.rpartition(" ")
            for wanted in kept:
                if name.startswith(f"convex_msgs_sync_{wanted}{{") and _is_number(value):
                    found[wanted] = float(value)
        return found


def _metrics_text(values: dict[str, float], archive: str) -> str:
    label = archive.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    lines = []
    for name, kind, text in _METRICS:
        if name in values:
            full = f"convex_msgs_sync_{name}"
            lines += [f"# HELP {full} {text}", f"# TYPE {full} {kind}", f'{full}{{archive="{label}"}} {values[name]!r}']
    return "\n".join([*lines, ""])


def _replace(path: Path, text: str) -> None:
    """Replace a file in one step; others may read it, since it holds no chat."""
    with (
        ExitStack() as undo,
        NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8") as file,
    ):
        undo.callback(Path(file.name).unlink)
        file.write(text)
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        Path(file.name).replace(path)
        undo.pop_all()


def _exit_code(error: BaseException | None) -> int:
    if error is None:
        return int(Exit.DONE)
    if isinstance(error, ConvexMsgsError):
        return int(error.exit_code)
    return int(Exit.FAULT if isinstance(error, Exception) else Exit.INTERRUPTED)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
