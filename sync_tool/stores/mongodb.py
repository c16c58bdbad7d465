"""MongoDB: one document a message (Python), or one document a session (JavaScript).

Layouts: langchain-mongodb 0.12.1 ``chat_message_histories.py`` (database ``chat_history``, collection
``message_store``, ``{SessionId, History}`` with History as JSON text); @langchain/mongodb 1.3.1 ``chat_history``
(``{sessionId, messages: [{type, data}]}``, native).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from sync_tool.errors import ConvexMsgsError, Refused, Unreachable, UsageError
from sync_tool.messages.records import Record
from sync_tool.stores.addresses import Address
from sync_tool.stores.store import Builder, Facts, missing_extra, number
from sync_tool.text import one_line, plural

if TYPE_CHECKING:
    from pymongo.collection import Collection

SCHEMES: Final = ("mongodb", "mongodb+srv")
_DATABASE: Final = "chat_history"
_COLLECTION: Final = "message_store"
_PYTHON: Final = ("SessionId", "History")
_JAVASCRIPT: Final = ("sessionId", "messages")
_REFUSING: Final = frozenset({13, 18, 8000})
"""Unauthorized, AuthenticationFailed, AtlasError (src/mongo/base/error_codes.yml of mongodb/mongo)."""
_PATIENCE: Final = ("serverSelectionTimeoutMS", "connectTimeoutMS")
_DOCUMENTS: Final = 100
"""Documents a batch: JavaScript's hold a whole session, of at most 16 MiB."""


class MongoMessages:
    """The histories in one collection.

    Args:
        address: the database in its path (``chat_history`` if none), the collection behind ``#``
            (``message_store`` if none).
        collection: an open collection, instead of connecting to `address`.

    Raises:
        UsageError: pymongo is not installed, the URL cannot be read, or the collection holds no history.
        Unreachable: no answer.
        Refused: user, password or rights.
    """

    def __init__(self, address: Address, collection: Collection[dict[str, Any]] | None = None) -> None:
        self._host = f"mongodb {address.place.partition('/')[0]}"
        self._collection = _connect(address, self._host) if collection is None else collection
        self.title = one_line(f"{self._host}/{self._collection.database.name}, collection {self._collection.name}")
        try:
            self._javascript = self._look()
        except ConvexMsgsError:
            self.close()
            raise
        self._key, self._field = _JAVASCRIPT if self._javascript else _PYTHON
        self.method = f"documents that have {self._field}, in order of {self._key} and _id"

    def facts(self) -> Facts:
        """Count the sessions and name the layout."""
        stages: list[dict[str, Any]] = [
            {"$match": self._wanted()},
            {"$group": {"_id": f"${self._key}"}},
            {"$group": {"_id": None, "sessions": {"$sum": 1}}},
        ]
        with self._translated():
            found = list(self._collection.aggregate(stages, allowDiskUse=True))
            count = self._collection.count_documents(self._wanted())
            others = self._collection.count_documents({self._field: {"$exists": False}})
        notes = [f"{plural(others, 'document')} skipped: without {self._field}"] if others else []
        sessions = int(found[0]["sessions"]) if found else 0
        if self._javascript:
            lost = ("when messages were written", "whether a field was undefined: it was stored as null")
            return Facts(
                "MongoDB", "JavaScript dialect, one document a session", sessions, lost=lost, notes=tuple(notes)
            )
        notes.append("times are those of _id, in whole seconds")
        return Facts(
            "MongoDB",
            "Python dialect, one document a message, in order of _id",
            sessions,
            messages=count,
            times=True,
            notes=tuple(notes),
        )

    def records(self) -> Iterator[Record]:
        """Yield the messages; see `Store.records`."""
        builder = Builder()
        with self._translated():
            found = self._collection.find(self._wanted(), {self._key: 1, self._field: 1})
            ordered = found.sort([(self._key, 1), ("_id", 1)]).batch_size(_DOCUMENTS)
            if hasattr(ordered, "allow_disk_use"):
                ordered = ordered.allow_disk_use(True)
            for document in ordered:
                session = _session(document.get(self._key))
                if self._javascript:
                    yield from _of_session(builder, session, document)
                else:
                    yield _of_message(builder, session, document)

    def close(self) -> None:
        """Close the connection."""
        self._collection.database.client.close()

    def _wanted(self) -> dict[str, Any]:
        return {self._field: {"$exists": True}}

    def _look(self) -> bool:
        """Return True for JavaScript's layout, by the first document of either."""
        with self._translated():
            for javascript, (key, field) in ((False, _PYTHON), (True, _JAVASCRIPT)):
                if self._collection.find_one({key: {"$exists": True}, field: {"$exists": True}}) is not None:
                    return javascript
        raise UsageError(
            f"{self.title} holds no chat history of LangChain.",
            hint=[("another", "mongodb://HOST/DATABASE#COLLECTION")],
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with mongo_errors(self._host):
            yield


@contextmanager
def mongo_errors(host: str) -> Iterator[None]:
    """Turn what pymongo raises into errors of this tool. Of long texts only the first sentence is kept."""
    from pymongo import errors

    try:
        yield
    except errors.OperationFailure as error:
        said = one_line(str((error.details or {}).get("errmsg", "the server refused")))
        raise Refused(
            f"{host} refused: {said}.",
            code=str(error.code or ""),
            hint=[("a user", "needs the right to read; with a password: env:NAME")] if error.code in _REFUSING else [],
        ) from None
    except errors.ConnectionFailure as error:
        said = one_line(str(error)).partition(",")[0].partition(" (configured")[0]
        raise Unreachable(f"{host} does not answer: {said}.") from None
    except errors.PyMongoError as error:
        raise UsageError(f"{host} cannot be read: {type(error).__name__}.") from None


def _connect(address: Address, host: str) -> Collection[dict[str, Any]]:
    try:
        from pymongo import MongoClient
    except ImportError:
        raise missing_extra("mongo", "pymongo") from None
    try:
        with mongo_errors(host):
            patience: dict[str, Any] = {name: 10_000 for name in _PATIENCE if name.lower() not in address.url.lower()}
            client: MongoClient[dict[str, Any]] = MongoClient(address.url, tz_aware=True, **patience)
            database = client.get_default_database(default=_DATABASE)
            return database[address.part or _COLLECTION]
    except (ValueError, TypeError):
        raise UsageError(f"{host}: the URL cannot be read.") from None


def _of_message(builder: Builder, session: str | None, document: Mapping[str, Any]) -> Record:
    from bson import ObjectId

    key, history = document["_id"], document["History"]
    time = key.generation_time.timestamp() * 1000 if isinstance(key, ObjectId) else None
    if isinstance(history, str):
        return builder.text(session, history, f"_id {key}", time)
    return builder.value(session, _plain(history), f"_id {key}", time)


def _of_session(builder: Builder, session: str | None, document: Mapping[str, Any]) -> Iterator[Record]:
    where = f"_id {document['_id']}"
    messages = document["messages"]
    if not isinstance(messages, list):
        yield builder.unreadable(session, repr(messages), where, "unreadable", "messages is no array")
        return
    for index, message in enumerate(messages):
        yield builder.value(session, _plain(message), f"{where} messages[{index}]")


def _session(value: Any) -> str | None:
    """Return a session id as text: apps also use ObjectIds, UUIDs and numbers."""
    return None if value is None or isinstance(value, dict | list) else str(value)


def _plain(value: Any) -> Any:
    """Return a BSON value as JSON has it; dates and ids as the text that JavaScript makes of them."""
    from bson import Decimal128, Int64, ObjectId

    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Int64):
        return int(value)
    if isinstance(value, Decimal128):
        return number(str(value))
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, ObjectId):
        return str(value)
    if hasattr(value, "isoformat"):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value
