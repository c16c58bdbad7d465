"""SQL tables, written by LangChain's own classes into SQLite files and a real PostgreSQL server."""

from __future__ import annotations

import json
import sqlite3
import time
import tracemalloc
import uuid
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
import sqlalchemy
from sqlalchemy.dialects import mysql

from stores.conversation import CONVERSATION, SESSIONS, opened, quietly, row_of, rows, sessions_of, stored
from stores.javascript import write
from sync_tool.errors import Refused, Unreachable, UsageError
from sync_tool.stores.sqltables import find_layout

GOOD = '{"type": "human", "data": {"content": "hi"}}'


def fill(url: str, table: str = "message_store") -> None:
    """Write the conversation with Python's class, two sessions in turns."""
    with quietly():
        from langchain_community.chat_message_histories import SQLChatMessageHistory

        histories = {session: SQLChatMessageHistory(session, table_name=table, connection=url) for session in SESSIONS}
        for number in range(max(map(len, SESSIONS.values()))):
            for session, messages in SESSIONS.items():
                histories[session].add_messages(messages[number : number + 1])
        for history in histories.values():
            history.engine.dispose()


def alchemy(url: str) -> str:
    """Return the address as LangChain's class needs it: with the driver."""
    return url.replace("postgresql://", "postgresql+psycopg://")


def test_sqlite_as_python_writes_it(tmp_path: Path) -> None:
    """Each session comes in one piece and in order; the file is only read."""
    url = f"sqlite:///{tmp_path}/a b.db"
    fill(url)
    (tmp_path / "a b.db").chmod(0o400)
    before = (tmp_path / "a b.db").read_bytes()
    store = opened(url)
    assert sessions_of(store) == {session: stored(messages) for session, messages in SESSIONS.items()}
    facts = store.facts()
    assert facts.summary == "3 sessions (Python dialect, in order of id)"
    assert (facts.product, facts.messages, facts.times, facts.lost) == (
        "SQLite",
        sum(len(messages) for messages in SESSIONS.values()),
        False,
        ("when messages were written",),
    )
    assert store.title == f"sqlite {tmp_path}/a b.db, table message_store"
    store.close()
    assert (tmp_path / "a b.db").read_bytes() == before


def test_postgres_as_python_writes_it(postgres_url: str) -> None:
    """The same class on a real PostgreSQL server, whose collation is another than that of bytes."""
    fill(alchemy(postgres_url))
    store = opened(postgres_url)
    assert sessions_of(store) == {session: stored(messages) for session, messages in SESSIONS.items()}
    assert store.facts().product == "PostgreSQL"
    assert [record.where for record in store.records()][:2] == ["message_store id=2", "message_store id=5"]
    store.close()


def test_langchain_postgres_keeps_times(postgres_url: str) -> None:
    """Rows of langchain-postgres come with the time at which each was written, never falling in a session."""
    from langchain_postgres import PostgresChatMessageHistory

    started = time.time() * 1000
    sessions = [str(uuid.uuid4()), str(uuid.uuid4())]
    with psycopg.connect(postgres_url) as connection:
        PostgresChatMessageHistory.create_tables(connection, "chats_of_jim")
        for message in CONVERSATION:
            for session in sessions:
                history = PostgresChatMessageHistory("chats_of_jim", session, sync_connection=connection)
                history.add_messages([message])
        connection.execute("""UPDATE chats_of_jim SET created_at = created_at - interval '1 day' WHERE id = 9""")
        connection.commit()
    store = opened(f"{postgres_url}#chats_of_jim")
    assert sessions_of(store) == {session: stored(CONVERSATION) for session in sorted(sessions)}
    for session in sessions:
        times = [row["_creationTime"] for row in rows(store) if row["sessionId"] == session]
        assert times == sorted(times)
        assert started - 1000 <= times[0] <= times[-1] <= time.time() * 1000
    facts = store.facts()
    assert (facts.times, facts.lost, facts.sessions) == (True, (), 2)
    store.close()


def test_javascript_flat_form(postgres_url: str, postgres_folder: Path) -> None:
    """JavaScript's table, whose messages have their fields beside the type, becomes {type, data} again."""
    written = write("postgres", host=str(postgres_folder), database="chats")["written"]
    store = opened(postgres_url)
    assert sessions_of(store) == written
    assert store.title.endswith("/chats, table langchain_chat_histories")
    facts = store.facts()
    assert facts.dialect == "JavaScript dialect, flat, in order of id"
    assert facts.lost[1].startswith("a field of data called type")
    store.close()


def test_aurora_form(postgres_url: str) -> None:
    """The table of JavaScript's aurora_dsql (@langchain/community 1.1.29): text, ids without order, local times."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute(
            "CREATE TABLE langchain_chat_histories (id UUID PRIMARY KEY DEFAULT gen_random_uuid(), "
            "created_at timestamp default current_timestamp, session_id VARCHAR(255) NOT NULL, message TEXT NOT NULL)"
        )
        for second in range(20):
            connection.execute(
                "INSERT INTO langchain_chat_histories (created_at, session_id, message) VALUES (%s, 'a', %s)",
                [f"2026-01-02 03:04:{second:02}.5", json.dumps({"content": str(second), "type": "human"})],
            )
    store = opened(postgres_url)
    found = rows(store)
    assert [row["message"] for row in found] == [{"type": "human", "data": {"content": str(n)}} for n in range(20)]
    assert found[0]["_creationTime"] == 1767323040500.0
    assert store.facts().notes == ("messages written in the same moment have no order of their own",)
    store.close()


def test_broken_rows_do_not_stop_the_others(tmp_path: Path) -> None:
    """A message that is no JSON, no text, no UTF-8 or has no session is a fault, at once or later."""
    with sqlite3.connect(tmp_path / "x.db") as database:
        database.execute("CREATE TABLE message_store (id INTEGER PRIMARY KEY, session_id TEXT, message TEXT)")
        values = [GOOD, "", "{", None, b"\xff", "[1]", GOOD]
        database.executemany("INSERT INTO message_store (session_id, message) VALUES ('a', ?)", [(v,) for v in values])
        database.execute("INSERT INTO message_store (session_id, message) VALUES (NULL, ?)", (GOOD,))
        database.execute("INSERT INTO message_store (session_id, message) VALUES (?, ?)", (b"\xfe", GOOD))
    database.close()
    store = opened(f"sqlite:///{tmp_path}/x.db")
    records = list(store.records())
    store.close()
    faults = {row_of(record).get("sessionId"): [] for record in records}
    for record in records:
        faults[row_of(record).get("sessionId")].append(record.fault.rule if record.fault else None)
    assert faults == {
        None: [None],
        "a": [None, "not-json", "not-json", None, "not-utf8", None, None],
        "\\udcfe": ["not-utf8"],
    }


def test_a_table_of_ones_own(tmp_path: Path, postgres_url: str) -> None:
    """The table is named behind #, with its schema if need be; the only fitting one is found without."""
    fill(f"sqlite:///{tmp_path}/x.db", "chat log")
    store = opened(f"sqlite:///{tmp_path}/x.db")
    assert store.title.endswith("table chat log")
    store.close()
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE SCHEMA app")
        connection.execute("CREATE TABLE app.log (id SERIAL, session_id TEXT, message JSONB)")
        connection.execute("INSERT INTO app.log (session_id, message) VALUES ('s', %s)", [GOOD])
    store = opened(f"{postgres_url}#app.log")
    assert [row["sessionId"] for row in rows(store)] == ["s"]
    store.close()


@pytest.mark.parametrize(
    ("tables", "part", "said"),
    [
        ([], "", "holds no chat history"),
        (["a"], "#b", "there is no such table"),
        (["a", "b"], "", "several tables could be the one"),
        (["other"], "#other", "the table other is none of LangChain's"),
    ],
)
def test_a_table_that_is_not_there(tmp_path: Path, tables: list[str], part: str, said: str) -> None:
    """Exit code 2 with the tables or columns that are there."""
    with sqlite3.connect(tmp_path / "x.db") as database:
        for table in tables:
            columns = "id INTEGER, body TEXT" if table == "other" else "id INTEGER, session_id TEXT, message TEXT"
            database.execute(f"CREATE TABLE {table} ({columns})")
    database.close()
    with pytest.raises(UsageError, match=said) as raised:
        opened(f"sqlite:///{tmp_path}/x.db{part}")
    assert raised.value.hint


def test_a_sqlite_file_that_is_not_there_or_none(tmp_path: Path) -> None:
    """Nothing is created by looking, and a file of another kind is refused."""
    with pytest.raises(UsageError, match="there is no file"):
        opened(f"sqlite:///{tmp_path}/x.db")
    assert not (tmp_path / "x.db").exists()
    (tmp_path / "x.db").write_text("no database at all, but long enough to be looked at " * 30)
    with pytest.raises(UsageError, match="cannot be read"):
        opened(f"sqlite:///{tmp_path}/x.db")


def test_a_server_that_is_not_there() -> None:
    """No answer is exit code 5, whatever the database; MySQL's driver is there too."""
    for scheme in ("postgresql", "mysql"):
        with pytest.raises(Unreachable, match=r"127.0.0.1:1/x"):
            opened(f"{scheme}://127.0.0.1:1/x")


def test_a_refusal_shows_no_password(postgres_url: str, postgres_folder: Path) -> None:
    """No such user or database, or no right to the table: exit code 6, the password nowhere."""
    host = quote(str(postgres_folder), safe="")
    with pytest.raises(Refused) as raised:
        opened("env:PG", {"PG": f"postgresql://jim:hunter2@/chats?host={host}"})
    assert "hunter2" not in f"{raised.value} {raised.value.hint}"
    with pytest.raises(Refused):
        opened(f"postgresql://postgres@/nothing?host={host}")
    fill(alchemy(postgres_url))
    with psycopg.connect(postgres_url) as connection:
        connection.execute("DROP ROLE IF EXISTS blind")
        connection.execute("CREATE ROLE blind LOGIN PASSWORD 'hunter2'")
    with pytest.raises(Refused):
        opened("env:PG#message_store", {"PG": f"postgresql://blind:hunter2@/chats?host={host}"})
    with psycopg.connect(postgres_url) as connection:
        connection.execute("DROP ROLE blind")


def test_large_tables_are_read_in_pieces(postgres_url: str) -> None:
    """30,000 rows of 1 KB need less than 8 MB at a time, and come in order from one moment."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE message_store (id SERIAL PRIMARY KEY, session_id TEXT, message TEXT)")
        connection.execute(
            """INSERT INTO message_store (session_id, message) SELECT 's' || (n % 3),
            '{"type":"human","data":{"n":' || n || ',"content":"' || repeat('x', 1000) || '"}}'
            FROM generate_series(1, 30000) n"""
        )
    store = opened(postgres_url)
    tracemalloc.start()
    records = store.records()
    numbers = [row_of(next(records))["message"]["data"]["n"]]
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DELETE FROM message_store")
    numbers += [row_of(record)["message"]["data"]["n"] for record in records]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    store.close()
    assert numbers == [*range(3, 30001, 3), *range(1, 30001, 3), *range(2, 30001, 3)]
    assert peak < 8_000_000


def test_the_query_for_mysql() -> None:
    """MySQL compares text without case by default: there the bytes of session ids keep sessions together."""
    with sqlalchemy.create_engine("sqlite://").connect() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE message_store (id INTEGER, session_id TEXT, message TEXT)"))
        connection.dialect.name = "mysql"  # only the name decides
        layout = find_layout(connection, None, "x")
        connection.dialect.name = "sqlite"
    asked = sqlalchemy.select(layout.session, layout.message).order_by(layout.by_session, layout.order)
    spelled = " ".join(str(asked.compile(dialect=mysql.dialect())).split())
    assert spelled.startswith("SELECT CAST(session_id AS CHAR) AS session_id, CAST(message AS CHAR) AS message")
    assert spelled.endswith("ORDER BY CAST(session_id AS BINARY), id")
