"""What every store can do, and what a plan says about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from sync_tool.errors import UsageError
from sync_tool.records import Record
from sync_tool.text import plural


@dataclass(frozen=True, slots=True)
class Facts:
    """What a person should know before a store is moved."""

    product: str
    """What keeps the history, such as ``Redis``."""
    dialect: str
    """Whose layout it is and in which order, such as ``Python dialect, newest first: turned round``."""
    sessions: int | None
    """How many sessions there are; None where nobody knows without reading everything."""
    unit: str = "session"
    """What a session is called there: a list, a document, an item."""
    messages: int | None = None
    """How many messages there are, where that is known."""
    times: bool = False
    """True if the store knows when each message was written: its rows have ``_creationTime``."""
    lost: tuple[str, ...] = ()
    """What the store did not keep when LangChain wrote into it; no migration brings it back."""
    notes: tuple[str, ...] = ()
    """What else is worth a line: what was passed over, what is not exact."""

    @property
    def summary(self) -> str:
        """All of it that fits into a line: ``48,210 lists (Python dialect, newest first: turned round)``."""
        count = f"{self.unit}s" if self.sessions is None else plural(self.sessions, self.unit)
        return f"{count} ({self.dialect})"


class Store(Protocol):
    """A place where LangChain keeps histories of many sessions."""

    @property
    def title(self) -> str:
        """What a person calls it, without user and password: ``redis cache-1:6379/0, keys message_store:*``."""

    @property
    def way(self) -> str:
        """How it is read, for those who ask."""

    def facts(self) -> Facts:
        """Look at the store as a whole.

        Raises:
            Unreachable, Refused, UsageError: as `records`.
        """

    def records(self) -> Iterator[Record]:
        """Yield the messages: session after session, the oldest of a session first.

        A record is a row without ``_id``: ``{sessionId, message}`` and, where the store knows when a message
        was written, ``_creationTime`` (float64 ms, never falling within a session). One that cannot be read
        has a fault; its row then holds what is there as text, so that its session is known.

        Lazy, and within bounded memory: a long session is read in pieces where the store allows it.

        Raises:
            Unreachable: no answer.
            Refused: user or password are not accepted, or have no right to read.
            UsageError: nothing there that LangChain wrote.
        """

    def close(self) -> None:
        """Give back connections and files."""


def missing_extra(extra: str, package: str) -> UsageError:
    """Return the error for a store whose client is not installed."""
    return UsageError(
        f"reading this store needs the Python package {package}, which is not installed.",
        hint=[("install", f"pip install 'convex-msgs[{extra}]'")],
    )
