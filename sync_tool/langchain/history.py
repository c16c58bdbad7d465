"""LangChain's chat message history, kept in a Convex table."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypedDict, Unpack

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage

from sync_tool.deployment.asynchronous import AsyncClient
from sync_tool.deployment.client import Client
from sync_tool.deployment.deployment import find_url
from sync_tool.deployment.rates import DEFAULT_ROWS, Patience
from sync_tool.deployment.settings import Settings, find_target, load_settings
from sync_tool.encoding.canonical import dumps
from sync_tool.errors import UsageError
from sync_tool.keywords import strict_keywords
from sync_tool.langchain.messages import document_of, message_of
from sync_tool.langchain.session import AsyncSession, Session, SessionState, Shared
from sync_tool.rows.model import Names, Row


class Connection:
    """One deployment and the key to it, shared by any number of histories. Sends nothing by itself.

    Also a context manager, plain and asynchronous, that closes its connections.

    Args:
        url: base URL; without it the key or the environment says where.
        key: a deploy or admin key; without it the environment or `env_file` holds it.
        env_file: a file of ``NAME=value`` lines, the only place to look in.
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
        self.shared = Shared()
        """Facts about the deployment that its histories have learnt."""

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

    @cached_property
    def client(self) -> Client:
        """Client for blocking calls."""
        return Client(self._url, self._target.key.secret, self._patience)

    async def async_client(self) -> AsyncClient:
        """Return the client for asynchronous calls."""
        if "_async_client" not in self.__dict__:
            await asyncio.to_thread(lambda: self._url)  # may ask Convex for the URL
        return self._async_client

    def close(self) -> None:
        """Close the connections of blocking calls."""
        if "client" in self.__dict__:
            self.client.close()

    async def aclose(self) -> None:
        """Close all connections, of asynchronous calls those of the running event loop."""
        self.close()
        if "_async_client" in self.__dict__:
            await self._async_client.close()

    @cached_property
    def _url(self) -> str:
        return find_url(self._target, self._patience)

    @cached_property
    def _async_client(self) -> AsyncClient:
        return AsyncClient(self._url, self._target.key.secret, self._patience)


# Items of an array: the most that Convex takes.
_MOST_MESSAGES: Final = 8192
# JSON of one call; Convex takes 16 MiB of arguments.
_MOST_BYTES: Final = 12 << 20


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
        session_id: id of the session; any text.
        url: base URL of the deployment; without it the key or the environment says where.
        key: a deploy or admin key; without it the environment or `env_file` holds it.
        env_file: a file of ``NAME=value`` lines, the only place to look in.
        connection: a shared connection, instead of these three.
        names: `NameOptions`, for names other than LangChain's.

    Raises:
        UsageError: no key or URL, or ones that do not belong together, or beside a connection; a session id that is
            no text.
    """

    @strict_keywords(NameOptions)
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
            raise UsageError("a shared connection has its deployment: give it instead of url, key and env_file.")
        self._own = connection is None
        self.connection = connection or Connection(url, key=key, env_file=env_file)
        self._state = SessionState(session_id, self.names, self.connection.shared)
        self._session = Session(self._state, lambda: self.connection.client)
        self._async_session = AsyncSession(self._state, self.connection.async_client)

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
        """Yield messages, oldest first, with one page in memory.

        Args:
            last: number of the newest messages to yield, which are all held in memory.
        """
        if last is None:
            row: Row | None = None
            for page in self._session.pages():
                row = page.rows[-1] if page.rows else row
                yield from map(message_of, page.rows)
            self._state.saw(row)
            return
        newest: list[Row] = []
        for page in self._session.pages(newest_first=True, rows=_page_rows(last)):
            newest += page.rows
            if len(newest) >= last:
                break
        yield from self._oldest_first(newest, last)

    async def aiter_messages(self, last: int | None = None) -> AsyncIterator[BaseMessage]:
        """Yield messages as `iter_messages`, without blocking the event loop."""
        if last is None:
            row: Row | None = None
            async for page in self._async_session.pages():
                row = page.rows[-1] if page.rows else row
                for message in map(message_of, page.rows):
                    yield message
            self._state.saw(row)
            return
        newest: list[Row] = []
        async for page in self._async_session.pages(newest_first=True, rows=_page_rows(last)):
            newest += page.rows
            if len(newest) >= last:
                break
        for message in self._oldest_first(newest, last):
            yield message

    def _oldest_first(self, newest: list[Row], last: int) -> Iterator[BaseMessage]:
        self._state.saw(newest[0] if newest else None)
        return map(message_of, reversed(newest[:last]))

    async def aget_messages(self) -> list[BaseMessage]:
        """Return all messages, oldest first, without blocking the event loop."""
        return [message async for message in self.aiter_messages()]

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Append messages: all or none, in one transaction, and once, however often an answer is lost.

        After `Unreachable` the same call on the same object finds out whether they are stored.

        Args:
            messages: at most 8,192, and 12 MiB of them.

        Raises:
            UsageError: a message that Convex cannot hold, or too many.
            Refused: the deployment refused; nothing was written.
            Unreachable: no usable answer after retries.
        """
        documents = self._documents(messages)
        if documents:
            self._session.append(documents)

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Append messages as `add_messages`, without blocking the event loop."""
        documents = self._documents(messages)
        if documents:
            await self._async_session.append(documents)

    def clear(self) -> None:
        """Erase the session up to its present last message.

        Each call to the deployment erases a part, oldest first. An interrupted `clear` leaves the newest messages.
        """
        self._session.clear()

    async def aclear(self) -> None:
        """Erase the session as `clear`, without blocking the event loop."""
        await self._async_session.clear()

    def close(self) -> None:
        """Close the connections, unless they are shared."""
        if self._own:
            self.connection.close()

    async def aclose(self) -> None:
        """Close the connections, also those of the running event loop, unless they are shared."""
        if self._own:
            await self.connection.aclose()

    def _documents(self, messages: Sequence[BaseMessage]) -> list[bytes]:
        documents = [dumps(document_of(message, self.session_id, self.names)) for message in messages]
        size = sum(map(len, documents))
        if len(documents) > _MOST_MESSAGES or size > _MOST_BYTES:
            raise UsageError(
                f"{len(documents):,} messages of {size:,} bytes are too many for one transaction.",
                hint=[("at most", "8,192 messages and 12 MiB at a time"), ("nothing", "was written")],
            )
        return documents


def _page_rows(last: int) -> int:
    if last < 1:
        raise UsageError(f"last={last}: at least 1 message can be requested.")
    return min(last, DEFAULT_ROWS)


def _checked(session_id: Any) -> str:
    if not isinstance(session_id, str):
        raise UsageError(f"the session id {session_id!r} is not a text.")
    try:
        session_id.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the session id {session_id!r} is not valid Unicode.") from None
    return session_id


def _names(given: NameOptions) -> Names:
    usual = Names()
    return Names(
        given.get("table", usual.table),
        given.get("index", usual.index),
        given.get("session_id_field", usual.session_field),
        given.get("message_text_field_name", usual.message_field),
    )
