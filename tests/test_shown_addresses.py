"""Messages about addresses and ids of others: no secret of a variable, and nothing that a shell would run."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

import sync_tool as cm
from sync_tool.commands.opening import require_deployment
from sync_tool.errors import UsageError
from sync_tool.rows.selection import unknown_session


@pytest.mark.parametrize(
    "held",
    [
        "weird://u:SECRET@127.0.0.1:1/db",
        "mysqlx://u:SECRET@h/db",
        "ldap://u:SECRET@h",
        "u:SECRET@host/db",
        "prod:tall-forest-123|SECRET",
        "/nowhere/SECRET",
    ],
)
def test_a_variable_is_shown_by_its_name(held: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address in a variable may hold a password or be a key: messages name the variable alone."""
    monkeypatch.setenv("DB", held)
    for opened in (cm.open, require_deployment):
        with pytest.raises(UsageError) as caught:
            opened("env:DB")
        assert "env:DB" in caught.value.message
        assert "SECRET" not in caught.value.message + caught.value.hint


def test_an_unknown_scheme_is_an_error_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that begins like a URL is not looked for among the files."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="weird:// is an address of an unknown kind"):
        cm.open("weird://host/db")


@pytest.mark.parametrize("session", ["it's $(touch PWNED)", "a`b`", "a b", "$HOME"])
def test_hints_are_quoted_for_the_shell(session: str) -> None:
    """Ids come from strangers: a pasted hint gives the id to the tool and runs nothing."""
    error = unknown_session(session, [session + "1", session + "2"])
    option, pattern = shlex.split(error.hint.partition("a pattern?")[2].partition("nothing was")[0])
    assert (option, pattern) == ("--match", session + "*")
