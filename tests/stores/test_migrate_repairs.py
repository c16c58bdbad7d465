"""Bad messages in stores: quarantined, repaired, put in their places, although the store grew meanwhile."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
import redis

import sync_tool as cm
from importing import Target, lines, write
from stores.conversation import CONVERSATION, stored
from stores.told import SESSIONS, Told, telling
from sync_tool.stores.opening import StoreRows

BAD = 3
"""The message that is broken, from 0: the same in two sessions, so that its number alone does not say which."""
BROKEN = (SESSIONS[0], SESSIONS[2])


def in_redis(told: Told) -> None:
    """Break the texts of two messages."""
    with redis.Redis.from_url(told.address) as client:
        for session in BROKEN:
            client.lset(f"message_store:{session}", -BAD - 1, "{not json")


def in_sqlite(told: Told) -> None:
    """Break the texts of two messages."""
    with sqlite3.connect(told.address.removeprefix("sqlite:///")) as database:
        database.execute(f"UPDATE message_store SET message = '{{not json' WHERE id IN {ids_of(database)}")
    database.close()


def in_postgres(told: Told) -> None:
    """Break the texts of two messages."""
    with psycopg.connect(told.address) as connection:
        connection.execute(f"UPDATE message_store SET message = '{{not json' WHERE id IN {ids_of(connection)}")


def ids_of(database: Any) -> tuple[int, ...]:
    """Return the rows that are to be broken."""
    rows = database.execute("SELECT id, session_id FROM message_store ORDER BY id").fetchall()
    return tuple([number for number, session in rows if session == broken][BAD] for broken in BROKEN)


def in_mongodb(told: Told) -> None:
    """Break the texts of two messages."""
    collection: Any = told.history().capability(StoreRows).store._collection  # type: ignore[union-attr]
    for session in BROKEN:
        found = list(collection.find({"SessionId": session}).sort("_id", 1))
        collection.update_one({"_id": found[BAD]["_id"]}, {"$set": {"History": "{not json"}})


def in_files(told: Told) -> None:
    """Put something else in the place of two messages."""
    for session in BROKEN:
        path = Path(told.address, f"{session}.json")
        messages = json.loads(path.read_text())
        messages[BAD] = 7
        path.write_text(json.dumps(messages))


def in_dynamodb(told: Told) -> None:
    """Put a type of value into two messages that no message has."""
    table = boto3.resource("dynamodb").Table(told.address.rpartition("/")[2])
    for session in BROKEN:
        bad = {"type": "human", "data": {"content": b"x"}}
        table.update_item(
            Key={"SessionId": session},
            UpdateExpression=f"SET History[{BAD}] = :bad",
            ExpressionAttributeValues={":bad": bad},
        )


def say(told: Told) -> None:
    """Let LangChain's class say all once more."""
    told.say()


def files_go_on(told: Told) -> None:
    """Write all once more without LangChain's class, which reads everything before it writes."""
    for session in SESSIONS:
        path = Path(told.address, f"{session}.json")
        path.write_text(json.dumps([*json.loads(path.read_text()), *stored(said(session))]))


def dynamodb_goes_on(told: Told) -> None:
    """Write all once more without LangChain's class, which reads everything before it writes."""
    table = boto3.resource("dynamodb").Table(told.address.rpartition("/")[2])
    for session in SESSIONS:
        table.update_item(
            Key={"SessionId": session},
            UpdateExpression="SET History = list_append(History, :more)",
            ExpressionAttributeValues={":more": stored(said(session))},
        )


def said(session: str) -> list[Any]:
    """Return what is said in a session each time."""
    return CONVERSATION[:2] if session == SESSIONS[1] else CONVERSATION


@pytest.mark.parametrize(
    ("kind", "spoil", "goes_on"),
    [
        ("redis_of_python", in_redis, say),
        ("sqlite", in_sqlite, say),
        ("postgres_of_python", in_postgres, say),
        ("mongodb_of_python", in_mongodb, say),
        ("files_of_python", in_files, files_go_on),
        ("dynamodb_of_python", in_dynamodb, dynamodb_goes_on),
    ],
)
def test_a_repaired_message_takes_its_place_though_the_store_went_on(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    target: Target,
    kind: str,
    spoil: Callable[[Told], None],
    goes_on: Callable[[Told], None],
) -> None:
    """Sessions stop before it, exit code 3; with --fixes the whole history is there in order, also what came later."""
    with telling(kind, request, tmp_path) as told:
        spoil(told)
        first = told.migrate(target)
        assert (first.exit_code, first.bad_rows, first.held_rows, first.sent_rows) == (3, 2, 6, 8)
        assert first.compared is not None
        assert (first.compared.equal, first.compared.held) == (1, 2)
        assert [len(target.rows(session)) for session in SESSIONS] == [BAD, 2, BAD]
        goes_on(told)
        found = lines(first.quarantine)
        for line in found:
            if "held" not in line:
                assert (line["line"], line["session"] in BROKEN) == (BAD + 1, True)
                line["record"]["message"] = stored(CONVERSATION)[BAD]
        fixes = write(tmp_path / "repaired.jsonl", found)
        second = told.migrate(target, fixes=[fixes])
        assert (second.exit_code, second.extended, second.bad_rows) == (0, 3, 0)
        there = {session: [row["message"] for row in target.rows(session)] for session in SESSIONS}
        assert told.loaded(there) == {session: said(session) * 2 for session in SESSIONS}
        assert told.migrate(target, fixes=[fixes]).sent_rows == 0


def test_a_store_is_selected_from_and_checked(request: pytest.FixtureRequest, tmp_path: Path, target: Target) -> None:
    """Sessions by id and pattern; an unknown id names the nearest; `validate` finds bad ones; `skip_bad` goes on."""
    with telling("sqlite", request, tmp_path) as told:
        with pytest.raises(cm.UsageError, match="'Cust-1', 'cust-1'"):
            told.migrate(target, sessions=["cust1"])
        assert target.box.query("convexMsgs:count", {})["n"] == 0
        assert told.migrate(target, match=["C*"]).sent_rows == 2
        assert told.migrate(target, sessions=["cust-1"]).sent_rows == len(CONVERSATION)
        in_sqlite(told)
        report = cm.validate(told.address, language="python", level="loadable")
        assert (report.exit_code, report.rows, report.sessions, report.bad_rows) == (3, 16, 3, 2)
        assert [(bad.place.session, bad.place.line, bad.faults[0].rule) for bad in report.records] == [
            (session, BAD + 1, "not-json") for session in BROKEN
        ]
        skipped = told.migrate(target, sessions=[SESSIONS[2]], skip_bad=True)
        assert (skipped.exit_code, skipped.sent_rows, skipped.bad_rows) == (3, len(CONVERSATION) - 1, 1)
