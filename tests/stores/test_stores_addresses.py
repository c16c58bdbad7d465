"""Addresses of stores: passwords stay out of commands and out of everything that is printed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from running import ROOT
from sync_tool.errors import ConvexMsgsError, UsageError
from sync_tool.stores.addresses import read_address
from sync_tool.stores.opening import open_store

WITH_PASSWORDS = [
    "redis://:hunter2@host:6379/0",
    "redis://:hun/ter2@host",
    "redis://:hun#ter2@host",
    "redis://:hun?ter2@host",
    "rediss://jim:hunter2@host#message_store:",
    "postgresql+psycopg://jim:hunter2@host/db#t",
    "postgresql://jim@host/db?password=hunter2",
    "postgresql://host/db?sslpassword=hunter2",
    "mysql://jim:hunter2@host/db",
    "mongodb://jim:hunter2@a:1,b:2/db",
    "mongodb+srv://jim:hunter2@cluster/db",
    "mongodb://host/db?authMechanismProperties=AWS_SESSION_TOKEN:hunter2&tlsCertificateKeyFilePassword=hunter2",
    "unix://jim:hunter2@/run/redis?db=1",
    "unix:///run/redis?password=hunter2",
]


@pytest.mark.parametrize("address", WITH_PASSWORDS)
def test_a_password_in_a_command_is_refused(address: str) -> None:
    """Exit code 2 says where to put it instead; nothing is connected to, nothing of it is shown."""
    with pytest.raises(UsageError, match="does not belong on a command line") as raised:
        open_store(address, {})
    assert "ter2" not in f"{raised.value}{raised.value.hint}"
    assert "env:NAME" in raised.value.hint


def shown(address: str) -> str:
    """Return all that is said of an address in a variable."""
    try:
        found = read_address("env:PLACE", {"PLACE": address})
    except ConvexMsgsError as error:
        return f"{error}\n{error.hint}"
    return "" if found is None else f"{found.place} {found.part}"


@pytest.mark.parametrize("address", WITH_PASSWORDS)
def test_a_password_in_a_variable_is_not_shown(address: str) -> None:
    """Messages about an address show no part of the password, also if it is malformed."""
    assert "ter2" not in shown(address)


@given(password=st.text(max_size=12, alphabet="aZ0:/?#[]@!$&'()*+,;=%-._~ \\\"<>`{|}"))
def test_no_password_is_ever_shown(password: str) -> None:
    """Neither title nor error repeats a password, in any encoding."""
    assert "qq" not in shown(f"redis://jim:qq{password}qq@host:6379/0")


def test_an_address_spelled_wrongly_says_how() -> None:
    """The letters that a password may not have as they are, and how they are written."""
    assert "%2F" in shown("redis://:hun/ter2@host")


def test_parts_of_an_address() -> None:
    """Scheme without driver, place without user, the part behind #, which beats that of the variable."""
    found = read_address("env:PG#mine", {"PG": "postgresql+psycopg2://jim:pw@db-1:5432/app?sslmode=require#theirs"})
    assert found is not None
    assert (found.scheme, found.place, found.part) == ("postgresql", "db-1:5432/app", "mine")
    assert found.url == "postgresql+psycopg2://jim:pw@db-1:5432/app?sslmode=require"
    theirs = read_address("env:PG", {"PG": "mongodb://a:1,b:2/x#chat%20log"})
    assert theirs is not None
    assert (theirs.place, theirs.part) == ("a:1,b:2/x", "chat log")


def test_a_variable_that_is_not_there() -> None:
    """Exit code 2 names it."""
    with pytest.raises(UsageError, match="NOWHERE"):
        open_store("env:NOWHERE#x", {})


@pytest.mark.parametrize(
    ("address", "module", "extra"),
    [
        ("redis://127.0.0.1:1/0", "redis", "redis"),
        ("postgresql://127.0.0.1:1/x", "sqlalchemy", "sql"),
        ("postgresql://127.0.0.1:1/x", "psycopg", "sql"),
        ("mysql://127.0.0.1:1/x", "pymysql", "sql"),
        ("mongodb://127.0.0.1:1/x", "pymongo", "mongo"),
        ("dynamodb://eu-central-1/x", "boto3", "dynamodb"),
    ],
)
def test_a_missing_package_is_named(address: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a client is not installed, the error shows the command that installs it."""
    for name in [name for name in sys.modules if name == module or name.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError) as raised:
        open_store(address, {})
    assert f"pip install '.[{extra}]'" in raised.value.hint


def test_clients_are_imported_when_they_are_needed() -> None:
    """An address by itself imports no client."""
    script = (
        "import sys\nfrom sync_tool.errors import UsageError\nfrom sync_tool.stores.opening import open_store\n"
        "try:\n    open_store('unknown://host', {})\nexcept UsageError:\n    pass\n"
        "print(sorted({'redis', 'sqlalchemy', 'pymongo', 'bson', 'boto3', 'botocore', 'psycopg'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"
