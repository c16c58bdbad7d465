"""Redis: one list a session, the newest message at its head.

Layouts: langchain-community 0.4.2, ``chat_message_histories/redis.py`` (keys begin with ``message_store:``, or
the ``key_prefix`` of the app); @langchain/community 1.1.29 ``stores/message/ioredis`` and @langchain/redis 1.1.2
(the key is the session id itself). Both LPUSH one JSON text a message.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from sync_tool.errors import ConvexMsgsError, OutputError, Refused, Unreachable, UsageError
from sync_tool.messages.records import Record
from sync_tool.stores.addresses import Address
from sync_tool.stores.store import Builder, Facts, missing_extra
from sync_tool.text import one_line, plural

if TYPE_CHECKING:
    from redis import Redis

SCHEMES: Final = ("redis", "rediss", "unix")
PREFIX: Final = "message_store:"
"""Prefix of the keys that Python's LangChain writes."""
_ANY: Final = "*"
_PIECES: Final = (16, 500)
"""Messages in the first call for a list, and at most in any."""
_PIECE_BYTES: Final = 1 << 20
"""Aim for the later answers of a list, by the size of its messages so far."""
_KEYS_A_SCAN: Final = 1000
_GLOB: Final = str.maketrans({letter: f"\\{letter}" for letter in "\\?[]"})
_SECONDS: Final = {"socket_connect_timeout": 10, "socket_timeout": 60}


class RedisLists:
    """The lists of one Redis database whose keys begin with a prefix.

    Args:
        address: behind ``#`` a prefix that is no part of the session id (Python's layout), or a pattern that
            ends with ``*`` and matches whole session ids (JavaScript's). Without it: Python's prefix if there
            is such a list, else every list.

    Raises:
        UsageError: the package ``redis`` is not installed, or the URL cannot be read.
        Unreachable: no answer.
        Refused: user, password or rights.
    """

    def __init__(self, address: Address) -> None:
        try:
            import redis
        except ImportError:
            raise missing_extra("redis", "redis") from None
        self._place = f"redis {_named(address)}"
        try:
            self._client: Redis = redis.Redis.from_url(address.url, **_SECONDS)
        except ValueError:
            raise UsageError(f"{self._place}: the URL cannot be read.") from None
        part = address.part
        if part is None:
            part = self._usual()
        self._python = not part.endswith(_ANY)
        self._prefix = part.removesuffix(_ANY)
        self.title = one_line(f"{self._place}, keys {self._prefix}{_ANY}")
        self.method = "LRANGE in pieces of about 1 MiB from the tail of each list; keys by SCAN"
        self._keys: sqlite3.Connection | None = None
        self._skipped = 0

    def facts(self) -> Facts:
        """Count the lists and name the layout."""
        (count,) = self._listed().execute("SELECT count(*) FROM key").fetchone()
        notes = []
        if self._skipped:
            notes.append(f"{plural(self._skipped, 'list')} skipped: they hold no messages")
        language = "Python" if self._python else "JavaScript"
        return Facts(
            product="Redis",
            dialect=f"{language} dialect, newest first, reversed",
            sessions=count,
            unit="list",
            lost=("when messages were written", "sessions that had a time to live and expired"),
            notes=tuple(notes),
        )

    def records(self) -> Iterator[Record]:
        """Yield the messages of each list from its tail, which is the oldest; see `Store.records`."""
        builder = Builder()
        for (key,) in self._listed().execute("SELECT name FROM key ORDER BY name"):
            name = key.decode(errors="surrogateescape")
            session = name.removeprefix(self._prefix) if self._python else name
            for age, payload in self._oldest_first(key):
                yield builder.text(session, payload, f"{name.encode(errors='replace').decode()}[{-age}]")

    def close(self) -> None:
        """Close the connection and the list of keys."""
        if self._keys is not None:
            self._keys.close()
        self._client.close()

    def _oldest_first(self, key: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield messages with their index from the tail. New ones come at the head, so that index stays true."""
        done, (count, most) = 0, _PIECES
        while True:
            with self._translated():
                found: list[Any] = list(self._client.lrange(key, -done - count, -done - 1))
            for payload in reversed(found):
                done += 1
                yield done, payload
            if len(found) < count:
                return
            count = max(1, min(most, _PIECE_BYTES * count // (1 + sum(map(len, found)))))

    def _listed(self) -> sqlite3.Connection:
        """Return the keys in a temporary database: SCAN may name one twice, and in any order."""
        if self._keys is None:
            keys = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            try:
                keys.execute("CREATE TABLE key (name BLOB PRIMARY KEY) WITHOUT ROWID")
                keys.execute("BEGIN")
                keys.executemany("INSERT OR IGNORE INTO key VALUES (?)", ((key,) for key in self._chats()))
            except sqlite3.OperationalError as error:
                keys.close()
                raise OutputError(f"cannot list the keys in the temporary folder: {error}.") from None
            self._keys = keys
        return self._keys

    def _chats(self) -> Iterator[bytes]:
        for key in self._scan(self._prefix):
            if self._python or self._is_chat(key):
                yield key
            else:
                self._skipped += 1

    def _is_chat(self, key: bytes) -> bool:
        """Return True if either end of a list is a message: JavaScript's keys have no mark of their own."""
        with self._translated():
            ends = [self._client.lindex(key, index) for index in (-1, 0)]
        return any(isinstance(end, bytes) and _is_message(end) for end in ends)

    def _usual(self) -> str:
        """Return Python's prefix if there is a list with it, else the pattern for all lists."""
        try:
            return PREFIX if next(self._scan(PREFIX), None) is not None else _ANY
        except ConvexMsgsError:
            self._client.close()
            raise

    def _scan(self, prefix: str) -> Iterator[bytes]:
        pattern = prefix.translate(_GLOB).replace("*", "\\*") + _ANY
        with self._translated():
            yield from self._client.scan_iter(match=pattern, count=_KEYS_A_SCAN, _type="list")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what the client raises into errors of this tool; what the server says may not name a password."""
        from redis import exceptions

        try:
            yield
        except (exceptions.AuthenticationError, exceptions.NoPermissionError) as error:
            raise Refused(
                f"{self._place} refused: {one_line(str(error))}.",
                hint=[("a password", "goes into a variable: env:NAME with redis://user:password@host:6379/0")],
            ) from None
        except (exceptions.ConnectionError, exceptions.TimeoutError) as error:
            said = one_line(str(error)).rstrip(".")
            raise Unreachable(f"{self._place} does not answer: {said}.") from None
        except exceptions.ResponseError as error:
            raise Refused(f"{self._place} refused: {one_line(str(error))}.") from None


def _named(address: Address) -> str:
    """Return ``host:port/database``; of a socket its path."""
    if address.scheme != "unix":
        return address.place
    database = parse_qs(urlsplit(address.url).query).get("db", ["0"])[0]
    return f"{address.place} {database}"


def _is_message(payload: bytes) -> bool:
    try:
        message = msgspec.json.decode(payload)
    except (ValueError, RecursionError):
        return False
    return isinstance(message, dict) and isinstance(message.get("type"), str)
