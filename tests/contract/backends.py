"""The backends that the contract is held against, and how each one is started.

A test never asks for the name of a backend. What not every backend can do is a `Can`; a test that needs
it is marked ``@pytest.mark.needs(Can.X)`` and is not made for the others.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import urllib3

from sync_tool.deployment.client import Client
from sync_tool.encoding import canonical
from sync_tool.encoding.values import encode

from .raw import RAW_ROWS

ROOT: Final = Path(__file__).parents[2]
URL_VARIABLE: Final = "CONVEX_MSGS_TEST_URL"
KEY_VARIABLE: Final = "CONVEX_MSGS_TEST_KEY"
STRANGER: Final = "Bearer " + ".".join(
    base64.urlsafe_b64encode(part).decode().rstrip("=")
    for part in (b'{"alg":"RS256","typ":"JWT"}', b'{"iss":"https://users.test","sub":"somebody"}', b"no signature")
)
"""Token that the browser of an app's user would send."""


class Can(Enum):
    """Something that some backends can do and some cannot (see ``tests/convex_host/DIFFERENCES.md``)."""

    RAW_ROWS = auto()
    """Holds `raw.RAW_ROWS`: rows of any session and any time, as only an import writes them."""
    OTHER_NAMES = auto()
    """Supports another table, index and session field."""
    OPEN_SCHEMA = auto()
    """Takes documents with fields of the user's own."""
    SCRATCH_TABLES = auto()
    """Rows may be left behind in other tables."""
    DOCUMENT_LIMITS = auto()
    """Holds documents to Convex's limits."""
    DOCUMENT_IDS = auto()
    """Makes ids as Convex does: random, with a checksum."""
    API_SPEC = auto()
    """Lists the deployed functions."""
    ALONE = auto()
    """Nobody else writes there, so that a window of time holds the rows of one test only."""
    EVEN_PROBES = auto()
    """Has ids that random probes hit with about equal chance, and holds rows of the suite only."""


_CAN: Final[Mapping[str, frozenset[Can]]] = {
    "sandbox": frozenset(Can),
    "convex-test": frozenset({Can.RAW_ROWS, Can.OTHER_NAMES, Can.OPEN_SCHEMA, Can.SCRATCH_TABLES, Can.ALONE}),
    "deployment": frozenset({Can.DOCUMENT_LIMITS, Can.DOCUMENT_IDS, Can.API_SPEC}),
}


@dataclass(frozen=True, slots=True)
class Names:
    """Names of table, index and session field, as every function takes them."""

    table: str = "messages"
    index: str = "bySessionId"
    session_field: str = "sessionId"

    @property
    def args(self) -> dict[str, str]:
        """The arguments that say so; none for the default names."""
        if self == Names():
            return {}
        return {"table": self.table, "index": self.index, "sessionField": self.session_field}


OTHER_NAMES: Final = Names("chatLog", "by_chat", "chat")


@dataclass(frozen=True)
class Backend:
    """One deployment, or something that behaves as one."""

    url: str
    key: str
    can: frozenset[Can]
    names: Names = field(default_factory=Names)

    @cached_property
    def client(self) -> Client:
        """The real client of the tool, with the admin key."""
        return Client(self.url, self.key)

    @cached_property
    def _http(self) -> urllib3.PoolManager:
        return urllib3.PoolManager(retries=False, maxsize=4, timeout=60)

    def post(
        self, path: str, body: Any, *, authorization: str | None = None, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        """POST `body` (bytes as they are, all else as JSON) and return status and JSON of the answer."""
        headers = {"Content-Type": content_type}
        if authorization is not None:
            headers["Authorization"] = authorization
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self._http.request("POST", self.url + path, body=data, headers=headers)
        return answer.status, json.loads(answer.data)

    def as_admin(self, path: str, body: Any) -> tuple[int, Any]:
        """POST `body` with the admin key."""
        return self.post(path, body, authorization=f"Convex {self.key}")

    def close(self) -> None:
        """Close all connections."""
        self.client.close()
        self._http.clear()


class Child:
    """A server that runs until this process ends or closes its standard input."""

    def __init__(self, command: list[str], ready: str, env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith(ready):
            self.stop()
            raise RuntimeError(f"{' '.join(command)} did not start; it said {line!r}")
        self.url = line.removeprefix(ready).split()[0]

    def stop(self) -> None:
        """Close its standard input and wait until it is gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)
        self._process.stdout.close()


class Backends:
    """All backends, each started when the first test wants it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[tuple[str, Names], Backend] = {}
        self._children: list[Child] = []

    def get(self, name: str, names: Names | None = None) -> Backend:
        """Return the backend called `name`, running."""
        place = (name, names or Names())
        if place not in self._running:
            start = {"sandbox": self._sandbox, "convex-test": self._convex_test, "deployment": self._deployment}
            self._running[place] = start[name](place[1])
        return self._running[place]

    def close(self) -> None:
        """Stop everything."""
        for backend in self._running.values():
            backend.close()
        for child in self._children:
            child.stop()

    def _sandbox(self, names: Names) -> Backend:
        key = f"sandbox|{secrets.token_hex(16)}"
        command = [sys.executable, "-m", "sync_tool", "sandbox", "--port", "0", "--with-parent"]
        if names == Names():
            rows = self._folder / "raw.jsonl"
            rows.write_bytes(b"".join(canonical.dumps(row) + b"\n" for row in RAW_ROWS))
            command += ["--load", str(rows)]
        else:
            command += ["--table", names.table, "--index", names.index, "--session-field", names.session_field]
        child = self._start(command, "sandbox ready at ", {"CONVEX_MSGS_SANDBOX_KEY": key})
        return Backend(child.url, key, _CAN["sandbox"], names)

    def _convex_test(self, names: Names) -> Backend:
        key = f"host|{secrets.token_hex(16)}"
        command = ["node", "--import", "tsx", "tests/convex_host/host.ts"]
        child = self._start(command, "ready ", {"CONVEX_HOST_KEY": key})
        backend = Backend(child.url, key, _CAN["convex-test"], names)
        if names == Names():
            given = backend.as_admin("/host/insert", {"rows": encode(RAW_ROWS)})
        else:
            given = backend.as_admin("/host/reset", {"schema": names.args})
        if given[0] != 200:
            raise RuntimeError(f"the convex-test host did not take its first rows: {given}")
        return backend

    def _deployment(self, names: Names) -> Backend:
        return Backend(os.environ[URL_VARIABLE].rstrip("/"), os.environ[KEY_VARIABLE], _CAN["deployment"], names)

    def _start(self, command: list[str], ready: str, env: Mapping[str, str]) -> Child:
        child = Child(command, ready, env)
        self._children.append(child)
        return child


def names_of_backends(needs: frozenset[Can]) -> list[str]:
    """Return the names of the backends at hand that can do all of `needs`."""
    names = ["sandbox", "convex-test"]
    if URL_VARIABLE in os.environ and KEY_VARIABLE in os.environ:
        names.append("deployment")
    return [name for name in names if needs <= _CAN[name]]
