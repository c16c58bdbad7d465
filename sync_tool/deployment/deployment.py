"""A deployment as a source of messages."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Final, Literal
from urllib.parse import urlsplit

from sync_tool.deployment.catalog import Catalog, check_names, read_catalog
from sync_tool.deployment.client import Client
from sync_tool.deployment.functions import MODULE, FunctionsReader, FunctionsWriter
from sync_tool.deployment.http import Http
from sync_tool.deployment.loopback import is_loopback
from sync_tool.deployment.ranges import KeyRange, TimeRange, key_ranges
from sync_tool.deployment.rates import Patience
from sync_tool.deployment.reading import Reader, SelectionReader, require_session
from sync_tool.deployment.settings import Key, Target, clean_url
from sync_tool.deployment.stream import StreamReader
from sync_tool.deployment.system import SystemReader
from sync_tool.encoding.order import sort_key
from sync_tool.errors import ConvexMsgsError, Refused, UsageError, only_this_refused
from sync_tool.rows.batch import Page
from sync_tool.rows.model import Names, Position, Selection, SessionInfo
from sync_tool.rows.ports import Source
from sync_tool.rows.reading import empty_page
from sync_tool.rows.selection import session_filter, sessions_of


@dataclass(frozen=True, slots=True)
class Identity:
    """Type and name of a deployment, from ``deployment_info`` and the key."""

    type: str
    """``prod``, ``dev``, ``preview``, ``custom`` or ``self-hosted``."""
    name: str
    """The deployment's name on Convex cloud, else its host."""

    @property
    def title(self) -> str:
        """A name for people, such as ``prod tall-forest-123``."""
        return f"{self.type} {self.name}"

    @property
    def cloud(self) -> bool:
        """True on Convex cloud."""
        return self.type != "self-hosted"


def find_url(target: Target, patience: Patience) -> str:
    """Return the deployment's URL; if only the key is known, ask Convex as the official CLI does.

    The key contains neither a custom domain nor a region. Without an answer the common form is used.
    """
    if target.url:
        return target.url
    http = Http(target.provisioning_host, f"Bearer {target.key.secret}", Patience(patience.connect, 10.0, 1))
    try:
        answer = http.request("/api/deployment/url_for_key", json.dumps({"deployKey": target.key.secret}).encode())
        url = json.loads(answer.body)
        if answer.status == 200 and isinstance(url, str):
            return clean_url(url)
    except (ConvexMsgsError, ValueError, RecursionError):
        pass
    finally:
        http.close()
    return f"https://{target.key.name}.convex.cloud"


def identify(client: Client, key: Key) -> Identity:
    """Return the identity of a deployment; this is also the first use of the key.

    Raises:
        Refused: the key is wrong.
        UsageError: the key belongs to another deployment than the one at this URL.
        Unreachable: no answer.
    """
    try:
        info = client.get("/api/v1/deployment_info")
    except Refused as error:
        if not only_this_refused(error):
            _refuse_other_instance(client, key)
            raise
        info = None
    if info is None and key.type:  # a backend older than deployment_info
        return Identity(key.type, key.name)
    if isinstance(info, dict) and info.get("kind") == "cloud":
        return Identity(str(info.get("deploymentType") or key.type or "cloud"), key.name)
    return Identity("self-hosted", urlsplit(client.url).netloc)


def _refuse_other_instance(client: Client, key: Key) -> None:
    """Explain a refused key if the deployment has another name."""
    try:
        name = client.get("/instance_name", text=True)
    except ConvexMsgsError:
        return
    if isinstance(name, str) and name.strip() and name.strip() != key.name:
        raise UsageError(
            f"the key is of {key.label}, but {client.url} is {name.strip()}.",
            hint=[("either", "use the URL of the key's deployment"), ("or", f"use a key of {name.strip()}")],
        ) from None


def may_stream(client: Client) -> bool:
    """Return whether the deployment's plan includes streaming export (Pro; always on self-hosted)."""
    try:
        answer = client.http.request("/api/test_streaming_export_connection")
    except ConvexMsgsError:
        return False
    return answer.status == 200 and answer.body.strip() == b"null"


# Rows of a page of the newest messages.
RECENT_ROWS: Final = 200
# Pages of newest messages to read before the functions list all sessions, which then costs less.
_PAGES_BEFORE_LISTING: Final = 25
_PAGES_FOR_WORDS: Final = 5


def recent_sessions(reader: Reader, limit: int) -> list[SessionInfo]:
    """Return the `limit` sessions with the newest messages, newest first, with their last human words.

    Rows are read from the newest backwards. If a few long sessions hold all of the newest rows, the deployed
    functions list all sessions with their last times.
    """
    found: dict[bytes, SessionInfo] = {}
    for read, page in enumerate(reader.by_time(TimeRange(newest_first=True))):
        for row in page.rows:
            key = sort_key(row.session)
            if key not in found:
                if len(found) == limit:
                    return _with_words(reader, found)
                found[key] = SessionInfo(row.session, last=row.time)
            if row.type == "human" and found[key].words is None:
                found[key] = replace(found[key], words=row.text)
        if read == _PAGES_BEFORE_LISTING and isinstance(reader, FunctionsReader):
            listed = heapq.nlargest(limit, reader.sessions(None, None), key=lambda info: info.last or 0.0)
            known = {sort_key(info.session): replace(info, first=None) for info in listed}
            return _with_words(reader, {**known, **{key: info for key, info in found.items() if key in known}})
    return _with_words(reader, found)


def _with_words(reader: Reader, found: dict[bytes, SessionInfo]) -> list[SessionInfo]:
    newest_first = sorted(found.values(), key=lambda info: info.last or 0.0, reverse=True)
    return [_find_words(reader, info) for info in newest_first]


def _find_words(reader: Reader, info: SessionInfo) -> SessionInfo:
    """Add the last human words of a session whose newest rows held none."""
    if info.words is not None or not isinstance(info.session, str):
        return info
    pages = islice(reader.pages(KeyRange(session=info.session, newest_first=True)), _PAGES_FOR_WORDS)
    words = (row.text for page in pages for row in page.rows if row.type == "human")
    return replace(info, words=next(words, None))


Via = Literal["auto", "functions", "system"]

_SAMPLE_ROWS = 200


class Deployment(Source):
    """One table of one deployment.

    Args:
        target: the deployment, and the key to it.
        names: of its table, index and fields.
        via: the reader; ``auto`` uses the deployed functions where they exist.
        patience: timeouts, retries and rates.
        shares: an open `Deployment` of the same target, whose connections and answers are used.

    Raises:
        Refused: the key is wrong.
        UsageError: the key belongs to another deployment than the URL.
        Unreachable: no answer.
    """

    def __init__(
        self,
        target: Target,
        names: Names | None = None,
        *,
        via: Via = "auto",
        patience: Patience | None = None,
        shares: Deployment | None = None,
    ) -> None:
        self.patience = patience = patience or Patience()
        self._names = names or Names()
        self.key = target.key
        self._target = target
        self._via = via
        self._rows: int | None = None
        self._shares = shares
        if shares is None:
            target.announce()
            self.client: Client = Client(find_url(target, patience), target.key.secret, patience)
            self.identity: Identity = identify(self.client, target.key)
        else:
            self.client, self.identity = shares.client, shares.identity

    def __repr__(self) -> str:
        return f"<Deployment {self.title}>"

    @property
    def names(self) -> Names:
        """Names of its table, index and fields."""
        return self._names

    @property
    def title(self) -> str:
        """A name for people, such as ``prod tall-forest-123``."""
        return self.identity.title

    @property
    def live(self) -> bool:
        """True: the app may write at any time."""
        return True

    @cached_property
    def catalog(self) -> Catalog | None:
        """The active schema; None if the key may not read it."""
        return read_catalog(self.client) if self._shares is None else self._shares.catalog

    @cached_property
    def has_functions(self) -> bool:
        """True if ``convexMsgs`` is deployed there and the key may call it."""
        if self._shares is not None:
            return self._shares.has_functions
        try:
            self.client.query_value(f"{MODULE}:info", {})
        except Refused as error:
            if not only_this_refused(error):
                raise
            return False
        return True

    def check_names(self) -> None:
        """Check table, index and fields, as far as the key may read the schema.

        Raises:
            UsageError: no such table or index, or an index on other fields than exactly the session field.
        """
        if self.catalog is not None:
            check_names(self.client, self.catalog, self.names)

    @cached_property
    def reader(self) -> Reader:
        """Reader of this deployment; the names are checked."""
        if self._via != "system":
            with ThreadPoolExecutor(2) as pool:  # both questions travel at the same time
                answers = [pool.submit(getattr, self, name) for name in ("catalog", "has_functions")]
            for answer in answers:
                answer.result()
        self.check_names()
        if self._via == "functions" and not self.has_functions:
            raise Refused(
                f"{MODULE} is not deployed on {self.title}, or the key may not call it.",
                hint=[
                    ("without it", "--via system reads through the dashboard's queries"),
                    ("to add it", "convex-msgs init"),
                ],
            )
        return self._make_reader()

    def _make_reader(self, rows: int | None = None) -> Reader:
        kind = SystemReader if self._via == "system" or not self.has_functions else FunctionsReader
        return kind(self.client, self.names, rows)

    def through(self, via: Via) -> Deployment:
        """Return the same deployment with another reader."""
        return Deployment(self._target, self.names, via=via, patience=self.patience, shares=self)

    @property
    def method(self) -> str:
        """Which reader is used, and why."""
        if self.reader.name == "functions":
            return f"reading through {MODULE}, which is deployed there"
        why = "--via system" if self._via == "system" else f"{MODULE} is not deployed there, or not for this key"
        return f"reading through the dashboard's queries: {why}"

    @cached_property
    def may_stream(self) -> bool:
        """True if the plan includes streaming export: Pro on Convex cloud, always on self-hosted."""
        return may_stream(self.client)

    @property
    def on_this_machine(self) -> bool:
        """True for a deployment that no app of real users can depend on: a sandbox, ``npx convex dev``."""
        return is_loopback(self.client.url)

    def writer(self, bytes_per_second: float | None) -> FunctionsWriter:
        """Return a writer of messages.

        Raises:
            Refused: ``convexMsgs`` is not deployed there.
            UsageError: no such table, or no such index.
        """
        _ = self.reader  # asks for schema and functions at the same time
        if not self.has_functions:
            raise Refused(
                f"{MODULE} is not deployed on {self.title}, and messages are written through it.",
                hint=[("to add it", "convex-msgs init"), ("a whole table", "convex-msgs restore needs nothing there")],
            )
        return FunctionsWriter(self.client, self.names, bytes_per_second)

    @cached_property
    def stream(self) -> StreamReader:
        """Reader of the stream of changes; `StreamReader.check` raises where the deployment has none."""
        return StreamReader(self.client, self.names, self.patience.bytes_per_second)

    def pages(
        self, selection: Selection, resume: Position | None = None, *, missing_ok: bool = False
    ) -> Iterator[Page]:
        """Yield the selected rows in session order (`Source`)."""
        return self._selections().pages(selection, resume, missing_ok=missing_ok)

    def resolve(self, selection: Selection) -> Selection | None:
        """Return the selection with `active_after` replaced by the ids of those sessions; None if there are none."""
        return self._selections().resolve(selection)

    def next_time(self, since: float) -> float | None:
        """Return the first creation time at or after `since`, ms since 1970; None if there is none."""
        page = next(self._make_reader(1).by_time(TimeRange(after=since)), None)
        return page.rows[0].time if page and page.rows else None

    def in_time_order(self, after: float | None) -> Iterator[Page]:
        """Yield the rows of all sessions created at `after` (ms since 1970; None: ever) or later, by creation time."""
        return self._selections().by_time(TimeRange(after=after))

    def _selections(self) -> SelectionReader:
        return SelectionReader(self.reader, self.names, self.patience, self._last_count)

    def list_sessions(self, selection: Selection, *, count: bool = False) -> Iterator[SessionInfo]:
        """Yield the selected sessions in order; reads their messages only where it must."""
        if count or selection.windowed or selection.active_after is not None:
            yield from sessions_of(self.pages(selection))
            return
        chosen = session_filter(selection)
        if selection.sessions:
            for session in filter(chosen, dict.fromkeys(sorted(selection.sessions, key=sort_key))):
                info = self.reader.session(session)
                if info.first is None:
                    require_session(self.reader, session)
                yield info
            return
        for where in key_ranges(selection):
            yield from (info for info in self.reader.sessions(where.first, where.stop) if chosen(info.session))

    def recent_sessions(self, limit: int) -> list[SessionInfo]:
        """Return the `limit` sessions with the newest messages, newest first, with their last human words."""
        _ = self.reader  # checks the names
        return recent_sessions(self._make_reader(RECENT_ROWS), limit)

    def sample(self) -> Page:
        """Return a few rows, from which sizes are estimated."""
        _ = self.reader  # checks the names
        return next(self._make_reader(_SAMPLE_ROWS).by_time(TimeRange()), empty_page())

    def count(self) -> int | None:
        """Return the table's row count from the deployment's statistics; None if the key may not read it."""
        try:
            self._rows = int(self.client.query_value("_system/cli/tableSize", {"tableName": self.names.table}))
        except Refused as error:
            if not only_this_refused(error):
                raise
            self._rows = None
        return self._rows

    def _last_count(self) -> int | None:
        return self.count() if self._rows is None else self._rows

    def close(self) -> None:
        """Close all connections."""
        self.client.close()
