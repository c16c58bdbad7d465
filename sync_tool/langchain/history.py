"""LangChain's chat message history, kept in a Convex table."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypedDict, TypeVar, Unpack

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage

from sync_tool.deployment.asynchronous import AsyncClient
from sync_tool.deployment.client import Client
from sync_tool.deployment.deployment import find_url
from sync_tool.deployment.http import DEFAULT_ROWS, Patience
from sync_tool.deployment.settings import Settings, find_target, load_settings
from sync_tool.encoding.canonical import dumps
from sync_tool.errors import UsageError
from sync_tool.langchain.messages import document_of, message_of
from sync_tool.langchain.session import Document, Session
from sync_tool.langchain.steps import Functions, Steps, drive, drive_async
from sync_tool.rows.model import Names, Page, Row

# A deployment as chat memory: the connections that any number of histories share.

T = TypeVar("T")


class Connection:
    """One deployment and the key to it. Nothing is sent before something is asked.

    Also a context manager, plain and asynchronous, that closes its connections.

    Args:
        url: base URL; without it the key or the environment says where.
        key: a deploy or admin key; without it the environment or `env_file` holds it.
        env_file: a file of ``NAME=value`` lines that alone is looked at.
        key_command: a shell command that prints the key.
        patience: timeouts and attempts.

    Raises:
        UsageError: no key or URL, or ones that do not belong together.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        env_file: str | Path | None = None,
        key_command: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        settings = Settings({}) if key is not None and url is not None else load_settings(env_file)
        if key is not None:
            settings, key_command = settings.with_key(key), None
        self._target = find_target(settings, url, key_command)
        self._patience = patience or Patience()
        self.functions = Functions()
        """Which functions of ours the deployment has, as far as that is known."""

    def __repr__(self) -> str:
        return f"<Connection {self._target.key.label}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def run(self, steps: Steps[T]) -> T:
        """Do something, and wait for it."""
        return drive(steps, self._client.call)

    async def arun(self, steps: Steps[T]) -> T:
        """Do something without blocking the event loop."""
        if "_async_client" not in self.__dict__:
            await asyncio.to_thread(lambda: self._url)  # may ask Convex where the deployment is
        return await drive_async(steps, self._async_client.call)

    def close(self) -> None:
        """Close the connections of blocking calls."""
        if "_client" in self.__dict__:
            self._client.close()

    async def aclose(self) -> None:
        """Close all connections, of asynchronous calls those of the running event loop."""
        self.close()
        if "_async_client" in self.__dict__:
            await self._async_client.close()

    @cached_property
    def _url(self) -> str:
        return find_url(self._target, self._patience)

    @cached_property
    def _client(self) -> Client:
        return Client(self._url, self._target.key.secret, self._patience)

    @cached_property
    def _async_client(self) -> AsyncClient:
        return AsyncClient(self._url, self._target.key.secret, self._patience)


_MOST_MESSAGES: Final = 8192
"""As many items as an array of Convex holds."""
_MOST_BYTES: Final = 12 << 20
"""Of JSON in one call; Convex takes 16 MiB of arguments."""


class NameOptions(TypedDict, total=False):
    """JavaScript's options for names, in Python's spelling."""

    table: str
    """The table; ``messages`` without it."""
    index: str
    """Its index on exactly the session field; ``bySessionId`` without it."""
    session_id_field: str
    """The field that holds the session id; ``sessionId`` without it."""
    message_text_field_name: str
    """The field that holds the message, which is an object; ``message`` without it."""


class ConvexChatMessageHistory(BaseChatMessageHistory):
    """The messages of one session in a Convex table, as JavaScript's class of the same name keeps them.

    Both languages may use the same session. Reading needs only a key. Writing needs ``convexMsgs.ts`` deployed
    (``convex-msgs init``): `add_messages` is one transaction, which the accessors of JavaScript cannot give.

    ::

        history = ConvexChatMessageHistory("cust-42", env_file=".env.msgs")
        history.add_messages([HumanMessage("Hi! I'm Jim."), AIMessage("Hello Jim!")])
        history.messages

    An object is for one conversation at a time: not for several threads, nor for two operations at once.

    Args:
        session_id: which session; any text.
        url: base URL of the deployment; without it the key or the environment says where.
        key: a deploy or admin key; without it the environment or `env_file` holds it.
        env_file: a file of ``NAME=value`` lines that alone is looked at.
        connection: in the place of these three, a connection that several histories share.
        names: `NameOptions`, for names other than LangChain's.

    Raises:
        UsageError: no key or URL, or ones that do not belong together, or beside a connection; a session id that is
            no text.
    """

    def __init__(
        self,
        session_id: str,
        *,
        url: str | None = None,
        key: str | None = None,
        env_file: str | Path | None = None,
        connection: Connection | None = None,
        **names: Unpack[NameOptions],
    ) -> None:
        super().__init__()
        self.session_id = _checked(session_id)
        self.names = _names(names)
        if connection is not None and (url, key, env_file) != (None, None, None):
            raise UsageError(
                "a shared connection knows its deployment: it stands in the place of url, key and env_file."
            )
        self._own = connection is None
        self.connection = connection or Connection(url, key=key, env_file=env_file)
        self._session = Session(session_id, self.names, self.connection.functions)

    def __repr__(self) -> str:
        return f"<ConvexChatMessageHistory {self.session_id!r} {self.connection!r}>"

    @property
    def messages(self) -> list[BaseMessage]:
        """All messages, oldest first.

        Raises:
            Damaged: a row that holds no message.
            Refused: the deployment refused.
            Unreachable: no usable answer after retries.
        """
        return list(self.iter_messages())

    @messages.setter
    def messages(self, _: list[BaseMessage]) -> None:
        raise AttributeError("messages are changed with add_messages() and clear()")

    def iter_messages(self, last: int | None = None) -> Iterator[BaseMessage]:
        """Yield messages, oldest first, a page at a time in memory.

        Args:
            last: only so many, the newest ones; that many are in memory at once.
        """
        taking = _Taking(self._session, last)
        while not taking.done:
            yield from taking.take(self.connection.run(taking.reading.next_page()))
        yield from taking.rest()

    async def aiter_messages(self, last: int | None = None) -> AsyncIterator[BaseMessage]:
        """Yield messages as `iter_messages`, without blocking the event loop."""
        taking = _Taking(self._session, last)
        while not taking.done:
            for message in taking.take(await self.connection.arun(taking.reading.next_page())):
                yield message
        for message in taking.rest():
            yield message

    async def aget_messages(self) -> list[BaseMessage]:
        """Return all messages, oldest first, without blocking the event loop."""
        return [message async for message in self.aiter_messages()]

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Append messages: all or none, in one transaction, and once, however often an answer is lost.

        If no usable answer came at all, the same call on the same object finds out whether they were stored.

        Args:
            messages: at most 8,192, and 12 MiB of them.

        Raises:
            UsageError: a message that Convex cannot hold, or too many.
            Refused: the deployment refused; nothing was written.
            Unreachable: no usable answer after retries.
        """
        documents = self._documents(messages)
        if documents:
            self.connection.run(self._session.append(documents))

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Append messages as `add_messages`, without blocking the event loop."""
        documents = self._documents(messages)
        if documents:
            await self.connection.arun(self._session.append(documents))

    def clear(self) -> None:
        """Erase the session, however long it is, up to the message that is its last one now.

        Each call to the deployment erases a part, oldest first: stopped in between, the newest messages are left.
        """
        self.connection.run(self._session.clear())

    async def aclear(self) -> None:
        """Erase the session as `clear`, without blocking the event loop."""
        await self.connection.arun(self._session.clear())

    def close(self) -> None:
        """Close the connections, unless they are shared."""
        if self._own:
            self.connection.close()

    async def aclose(self) -> None:
        """Close the connections, also those of the running event loop, unless they are shared."""
        if self._own:
            await self.connection.aclose()

    def _documents(self, messages: Sequence[BaseMessage]) -> list[Document]:
        documents = [document_of(message, self.session_id, self.names) for message in messages]
        size = sum(len(dumps(document)) for document in documents)
        if len(documents) > _MOST_MESSAGES or size > _MOST_BYTES:
            raise UsageError(
                f"{len(documents):,} messages of {size:,} bytes are too many for one transaction.",
                hint=[("at most", "8,192 messages and 12 MiB at a time"), ("nothing", "was written")],
            )
        return documents


class _Taking:
    """The messages of one reading: all, oldest first, or the newest few, which must be turned round.

    Args:
        session: which session.
        last: only so many; None for all.
    """

    def __init__(self, session: Session, last: int | None) -> None:
        if last is not None and last < 1:
            raise UsageError(f"last={last}: at least 1 message can be asked for.")
        self._session = session
        self._last = last
        self._newest: list[Row] = []
        """With `last` all rows, newest first; without it only the one that was read last."""
        rows = DEFAULT_ROWS if last is None else min(last, DEFAULT_ROWS)
        self.reading = session.reading(newest_first=last is not None, rows=rows)

    @property
    def done(self) -> bool:
        """True if no page is needed any more."""
        return self.reading.done or (self._last is not None and len(self._newest) >= self._last)

    def take(self, page: Page) -> Iterator[BaseMessage]:
        """Take a page; yield what can be said already."""
        if self._last is None:
            self._newest = page.rows[-1:] or self._newest
        else:
            self._newest += page.rows
        if self.done:
            self._session.saw_tail(self._newest[0] if self._newest else None)
        return map(message_of, page.rows if self._last is None else ())

    def rest(self) -> Iterator[BaseMessage]:
        """Yield what could not be said before all pages were there."""
        return map(message_of, reversed(self._newest[: self._last])) if self._last is not None else iter(())


def _checked(session_id: Any) -> str:
    if not isinstance(session_id, str):
        raise UsageError(f"the session id {session_id!r} is not a text.")
    try:
        session_id.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the session id {session_id!r} is not valid Unicode.") from None
    return session_id


def _names(given: NameOptions) -> Names:
    unknown = sorted(given.keys() - NameOptions.__optional_keys__)
    if unknown:
        known = ", ".join(NameOptions.__annotations__)
        raise TypeError(f"ConvexChatMessageHistory has no option {unknown[0]!r}; there are {known}.")
    usual = Names()
    return Names(
        given.get("table", usual.table),
        given.get("index", usual.index),
        given.get("session_id_field", usual.session_field),
        given.get("message_text_field_name", usual.message_field),
    )
