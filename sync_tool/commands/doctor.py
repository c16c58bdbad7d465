"""``doctor``: checks whether and how a deployment can be reached and read."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal

from sync_tool.commands.opening import Openable, opened_deployment
from sync_tool.deployment.catalog import DOCUMENTED, OTHER, schema_level
from sync_tool.deployment.deployment import Deployment
from sync_tool.errors import ConvexMsgsError, Exit, NoStreaming, Refused, only_this_refused
from sync_tool.keywords import strict_keywords

Verdict = Literal["ok", "--", "warn", "fail"]

_VIEW: Final = "deployment:data:view"
# Days between two reads of a stream that Convex recommends at most.
_COMFORTABLE_DAYS: Final = 3

_OPERATIONS: Final = {"ViewData": _VIEW, "view_data": _VIEW}


@dataclass(frozen=True, slots=True)
class DoctorFinding:
    """Result of one check."""

    verdict: Verdict
    """``ok``; ``--`` absent and not needed; ``warn``; ``fail``."""
    text: str


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """Results of all checks; the object that ``--json`` prints."""

    deployment: str
    url: str
    findings: tuple[DoctorFinding, ...]
    exit_code: int
    """0, or the code of the first failure."""


@strict_keywords()
def doctor(place: Openable) -> DoctorReport:
    """DoctorFinding everything that reading and writing need.

    Args:
        place: a deployment: its address, or a source from `connect` (which has already checked URL and key).

    Raises:
        NotSupported: no deployment.
        Unreachable: no answer.
    """
    with opened_deployment(place, "doctor checks deployments, not files.") as deployment:
        return _examined(deployment)


def _examined(deployment: Deployment) -> DoctorReport:
    with ThreadPoolExecutor() as pool:  # these checks do not depend on each other
        reach, key = pool.submit(_reach, deployment), pool.submit(_key, deployment)
        table, readers = pool.submit(_checked_table, deployment), pool.submit(_readers, deployment)
    about_table, code = table.result()
    findings = (reach.result(), key.result(), *about_table, *readers.result())
    return DoctorReport(deployment.title, deployment.client.url, findings, int(code))


def _checked_table(deployment: Deployment) -> tuple[list[DoctorFinding], Exit]:
    try:
        deployment.check_names()
        return list(_table(deployment)), Exit.DONE
    except ConvexMsgsError as error:
        advice = "; ".join(f"{label}: {text}" for label, text in error.hint_lines)
        return [DoctorFinding("fail", f"{error.message} {advice}".rstrip())], error.exit_code


def _reach(deployment: Deployment) -> DoctorFinding:
    try:
        version = deployment.client.get("/version", text=True)
    except ConvexMsgsError:
        version = None
    backend = f", backend {version}" if isinstance(version, str) and version.strip() not in ("", "unknown") else ""
    identity = deployment.identity
    who = identity.title if identity.cloud else identity.type
    return DoctorFinding("ok", f"{deployment.client.url}  {who}{backend}")


def _key(deployment: Deployment) -> DoctorFinding:
    try:
        answer = deployment.client.get("/api/check_admin_key")
    except ConvexMsgsError as error:
        return DoctorFinding("fail", f"key: {error.message}")
    allowed = answer.get("allowedOps") if isinstance(answer, dict) else None
    if allowed:
        names = ", ".join(_OPERATIONS.get(str(name), str(name)) for name in allowed)
        return DoctorFinding("ok", f"key: {names} (reading needs {_VIEW})")
    if isinstance(answer, dict) and answer.get("isReadOnly"):
        return DoctorFinding("ok", "key: read-only")
    return DoctorFinding("ok", f"key: full rights (reading needs only {_VIEW})")


def _table(deployment: Deployment) -> Iterator[DoctorFinding]:
    names = deployment.names
    rows = deployment.count()
    counted = "" if rows is None else f", {rows:,} rows (statistics)"
    text = f"table {names.table}, index {names.index}{counted}"
    if deployment.catalog is None:
        yield DoctorFinding("warn", f"{text}; the key may not read the schema")
        return
    level = schema_level(deployment.catalog, names)
    yield DoctorFinding("ok", f"{text}, schema level {level}" if level != OTHER else f"{text}, a schema of your own")
    if level == DOCUMENTED:
        yield DoctorFinding(
            "warn",
            "the schema takes only the four documented fields: every message of @langchain/core 0.1.46 or newer "
            "is refused (data: v.any() takes all)",
        )


def _readers(deployment: Deployment) -> list[DoctorFinding]:
    with ThreadPoolExecutor() as pool:
        streaming, plan = pool.submit(_streaming, deployment), pool.submit(_plan, deployment)
        system, functions = pool.submit(_system, deployment), pool.submit(_functions, deployment)
    return [*streaming.result()[:1], system.result(), functions.result(), *streaming.result()[1:], *plan.result()]


def _system(deployment: Deployment) -> DoctorFinding:
    try:
        deployment.client.query_value("_system/cli/tables", {"paginationOpts": {"numItems": 1.0, "cursor": None}})
    except Refused as error:
        if not only_this_refused(error):
            raise
        return DoctorFinding("--", f"read: system queries refused: {error.message}")
    return DoctorFinding("ok", "read: system queries (nothing needs to be deployed)")


def _functions(deployment: Deployment) -> DoctorFinding:
    if deployment.has_functions:
        return DoctorFinding("ok", "read: functions (convexMsgs is deployed)")
    return DoctorFinding("--", "read: functions not deployed; not needed for reading (to add them: convex-msgs init)")


def _plan(deployment: Deployment) -> list[DoctorFinding]:
    if not deployment.identity.cloud:
        return []
    if deployment.may_stream:
        return [DoctorFinding("ok", "plan: streaming export included; reading is not capped")]
    return [DoctorFinding("--", "plan: no streaming export; reading more than 200 MB needs --max-read")]


def _streaming(deployment: Deployment) -> list[DoctorFinding]:
    try:
        deployment.stream.check()
    except Refused as error:
        if not (isinstance(error, NoStreaming) or only_this_refused(error)):
            raise
        needed = "".join(f"; needed: {text}" for label, text in error.hint_lines if label == "needed")
        return [DoctorFinding("--", f"read: no streaming: {error.message.rstrip('.')}{needed}")]
    return [DoctorFinding("ok", "read: streaming (edits and deletions seen, one moment)"), _retention(deployment)]


def _retention(deployment: Deployment) -> DoctorFinding:
    """DoctorFinding for how long a cursor stays valid, which decides how often to sync."""
    days = deployment.stream.kept_days()
    setting = "" if deployment.identity.cloud else " (DOCUMENT_RETENTION_DELAY)"
    if days is None:
        text = f"this backend does not tell how long it keeps changes{setting}"
        return DoctorFinding("--", f"{text}: sync at least daily, else a full pass may follow")
    if days >= _COMFORTABLE_DAYS:
        return DoctorFinding("ok", f"changes are kept at least {days} days here{setting}")
    kept = "less than a day" if days == 0 else "1 day" if days == 1 else f"{days} days"
    often = "at least daily" if days > 1 else "every few hours" if days else "more often than that"
    return DoctorFinding("warn", f"changes are kept {kept} here{setting}: sync {often}, else a full pass follows")
