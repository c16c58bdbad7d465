"""A key goes only with an address from the same place: every combination of the two, allowed or refused."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import sync_tool as cm
from running import Done, Sandbox, convex_msgs
from sync_tool.deployment.asynchronous import AsyncClient
from sync_tool.deployment.client import Call
from sync_tool.deployment.settings import find_target, load_settings
from sync_tool.errors import UsageError

ADMIN = "chat|0123abcd"
CLOUD = "prod:tall-forest-123|c2VjcmV0"
KEYS = ("environment", "argument", "command", ".env.local", ".env")
ADDRESSES = ("option", "environment", ".env.local", ".env")
HOST = "https://chat.example.org"
OTHER = "https://other.example.org"
_NAMES = {"argument": "the argument 'key'", "command": "--key-command"}
TOGETHER = {
    *((key, "option") for key in KEYS),
    *((key, "environment") for key in ("environment", "argument", "command")),
    *((file, file) for file in (".env.local", ".env")),
}
PROVISIONING = (TOGETHER | {(key, "environment") for key in KEYS}) - {(key, "option") for key in KEYS}


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nothing of the machine's own settings takes part, and nothing that a test sets stays."""
    monkeypatch.chdir(tmp_path)
    with patch.dict(os.environ, {"HOME": str(tmp_path / "home")}):
        for name in list(os.environ):
            if "CONVEX" in name:
                del os.environ[name]
        yield


def put(place: str, name: str, value: str) -> None:
    """Set a variable in the environment or in a file."""
    if place == "environment":
        os.environ[name] = value
        return
    with Path(place).open("a") as file:
        file.write(f"{name}='{value}'\n")


def decided(key_place: str, key: str, url: str | None = None, env_file: str | None = None) -> tuple[str | None, str]:
    """Return the address, and the host to ask for it, that a key from a place goes to."""
    settings, command = load_settings(env_file), None
    if key_place == "argument":
        settings = settings.with_key(key)
    if key_place == "command":
        command = f"echo '{key}'"
    target = find_target(settings, url, command)
    assert target.key.secret == key
    return target.url, target.provisioning_host


def put_key(place: str, key: str) -> None:
    """Set the key where a variable holds it."""
    if place not in ("argument", "command"):
        put(place, "CONVEX_SELF_HOSTED_ADMIN_KEY" if key == ADMIN else "CONVEX_DEPLOY_KEY", key)


@pytest.mark.parametrize("variable", ["CONVEX_SELF_HOSTED_URL", "CONVEX_URL", "NEXT_PUBLIC_CONVEX_URL"])
@pytest.mark.parametrize(("key", "address"), [*itertools.product(KEYS, ADDRESSES)])
def test_key_and_address(key: str, address: str, variable: str) -> None:
    """A key that does not name its deployment goes with the address beside it or an option; else both are named."""
    put_key(key, ADMIN)
    if address != "option":
        put(address, variable, HOST)
    given = HOST if address == "option" else None
    if (key, address) in TOGETHER:
        assert decided(key, ADMIN, given)[0] == HOST
        return
    with pytest.raises(UsageError, match="same place") as caught:
        decided(key, ADMIN, given)
    for place in (key, address):
        assert place == "environment" or _NAMES.get(place, place) in caught.value.message
    assert variable in caught.value.message
    assert "0123abcd" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(("key", "host"), [*itertools.product(KEYS, ADDRESSES[1:])])
def test_key_and_provisioning_host(key: str, host: str) -> None:
    """The host that is given a cloud key to find its address comes from the environment or the key's own file."""
    put_key(key, CLOUD)
    put(host, "CONVEX_PROVISION_HOST", HOST)
    if (key, host) in PROVISIONING:
        assert decided(key, CLOUD) == (None, HOST)
        return
    with pytest.raises(UsageError, match="CONVEX_PROVISION_HOST"):
        decided(key, CLOUD)


@pytest.mark.parametrize(("key", "allowed"), [("keys.env", True), ("argument", False), ("command", False)])
def test_an_env_file_is_one_place(key: str, allowed: bool) -> None:
    """Key and address of one env file go together; a key from elsewhere needs its address as an option."""
    put("keys.env", "CONVEX_SELF_HOSTED_URL", HOST)
    put_key(key, ADMIN)
    if allowed:
        assert decided(key, ADMIN, env_file="keys.env")[0] == HOST
        return
    with pytest.raises(UsageError, match=r"CONVEX_SELF_HOSTED_URL of keys\.env"):
        decided(key, ADMIN, env_file="keys.env")
    assert decided(key, ADMIN, OTHER, "keys.env")[0] == OTHER


@pytest.mark.parametrize("folder", [".env.local", ".env"])
def test_a_complete_environment_is_not_disturbed_by_a_folder(folder: str) -> None:
    """Key and address of the environment count, also beside a folder with its own pair or a cloud key."""
    put_key("environment", ADMIN)
    put("environment", "CONVEX_URL", HOST)
    put(folder, "CONVEX_SELF_HOSTED_URL", OTHER)
    put(folder, "CONVEX_DEPLOY_KEY", CLOUD)
    assert decided("environment", ADMIN)[0] == HOST


@pytest.mark.parametrize(("key", "before"), [(".env", ".env.local"), (".env.local", "environment")])
def test_an_address_that_comes_first_is_not_passed_over(key: str, before: str) -> None:
    """A pair of one file, and another address in a place that counts before it: refused, unless the two are equal."""
    put_key(key, ADMIN)
    put(key, "CONVEX_SELF_HOSTED_URL", HOST)
    put(before, "CONVEX_SELF_HOSTED_URL", f"{HOST}/")
    assert decided(key, ADMIN)[0] == HOST
    put(before, "CONVEX_SELF_HOSTED_URL", OTHER)
    with pytest.raises(UsageError, match="same place"):
        decided(key, ADMIN)


@pytest.mark.parametrize("host", ["127.0.0.1:1", "127.9.9.9", "localhost:3210", "[::1]:3210", "a.localhost"])
def test_http_on_this_machine(host: str) -> None:
    """Nothing is sent over a network, so http is as good as https."""
    assert decided("argument", ADMIN, f"http://{host}")[0] == f"http://{host}"


@pytest.mark.parametrize("host", ["chat.example.org", "10.0.0.5:3210", "localhost.example.org", "[::2]:1"])
def test_http_elsewhere_is_refused(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key never crosses a network in clear unless the user has said so."""
    with pytest.raises(UsageError, match="in clear") as caught:
        decided("argument", ADMIN, f"http://{host}")
    assert "CONVEX_MSGS_ALLOW_HTTP" in caught.value.hint
    monkeypatch.setenv("CONVEX_MSGS_ALLOW_HTTP", "1")
    assert decided("argument", ADMIN, f"http://{host}")[0] == f"http://{host}"


def run(folder: Path, env: dict[str, str], *arguments: str) -> Done:
    """Run a command in a folder."""
    return convex_msgs(*arguments, cwd=folder, env=env)


@pytest.mark.parametrize(
    ("content", "env", "arguments"),
    [
        ("CONVEX_SELF_HOSTED_URL={url}", {"CONVEX_SELF_HOSTED_ADMIN_KEY": ADMIN}, ("sessions",)),
        ("VITE_CONVEX_URL={url}", {"CONVEX_SELF_HOSTED_ADMIN_KEY": ADMIN}, ("sync", "a", "--create")),
        ("CONVEX_PROVISION_HOST={url}", {"CONVEX_DEPLOY_KEY": CLOUD}, ("doctor",)),
        ("CONVEX_SELF_HOSTED_URL={url}", {}, ("sessions", "--key-command", f"echo '{ADMIN}'")),
    ],
)
def test_a_folder_sends_no_key_anywhere(
    content: str, env: dict[str, str], arguments: tuple[str, ...], sandbox: Sandbox, tmp_path: Path
) -> None:
    """In a cloned folder whose files name a host, commands end with exit code 2 and name both places."""
    (tmp_path / ".env.local").write_text(content.format(url=sandbox.url) + "\n")
    done = run(tmp_path, env, *arguments)
    assert done.code == 2
    assert ".env.local" in done.err
    assert (next(iter(env), "--key-command")) in done.err
    with pytest.raises(UsageError, match="same place"):
        cm.connect(key=env.get("CONVEX_DEPLOY_KEY", ADMIN))


@pytest.mark.parametrize("name", ["CONVEX_MSGS_KEY_COMMAND", "CONVEX_MSGS_METRICS_FILE", "CONVEX_MSGS_PING_URL"])
def test_an_env_file_runs_writes_and_calls_nothing(name: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """Settings that run a command, write a file or call a host are refused in a file; the environment may have them."""
    mark = tmp_path / "mark"
    value = {"CONVEX_MSGS_KEY_COMMAND": f"touch {mark}; echo '{sandbox.key}'", "CONVEX_MSGS_METRICS_FILE": str(mark)}
    setting = value.get(name, "http://127.0.0.1:9/ping")
    (tmp_path / "foreign.env").write_text(sandbox.env_file.read_text() + f'{name}="{setting}"\n')
    done = run(tmp_path, {}, "sessions", "--env-file", "foreign.env")
    assert (done.code, mark.exists()) == (2, False)
    assert f"foreign.env sets {name}" in done.err
    if name == "CONVEX_MSGS_METRICS_FILE":
        assert run(tmp_path, {name: setting}, "sessions", "--env-file", "foreign.env").code == 0


def test_an_env_file_still_names_the_table(sandbox: Sandbox, tmp_path: Path) -> None:
    """Names and limits do no harm: a file may set them."""
    (tmp_path / "a.env").write_text(sandbox.env_file.read_text() + "CONVEX_MSGS_TABLE=chats\n")
    done = run(tmp_path, {}, "sessions", "--env-file", "a.env")
    assert done.code == 2
    assert "chats" in done.err


def test_this_machine_is_reached_past_every_proxy(sandbox: Sandbox, tmp_path: Path) -> None:
    """A proxy that does not exist disturbs no request to the loopback address."""
    env: dict[str, Any] = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    env |= {"NO_PROXY": "", "no_proxy": "", "CONVEX_MSGS_ATTEMPTS": "1"}
    done = run(tmp_path, env, "sessions", "--recent", "1", "--env-file", str(sandbox.env_file))
    assert done.code == 0, done.err


def test_asynchronous_calls_pass_no_proxy_either(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same holds for programs with an event loop."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    async def call() -> Any:
        client = AsyncClient(sandbox.url, sandbox.key, cm.Patience(attempts=1))
        try:
            return (await client.call(Call("query", "convexMsgs:info", {}))).value
        finally:
            await client.close()

    assert asyncio.run(call())


def test_the_address_is_named_before_the_key_is_sent(tmp_path: Path) -> None:
    """With nothing listening there, the line still says which key goes where; a named env file needs no such line."""
    pair = f"CONVEX_SELF_HOSTED_URL=http://127.0.0.1:9\nCONVEX_SELF_HOSTED_ADMIN_KEY='{ADMIN}'\n"
    (tmp_path / ".env.local").write_text(pair)
    env = {"CONVEX_MSGS_ATTEMPTS": "1"}
    line = "the key from CONVEX_SELF_HOSTED_ADMIN_KEY of .env.local goes to http://127.0.0.1:9"
    for command in (("sessions",), ("diff", "live", ".env.local")):
        done = run(tmp_path, env, *command)
        assert done.err.splitlines()[0] == line
    assert run(tmp_path, env, "sessions").code == 5
    assert line not in run(tmp_path, env, "sessions", "--env-file", ".env.local").err
    assert line not in run(tmp_path, env, "sessions", "-q").err
