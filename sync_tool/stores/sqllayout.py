"""Which table and which columns hold the histories, and whose layout that is.

Layouts: langchain-community 0.4.2 ``chat_message_histories/sql.py`` and ``postgres.py`` (``message_store``: id,
session_id, message); langchain-postgres 0.0.19 ``chat_message_histories.py`` (any table: session_id UUID, message
JSONB, created_at); @langchain/community 1.1.29 ``stores/message/postgres`` (``langchain_chat_histories``: message
JSONB with the fields beside the type) and ``aurora_dsql`` (the same as text, id a UUID, created_at).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sync_tool.errors import UsageError
from sync_tool.text import one_line

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection
    from sqlalchemy.sql.selectable import TableClause

_USUAL: Final = ("message_store", "langchain_chat_histories")
_SESSION: Final = "session_id"
_MESSAGE: Final = "message"
_TIME: Final = "created_at"


@dataclass(frozen=True, slots=True)
class Layout:
    """A table of messages."""

    table: TableClause
    name: str
    """The table's name, with its schema where one was given."""
    session: ColumnElement[Any]
    """The session id as text."""
    order: ColumnElement[Any]
    """What puts the messages of a session in order."""
    order_name: str
    message: ColumnElement[Any]
    """The message as JSON text."""
    time: ColumnElement[Any] | None
    """When it was written."""
    by_session: ColumnElement[Any]
    """What keeps the rows of a session together: ids compared byte by byte, whatever the column's collation."""


def find_layout(connection: Connection, wanted: str | None, title: str) -> Layout:
    """Look at the tables of a database.

    Args:
        connection: an open connection.
        wanted: name of the table, with its schema before a point if need be; None for LangChain's own names, or
            the only table that has the columns.
        title: what a person calls the database.

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


def _layout(dialect: str, name: str, schema: str | None, types: dict[str, Any]) -> Layout:
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
    return Layout(
        table=table(name, schema=schema),
        name=f"{schema}.{name}" if schema else name,
        session=session,
        order=column(order),
        order_name=order,
        message=cast(column(_MESSAGE), String),
        time=column(_TIME, types[_TIME]) if timed else None,
        by_session=by_session,
    )
