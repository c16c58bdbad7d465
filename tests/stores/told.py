"""Every store and dialect, with a conversation that LangChain's own class wrote and can read back."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import boto3
import mongomock
import pytest
from langchain_core.messages import BaseMessage, messages_from_dict

import sync_tool as cm
from importing import Target
from stores.conversation import CONVERSATION, parsed, quietly
from stores.javascript import load, write
from sync_tool.commands.history import History
from sync_tool.stores.mongodb import MongoMessages
from sync_tool.stores.opening import StoreRows

Sessions = dict[str, list[Any]]
SESSIONS = ("cust-1", "Cust-1", "team a 1 é")


@dataclass(frozen=True)
class Told:
    """A store in which somebody talked."""

    address: str
    """As `migrate` takes it; empty where there is only `opened`."""
    say: Callable[[], None]
    """Lets LangChain's class write all sessions once more."""
    read: Callable[[], Sessions]
    """Messages that LangChain's class reads, by session."""
    language: Literal["js", "python"]
    opened: Callable[[], History] | None = None

    def history(self) -> History:
        """Open the store as the library does."""
        return cm.open(self.address) if self.opened is None else self.opened()

    def loaded(self, stored: dict[str, list[dict[str, Any]]]) -> Sessions:
        """Return what LangChain makes of messages as they are stored in Convex."""
        if self.language == "js":
            return load(stored)
        return {session: messages_from_dict(messages) for session, messages in stored.items()}

    def there(self, target: Target) -> Sessions:
        """Return what LangChain reads from a deployment, of the sessions that are here."""
        return self.loaded({session: [row["message"] for row in target.rows(session)] for session in self.read()})

    def migrate(self, target: Target, **keywords: Any) -> cm.ImportReport:
        """Migrate by the library, for the language that the messages are of."""
        with self.history() as source, target.connected() as there:
            return cm.migrate(
                self.address or source, there, **{"language": self.language, "level": "loadable", **keywords}
            )

    def differences(self, target: Target) -> cm.DiffReport:
        """Compare the store with a deployment."""
        with self.history() as source, target.connected() as there:
            return cm.diff(source, there)


def _python(address: str, history: Callable[[str], Any], sessions: tuple[str, ...] = SESSIONS, **more: Any) -> Told:
    """Let a Python class talk: the second session has less than the others."""

    def say() -> None:
        with quietly():
            for number, session in enumerate(sessions):
                history(session).add_messages(CONVERSATION[:2] if number == 1 else CONVERSATION)

    def read() -> Sessions:
        with quietly():
            return {session: list[BaseMessage](history(session).messages) for session in sessions}

    say()
    return Told(address, say, read, "python", **more)


def _javascript(address: str, store: str, **where: Any) -> Told:
    return _javascript_by(lambda: write(store, **where), address)


def _javascript_by(run: Callable[[], dict[str, Any]], address: str, **more: Any) -> Told:
    now: Sessions = {}

    def say() -> None:
        now.update(run()["read"])

    say()
    return Told(address, say, lambda: now, "js", **more)


class Stores:
    """Makes them, for one test."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path, stack: ExitStack) -> None:
        self._request = request
        self._folder = folder
        self._stack = stack

    def _fixture(self, name: str) -> Any:
        return self._request.getfixturevalue(name)

    def files_of_python(self) -> Told:
        from langchain_community.chat_message_histories import FileChatMessageHistory

        folder = self._folder / "chats"
        folder.mkdir()
        return _python(str(folder), lambda session: FileChatMessageHistory(str(folder / f"{session}.json")))

    def file_of_javascript(self) -> Told:
        path = str(self._folder / "history.json")
        return _javascript(path, "file", user="", path=path)

    def sqlite(self) -> Told:
        url = f"sqlite:///{self._folder}/chats.db"
        return _python(url, self._alchemy(url))

    def postgres_of_python(self) -> Told:
        url = self._fixture("postgres_url")
        return _python(url, self._alchemy(url.replace("postgresql://", "postgresql+psycopg://")))

    def _alchemy(self, url: str) -> Callable[[str], Any]:
        import sqlalchemy
        from langchain_community.chat_message_histories import SQLChatMessageHistory

        engine = sqlalchemy.create_engine(url)
        self._stack.callback(engine.dispose)
        return lambda session: SQLChatMessageHistory(session, connection=engine)

    def langchain_postgres(self) -> Told:
        import psycopg
        from langchain_postgres import PostgresChatMessageHistory

        url = self._fixture("postgres_url")
        connection = self._stack.enter_context(psycopg.connect(url, autocommit=True))
        PostgresChatMessageHistory.create_tables(connection, "chats")

        def history(session: str) -> Any:
            return PostgresChatMessageHistory("chats", session, sync_connection=connection)

        return _python(f"{url}#chats", history, tuple(str(uuid.uuid4()) for _ in range(3)))

    def postgres_of_javascript(self) -> Told:
        url, folder = self._fixture("postgres_url"), self._fixture("postgres_folder")
        return _javascript(url, "postgres", host=str(folder), database="chats")

    def redis_of_python(self) -> Told:
        from langchain_community.chat_message_histories import RedisChatMessageHistory

        url = self._fixture("redis_url")

        def history(session: str) -> Any:
            made = RedisChatMessageHistory(session, url=url)
            self._stack.callback(made.redis_client.close)
            return made

        return _python(url, history)

    def redis_of_javascript(self) -> Told:
        return self._redis_lists("redis")

    def ioredis_of_javascript(self) -> Told:
        return self._redis_lists("ioredis")

    def _redis_lists(self, client: str) -> Told:
        url, socket = self._fixture("redis_url"), self._fixture("redis_socket")
        return _javascript(url, client, socket=str(socket), db=3)

    def mongodb_of_python(self) -> Told:
        with quietly():
            from langchain_mongodb import MongoDBChatMessageHistory

            class Client(mongomock.MongoClient):
                def append_metadata(self, *_: Any) -> None: ...

            client = self._stack.enter_context(Client())
        return _python(
            "",
            lambda session: MongoDBChatMessageHistory(None, session, client=client),
            opened=_in_memory(client["chat_history"]["message_store"]),
        )

    def mongodb_of_javascript(self) -> Told:
        with quietly():
            client: Any = self._stack.enter_context(mongomock.MongoClient())
        collection = client["chat_history"]["message_store"]

        def run() -> dict[str, Any]:
            found = write("mongodb", documents=list(collection.find({}, {"_id": 0})))
            collection.delete_many({})
            collection.insert_many(found["documents"])
            return found

        return _javascript_by(run, "", opened=_in_memory(collection))

    def dynamodb_of_python(self) -> Told:
        from langchain_community.chat_message_histories import DynamoDBChatMessageHistory

        self._table("SessionId")
        return _python(
            "dynamodb://eu-central-1/chats",
            lambda session: DynamoDBChatMessageHistory("chats", session, coerce_float_to_decimal=True),
        )

    def dynamodb_of_javascript(self) -> Told:
        self._table("id")
        where = {"endpoint": self._fixture("dynamodb_url"), "table": "chats"}
        # This class does not keep tool_call_id, without which it cannot read a tool's message itself.
        return _javascript("dynamodb://eu-central-1/chats", "dynamodb", **where, without="tool")

    def _table(self, key: str) -> None:
        assert self._fixture("dynamodb_url")
        boto3.resource("dynamodb").create_table(
            TableName="chats",
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )


KINDS = tuple(name for name in vars(Stores) if not name.startswith("_"))


@contextmanager
def telling(kind: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[Told]:
    """Have a conversation told in a new store of a kind."""
    with ExitStack() as stack:
        with quietly():
            told: Told = getattr(Stores(request, folder, stack), kind)()
        yield told


def _in_memory(collection: Any) -> Callable[[], History]:
    """Open a collection of mongomock, which has no server whose address could be given."""
    address = parsed("mongodb://mongo-1:27017/chat_history")

    class Kept(MongoMessages):
        def close(self) -> None: ...

    return lambda: History(StoreRows(Kept(address, collection)))
