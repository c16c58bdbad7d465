"""Tables of messages in SQLite, PostgreSQL and MySQL, through SQLAlchemy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

from sync_tool.errors import ConvexMsgsError, Refused, Unreachable, UsageError
from sync_tool.messages.records import Record
from sync_tool.messages.rewrites import FLAT_FIELDS, dialect_of
from sync_tool.stores.addresses import Address
from sync_tool.stores.store import Builder, Facts, missing_extra
from sync_tool.text import one_line

if TYPE_CHECKING:
    from sqlalchemy import URL, ColumnElement, Connection, Engine
    from sqlalchemy.sql.selectable import TableClause

# Tables and columns that hold histories. Layouts: langchain-community 0.4.2
# ``chat_message_histories/sql.py`` and ``postgres.py`` (``message_store``: id, session_id, message); langchain-
# postgres 0.0.19 ``chat_message_histories.py`` (any table: session_id UUID, message JSONB, created_at);
# @langchain/community 1.1.29 ``stores/message/postgres`` (``langchain_chat_histories``: message JSONB with the
# fields beside the type) and ``aurora_dsql`` (the same as text, id a UUID, created_at).

_USUAL: Final = ("message_store", "langchain_chat_histories")
_SESSION: Final = "session_id"
_MESSAGE: Final = "message"
_TIME: Final = "created_at"


@dataclass(frozen=True, slots=True)
class TableLayout:
    """A table of messages."""

    table: TableClause
    name: str
    """The table's name, with its schema where one was given."""
    session: ColumnElement[Any]
    """The session id as text."""
    order: ColumnElement[Any]
    """Sorts the messages of a session."""
    order_name: str
    message: ColumnElement[Any]
    """The message as JSON text."""
    time: ColumnElement[Any] | None
    """Time of writing."""
    by_session: ColumnElement[Any]
    """Groups the rows by session: compares ids byte by byte, whatever the column's collation."""


def find_layout(connection: Connection, wanted: str | None, title: str) -> TableLayout:
    """Find the table of histories in a database.

    Args:
        connection: an open connection.
        wanted: name of the table, with its schema before a point if need be; None for LangChain's own names, or
            the only table that has the columns.
        title: short name of the database.

    Raises:
        UsageError: no such table, none with the columns, or several.
    """
    from sqlalchemy import inspect

    inspector = inspect(connection)
    names = [*inspector.get_table_names(), *inspector.get_view_names()]
    schema = None
    if wanted is None:
        wanted = _only_one(inspector, names, title)
    elif wanted not in names:
        schema, point, wanted = wanted.rpartition(".")
        if not point or wanted not in inspector.get_table_names(schema=schema):
            known = ", ".join(one_line(name) for name in sorted(names)) or "none"
            raise UsageError(f"{title}: there is no such table.", hint=[("there are", known)])
    found = {str(column["name"]): column["type"] for column in inspector.get_columns(wanted, schema=schema)}
    if not _fits(found):
        raise UsageError(
            f"{title}: the table {one_line(wanted)} is none of LangChain's.",
            hint=[("needed", "columns session_id and message, and id or created_at"), ("there", ", ".join(found))],
        )
    return _layout(connection.dialect.name, wanted, schema, found)


def _only_one(inspector: Any, names: list[str], title: str) -> str:
    for name in _USUAL:
        if name in names:
            return name
    fitting = [name for name in names if _fits({column["name"]: None for column in inspector.get_columns(name)})]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UsageError(
            f"{title}: several tables could be the one.",
            hint=[("say which", f"#{one_line(name)}  behind the address") for name in sorted(fitting)],
        )
    raise UsageError(
        f"{title} holds no chat history of LangChain.",
        hint=[("needed", "a table with columns session_id and message, and id or created_at")],
    )


def _fits(columns: dict[str, Any]) -> bool:
    return _SESSION in columns and _MESSAGE in columns and ("id" in columns or _TIME in columns)


def _layout(dialect: str, name: str, schema: str | None, types: dict[str, Any]) -> TableLayout:
    from sqlalchemy import Integer, LargeBinary, String, cast, column, table
    from sqlalchemy.types import DateTime

    timed = isinstance(types.get(_TIME), DateTime)
    counted = isinstance(types.get("id"), Integer)
    order = "id" if counted or not timed else _TIME
    session = cast(column(_SESSION), String)
    by_session: ColumnElement[Any] = session
    if dialect == "mysql":
        by_session = cast(column(_SESSION), LargeBinary)
    elif dialect == "postgresql":
        by_session = session.collate("C")
    elif dialect == "sqlite":
        by_session = session.collate("BINARY")
    return TableLayout(
        table=table(name, schema=schema),
        name=f"{schema}.{name}" if schema else name,
        session=session,
        order=column(order),
        order_name=order,
        message=cast(column(_MESSAGE), String),
        time=column(_TIME, types[_TIME]) if timed else None,
        by_session=by_session,
    )


SCHEMES: Final = ("sqlite", "postgresql", "postgres", "mysql", "mariadb")
_DRIVERS: Final = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "mysql": "mysql+pymysql",
                   "mariadb": "mysql+pymysql", "sqlite": "sqlite"}  # fmt: skip
_PRODUCTS: Final = {"postgresql": "PostgreSQL", "mysql": "MySQL", "sqlite": "SQLite"}
_ROWS_A_FETCH: Final = 100
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_TIMES: Final = "when messages were written"
_FLAT_LOST: Final = "a field of data called type: the message's own type took its place"


class SqlTables:
    """One table of messages.

    Args:
        address: a SQLAlchemy URL, its driver ignored; the table behind ``#``.

    Raises:
        UsageError: SQLAlchemy or a driver is not installed, the URL cannot be read, or there is no such table.
        Unreachable: no answer.
        Refused: user, password or rights.
    """

    def __init__(self, address: Address) -> None:
        place = address.place.removeprefix("/") if address.scheme == "sqlite" else address.place
        self._database = f"{address.scheme} {place}"
        self._engine = _engine(address, self._database)
        try:
            self._layout = self._find(address.part)
            self._flat = self._is_flat()
        except ConvexMsgsError:
            self.close()
            raise
        self.title = f"{self._database}, table {one_line(self._layout.name)}"
        self.method = f"one query in one read transaction, ordered by session_id and {self._layout.order_name}"

    def facts(self) -> Facts:
        """Count sessions and messages and name the layout."""
        from sqlalchemy import distinct, func, select

        layout = self._layout
        query = select(func.count(distinct(layout.by_session)), func.count()).select_from(layout.table)
        with self._translated(), self._engine.connect() as connection:
            sessions, messages = connection.execute(query).one()
        lost = [] if layout.time is not None else [_TIMES]
        if self._flat:
            lost.append(_FLAT_LOST)
        notes = []
        if layout.order_name == "created_at":
            notes.append("messages written in the same moment have no order of their own")
        return Facts(
            product=_PRODUCTS[self._engine.dialect.name],
            dialect=f"{'JavaScript dialect, flat' if self._flat else 'Python dialect'}, "
            f"in order of {layout.order_name}",
            sessions=int(sessions),
            messages=int(messages),
            times=layout.time is not None,
            lost=tuple(lost),
            notes=tuple(notes),
        )

    def records(self) -> Iterator[Record]:
        """Yield the messages; see `Store.records`."""
        from sqlalchemy import literal, select

        layout = self._layout
        builder = Builder(flat=True)
        time = literal(None) if layout.time is None else layout.time
        query = (
            select(layout.session, layout.order, layout.message, time)
            .select_from(layout.table)
            .order_by(layout.by_session, layout.order)
        )
        with self._translated(), self._reading() as connection:
            for session, order, message, moment in connection.execute(query):
                where = f"{layout.name} {layout.order_name}={order}"
                if isinstance(message, str | bytes):
                    yield builder.text(session, message, where, _milliseconds(moment))
                else:
                    yield builder.value(session, message, where, _milliseconds(moment))

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _find(self, wanted: str | None) -> TableLayout:
        with self._translated(), self._engine.connect() as connection:
            return find_layout(connection, wanted, self._database)

    def _is_flat(self) -> bool:
        """Return True for JavaScript's layout, by a message of the table."""
        from sqlalchemy import select

        query = select(self._layout.message).select_from(self._layout.table).order_by(self._layout.order).limit(1)
        with self._translated(), self._engine.connect() as connection:
            message = connection.execute(query).scalar()
        try:
            found = msgspec.json.decode(message) if isinstance(message, str | bytes) else None
        except (ValueError, RecursionError):
            return False
        return isinstance(found, dict) and dialect_of(found) == FLAT_FIELDS

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        """Open a transaction that sees one moment and writes nothing, with a cursor that fetches in pieces."""
        options: dict[str, Any] = {"stream_results": True, "yield_per": _ROWS_A_FETCH}
        if self._engine.dialect.name == "postgresql":
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._engine.connect() as connection:
            yield connection.execution_options(**options)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with sql_errors(self._database):
            yield


@contextmanager
def sql_errors(database: str) -> Iterator[None]:
    """Turn what SQLAlchemy and the drivers raise into errors of this tool."""
    from sqlalchemy import exc

    try:
        yield
    except exc.NoSuchTableError:
        raise UsageError(f"{database}: there is no such table.") from None
    except exc.OperationalError as error:
        said = one_line(str(error.orig)).strip()
        if _is_refusal(error.orig):
            hint = [("a password", "goes into a variable: env:NAME with postgresql://user:password@host/database")]
            raise Refused(f"{database} refused: {said}.", hint=hint) from None
        if isinstance(error.orig, sqlite3.Error):
            raise UsageError(f"{database} cannot be read: {said}.") from None
        raise Unreachable(f"{database} does not answer: {said}.") from None
    except exc.DBAPIError as error:
        said = one_line(str(error.orig)).partition("\\n")[0]
        if isinstance(error.orig, sqlite3.Error):
            raise UsageError(f"{database} cannot be read: {said}.") from None
        raise Refused(f"{database} refused: {said}.") from None
    except exc.SQLAlchemyError as error:
        raise UsageError(f"{database} cannot be read: {type(error).__name__}.") from None


def _is_refusal(error: BaseException | None) -> bool:
    """Return True for a refused login: SQLSTATE 28… and 3D…, MySQL's 1044, 1045, 1049.

    While connecting, psycopg has the server's words only (``FATAL``, libpq's way of passing them on).
    """
    code = getattr(error, "sqlstate", None) or ""
    first = error.args[0] if error is not None and error.args else None
    return code[:2] in ("28", "3D") or first in (1044, 1045, 1049) or "FATAL" in str(error)


def _engine(address: Address, database: str) -> Engine:
    try:
        from sqlalchemy import create_engine, exc
        from sqlalchemy.engine import make_url
    except ImportError:
        raise missing_extra("sql", "sqlalchemy") from None
    try:
        url = make_url(address.url).set(drivername=_DRIVERS[address.scheme])
        if address.scheme == "sqlite":
            return _sqlite(url)
        return create_engine(url, connect_args={"connect_timeout": 10}, hide_parameters=True)
    except ModuleNotFoundError as error:
        raise missing_extra("sql", str(error.name)) from None
    except (exc.ArgumentError, ValueError):
        raise UsageError(f"{database}: the URL cannot be read.") from None


def _sqlite(url: URL) -> Engine:
    """Open a SQLite file for reading only; connecting would make one where there is none."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    path = Path(url.database or ":memory:").expanduser()
    if not path.is_file():
        raise UsageError(
            f"there is no file {one_line(str(path))}.",
            hint=[("an absolute path", "has four strokes: sqlite:////folder/file.db")],
        )
    file = f"file:{quote(str(path.absolute()))}?mode=ro"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(file, uri=True, check_same_thread=False)
        connection.text_factory = _text
        return connection

    return create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)


def _text(data: bytes) -> str:
    """Return text that may not be UTF-8; its record then gets a fault."""
    return data.decode(errors="surrogateescape")


def _milliseconds(moment: Any) -> float | None:
    """Return a time as ms since 1970; one without a zone is UTC, as database servers keep it."""
    if not isinstance(moment, datetime):
        return None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) / _MILLISECOND
